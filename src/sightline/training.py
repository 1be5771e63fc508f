"""A run from configuration to model card: tokenizers, task, loop, final weights, evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from sightline import __version__, fine_tuning
from sightline.calibration import calibrate
from sightline.data.pairs import read_pairs
from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError, nearest
from sightline.evaluation import Report, evaluate_run
from sightline.nn.ops import to_precision
from sightline.run import PRECISIONS, Run
from sightline.tasks import (
    classification,
    image_classification,
    language,
    masked_language,
    question_answering,
    tagging,
    translation,
)
from sightline.train import machine, precision
from sightline.train.final import final_weights
from sightline.train.log import TrainLog
from sightline.train.loop import Outcome, train
from sightline.train.task import Task

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kind:
    """What makes one task a run: each a function of that task's settings.

    Attributes:
        read_test: reads one test set as `evaluate` will. complete: fills in what the settings leave to other files.
        initialise: changes a new model's first weights.
    """

    settings: type[BaseModel]
    train_tokenizers: Callable[[Any, Say], dict[str, Tokenizer]]
    make_model: Callable[[Any, dict[str, Tokenizer]], torch.nn.Module]
    task: Callable[..., Task]
    read_test: Callable[[Any, dict[str, Tokenizer], Any], object]
    complete: Callable[[Any], Any] = lambda settings: settings
    initialise: Callable[[Any, torch.nn.Module], None] = lambda settings, model: None


KINDS = {
    "translation": Kind(
        translation.TranslationSettings,
        translation.train_tokenizers,
        translation.make_model,
        translation.TranslationTask,
        lambda settings, tokenizers, files: sum(1 for _ in read_pairs(files)),
    ),
    "language": Kind(
        language.LanguageSettings,
        language.train_tokenizers,
        language.make_model,
        language.LanguageTask,
        lambda settings, tokenizers, files: language.encode(settings, tokenizers[language.SIDE], [files]),
    ),
    "masked_language": Kind(
        masked_language.MaskedLanguageSettings,
        fine_tuning.taken_or(masked_language.train_tokenizers),
        masked_language.make_model,
        masked_language.MaskedLanguageTask,
        lambda settings, tokenizers, files: masked_language.encode([files], tokenizers[masked_language.SIDE]),
        fine_tuning.adopt,
        fine_tuning.initialise_masked,
    ),
    "classification": Kind(
        classification.ClassificationSettings,
        fine_tuning.taken_or(classification.train_tokenizers),
        classification.make_model,
        classification.ClassificationTask,
        lambda settings, tokenizers, files: classification.encode_files(
            settings, tokenizers[classification.SIDE], files
        ),
        fine_tuning.complete,
        fine_tuning.initialise,
    ),
    "image_classification": Kind(
        image_classification.ImageSettings,
        image_classification.no_tokenizers,
        image_classification.make_model,
        image_classification.ImageTask,
        lambda settings, tokenizers, files: image_classification.read_labelled(settings, files),
        image_classification.complete,
    ),
    "tagging": Kind(
        tagging.TaggingSettings,
        fine_tuning.taken_or(tagging.train_tokenizers),
        tagging.make_model,
        tagging.TaggingTask,
        lambda settings, tokenizers, files: tagging.read_all(settings, files),
        fine_tuning.complete_tagging,
        fine_tuning.initialise,
    ),
    "question_answering": Kind(
        question_answering.QuestionSettings,
        fine_tuning.taken_or(question_answering.train_tokenizers),
        question_answering.make_model,
        question_answering.QuestionTask,
        lambda settings, tokenizers, files: question_answering.read_all(settings, files),
        fine_tuning.adopt,
        fine_tuning.initialise,
    ),
}


def schema(values: Mapping[str, Any], where: str) -> type[BaseModel]:
    """The settings of the task that a configuration names; translation where it names none.

    Raises UsageError for a task that there is not.
    """
    task = values.get("task", "translation")
    if task not in KINDS:
        raise UsageError(f'{where}: task: there is no "{task}"{nearest(str(task), KINDS)}')
    return KINDS[task].settings


def prepare(settings: Any, path: str | Path, *, fresh: bool, report: Say) -> Any:
    """Makes the run directory, or checks that what is trained there was started with the same configuration.

    Returns:
        The resolved configuration: "auto" for precision and device becomes what this machine computes fastest, and
        `threads` how many it has, once and for all.

    Raises:
        UsageError: where the run is there and was started with another configuration, naming what changed.
    """
    run = Run(path)
    for name in ("train", "validation"):
        if not getattr(settings.data, name):
            raise UsageError(f"data.{name}: no file is named, so there is nothing to learn from; name one")
    if fresh and run.exists:
        run.clear()
    # a start that was killed leaves tokenizers and no configuration
    if not run.exists and any(one != run.tokenizers for one in run.others()):
        raise UsageError(f"{path}: a folder with other things in it; choose another --run")
    if run.begun:
        kept = run.settings(type(settings))
        settings = _resolved(settings, kept.training.precision, kept.training.device, kept.training.threads)
        run.refuse_changes(settings)
        return settings
    device = precision.resolve_device(settings.training.device)
    width = precision.resolve(settings.training.precision, device)
    settings = _resolved(settings, width, device, torch.get_num_threads())
    learned = "; learning the vocabulary" if hasattr(settings, "tokenizer") else ""
    pretrained = getattr(settings, "pretrained", None)
    vocabulary = f"; the vocabulary is that of {pretrained}" if pretrained else learned
    report(f"precision {settings.training.precision}{vocabulary}")
    # tokenizers first and the configuration last: a run directory with one is complete
    run.save_tokenizers(KINDS[settings.task].train_tokenizers(settings, report))
    run.write_config(settings)
    return settings


def _resolved(settings: Any, width: str, device: str, threads: int | None) -> Any:
    """What was left to the machine filled in; all of it decides the last bits of the weights."""
    training = settings.training
    filled = {
        "precision": width if training.precision == "auto" else training.precision,
        "device": device if training.device == "auto" else training.device,
        "threads": threads if training.threads is None else training.threads,
    }
    return settings.model_copy(update={"training": training.model_copy(update=filled)})


def build(settings: Any, path: str | Path, report: Say) -> Task:
    """The task of a prepared run, its model freshly initialised in the run's precision."""
    kind = KINDS[settings.task]
    tokenizers = Run(path).load_tokenizers()
    model = kind.make_model(settings, tokenizers)
    kind.initialise(settings, model)
    count = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    part = "" if trained == count else f" ({trained:,} of them trained)"
    report(f"model: {settings.model.kind}, {count:,} parameters{part}, {settings.training.precision}")
    device = precision.resolve_device(settings.training.device)
    to_precision(model.to(device), PRECISIONS[settings.training.precision])
    return kind.task(settings, tokenizers, model, device=device, report=report)


