"""A translation run from configuration to model card: tokenizers, task, loop, final weights, evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sightline import __version__
from sightline.errors import UsageError
from sightline.evaluation import Evaluation, evaluate_pairs
from sightline.nn.ops import to_precision
from sightline.run import Run
from sightline.tasks.translation import TranslationSettings, TranslationTask, make_model, train_tokenizers
from sightline.train import machine, precision
from sightline.train.final import final_weights
from sightline.train.log import TrainLog
from sightline.train.loop import Outcome, train
from sightline.translator import PRECISIONS, Translator, load_tokenizers

Report = Callable[[str], None]


def prepare(settings: TranslationSettings, path: str | Path, *, fresh: bool, report: Report) -> TranslationSettings:
    """Makes the run directory, or checks that the one there was started with the same configuration.

    Returns:
        The resolved configuration: "auto" for precision and device becomes what this machine computes fastest, and
        `threads` how many it has, once and for all.

    Raises:
        UsageError: where the run is there and was started with another configuration, naming what changed.
    """
    run = Run(path)
    if run.path.exists() and not run.path.is_dir():
        raise UsageError(f"{path}: is a file; choose another --run")
    if fresh and run.exists:
        shutil.rmtree(run.path)
    if not run.exists and run.path.is_dir() and any(run.path.iterdir()):
        raise UsageError(f"{path}: a folder with other things in it; choose another --run")
    if run.exists:
        kept = run.settings(TranslationSettings)
        settings = _resolved(settings, kept.training.precision, kept.training.device, kept.training.threads)
        run.refuse_changes(settings)
        return settings
    device = precision.resolve_device(settings.training.device)
    width = precision.resolve(settings.training.precision, device)
    settings = _resolved(settings, width, device, torch.get_num_threads())
    report(f"precision {settings.training.precision}; learning the vocabulary")
    # tokenizers first and the configuration last: a run directory with one is complete
    run.save_tokenizers(train_tokenizers(settings))
    run.write_config(settings)
    return settings


def _resolved(settings: TranslationSettings, width: str, device: str, threads: int | None) -> TranslationSettings:
    """What was left to the machine filled in; all of it decides the last bits of the weights."""
    training = settings.training
    filled = {
        "precision": width if training.precision == "auto" else training.precision,
        "device": device if training.device == "auto" else training.device,
        "threads": threads if training.threads is None else training.threads,
    }
    return settings.model_copy(update={"training": training.model_copy(update=filled)})


def build(settings: TranslationSettings, path: str | Path, report: Report) -> TranslationTask:
    """The task of a prepared run, its model freshly initialised in the run's precision."""
    tokenizers = load_tokenizers(Run(path))
    model = make_model(settings, tokenizers)
    count = sum(parameter.numel() for parameter in model.parameters())
    report(f"model: {settings.model.kind}, {count:,} parameters, {settings.training.precision}")
    device = precision.resolve_device(settings.training.device)
    to_precision(model.to(device), PRECISIONS[settings.training.precision])
    return TranslationTask(settings, tokenizers, model, device=device, report=report)


def train_run(
    settings: TranslationSettings,
    path: str | Path,
    *,
    fresh: bool = False,
    report: Report,
    log: Callable[..., TrainLog],
) -> tuple[Outcome, list[Evaluation]]:
    """Trains a run to its end, or goes on with it; exports the weights, measures the test sets, writes the card.

    A run that has ended and been measured is only read.
    """
    machine.setup(settings.training.threads)
    settings = prepare(settings, path, fresh=fresh, report=report)
    run = Run(path)
    task = build(settings, path, report)
    with log(run.path) as training_log:
        outcome = train(task, settings.training, run.path, training_log)
    weights, origin = final_weights(run.path, settings.training)
    run.save_weights(weights)
    report(f"final weights: {origin}")
    evaluations = evaluate_run(run)
    run.write_card(model_card(settings, outcome, evaluations, task.model))
    return outcome, evaluations


def evaluate_run(run: Run) -> list[Evaluation]:
    """Every test set of a trained run, in fp32, with and without case."""
    translator = Translator(run.path)
    sets = translator.settings.data.test.items()
    options = translator.settings.search
    return [evaluate_pairs(translator, name, files.pair_source(), options, lowercase=True) for name, files in sets]


def model_card(
    settings: TranslationSettings, outcome: Outcome, evaluations: list[Evaluation], model: torch.nn.Module
) -> str:
    """The README of a run: how the model was made and how good it is."""
    data: Any = settings.data
    count = sum(parameter.numel() for parameter in model.parameters())
    lines = [
        f"# {data.source_language} → {data.target_language}, {settings.model.kind}",
        "",
        f"Trained by Sightline {__version__} with PyTorch {torch.__version__}: {outcome.update:,} updates "
        f"({outcome.reason}), {count:,} parameters, {settings.training.precision}.",
        f"Best validation {settings.training.metric}: {outcome.best} at update {outcome.best_update}.",
        "",
        "Training text: " + ", ".join(files.source for files in data.train),
        "",
        "| set | score | value | signature |",
        "| --- | --- | --- | --- |",
    ]
    for evaluation in evaluations:
        for one in evaluation.scores:
            lines.append(f"| {evaluation.name} | {one.name} | {one.score:.2f} | `{one.signature}` |")
        lines.append(f"| {evaluation.name} | perplexity per token | {evaluation.perplexity:.3f} | |")
    lines += ["", "Everything it was made from is in `config.toml`; `metrics.jsonl` tells how training went.", ""]
    return "\n".join(lines)