def train_run(
    settings: Any,
    path: str | Path,
    *,
    fresh: bool = False,
    report: Say,
    log: Callable[..., TrainLog],
) -> tuple[Outcome, list[Report]]:
    """Trains a run to its end, or goes on with it; exports the weights, measures the test sets, writes the card.

    A run that has ended and been measured is only read. Raises UsageError where another process is training it.
    """
    machine.setup(settings.training.threads)
    settings = KINDS[settings.task].complete(settings)
    with Run(path).held():
        return _train_held(prepare(settings, path, fresh=fresh, report=report), Run(path), report, log)


def _train_held(settings: Any, run: Run, report: Say, log: Callable[..., TrainLog]) -> tuple[Outcome, list[Report]]:
    # what is wrong with a test set is to be told now, not after hours of training
    tokenizers = run.load_tokenizers()
    for files in settings.data.test.values():
        KINDS[settings.task].read_test(settings, tokenizers, files)
    if settings.model.kind == language.COUNTED:
        outcome, count = _count(settings, run, report)
        device = "cpu"
    else:
        device = settings.training.device
        task = build(settings, run.path, report)
        with log(run.path) as training_log:
            outcome = train(task, settings.training, run.path, training_log)
        weights, origin = final_weights(run.path, settings.training)
        run.save_weights(weights)
        report(f"final weights: {origin}")
        if getattr(settings, "calibrate", False):
            report(calibrate(run, device))
        count = sum(parameter.numel() for parameter in task.model.parameters())
    evaluations = evaluate_run(run.path, device)
    run.write_card(model_card(settings, outcome, evaluations, count))
    return outcome, evaluations


def _count(settings: language.LanguageSettings, run: Run, report: Say) -> tuple[Outcome, int]:
    """A model that is counted, saved; and how many numbers it holds."""
    start = time.monotonic()
    model, figures = language.count_model(settings, run.load_tokenizers(), report)
    run.save_weights(model.tensors())
    report(f"validation perplexity {figures['perplexity']:.3f}, bits per byte {figures['bits_per_byte']:.4f}")
    numbers = sum(tensor.numel() for name, tensor in model.tensors().items() if not name.endswith("keys"))
    return Outcome("all text counted", 1, figures["loss"], 1, time.monotonic() - start), numbers


def model_card(settings: Any, outcome: Outcome, evaluations: list[Report], count: int) -> str:
    """The README of a run: how the model, of `count` parameters, was made and how good it is."""
    lines = [
        f"# {settings.title}, {settings.model.kind}",
        "",
        f"Trained by Sightline {__version__} with PyTorch {torch.__version__}: {outcome.update:,} updates "
        f"({outcome.reason}), {count:,} parameters, {settings.training.precision}.",
        f"Best validation {settings.training.metric}: {outcome.best} at update {outcome.best_update}.",
        "",
        "Learned from: " + ", ".join(files.source for files in settings.data.train),
        "",
        "| set | score | value | signature |",
        "| --- | --- | --- | --- |",
    ]
    for evaluation in evaluations:
        lines += [f"| {evaluation.name} | {' | '.join(row)} |" for row in evaluation.rows()]
    lines += ["", "Everything it was made from is in `config.toml`; `metrics.jsonl` tells how training went.", ""]
    return "\n".join(lines)
