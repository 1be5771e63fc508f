"""A run from configuration to model card: tokenizers, task, loop, final weights, evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch

from sightline import config
from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError, nearest
from sightline.nn.ops import to_precision
from sightline.predict.calibration import Calibrated, calibrate
from sightline.runs import fine_tuning
from sightline.runs.card import model_card
from sightline.runs.evaluation import evaluate_missing
from sightline.runs.fine_tuning import Parent
from sightline.runs.loading import load
from sightline.runs.outcome import read_outcome, write_outcome
from sightline.runs.plugins import keep_plugins, load_installed_models, plugin_digests
from sightline.tasks.registry import DEFAULT, TASKS
from sightline.tasks.report import Report
from sightline.tasks.settings import RunSettings
from sightline.tasks.spec import Fitted, Say, TaskSpec
from sightline.train import machine, precision
from sightline.train.checkpoint import Checkpoints
from sightline.train.doctor import Doctor, Facts
from sightline.train.final import final_weights
from sightline.train.format_1 import upgrade_sizes
from sightline.train.identity import Identity
from sightline.train.log import TrainLog
from sightline.train.loop import Outcome, train
from sightline.train.run_directory import PRECISIONS, Run
from sightline.train.task import Task

S = TypeVar("S", bound=RunSettings)


def schema(values: Mapping[str, object], where: str) -> type[RunSettings]:
    """The settings of the task that a configuration names; those of the default where it names none.

    Raises UsageError for a task that there is not.
    """
    load_installed_models()
    task = str(values.get("task", DEFAULT))
    if task not in TASKS:
        raise UsageError(f'{where}: task: there is no "{task}"{nearest(task, TASKS)}')
    return TASKS[task].settings


def complete(spec: TaskSpec[S], settings: S, run: Run | None = None) -> tuple[S, Parent | None]:
    """The settings with what they leave to a parent run and to the data; and the parent, where there is one.

    Args:
        run: a run directory that may keep what was taken from the parent.
    """
    settings, parent = fine_tuning.adopt(spec, settings, run)
    return spec.complete(settings), parent


@dataclass(frozen=True)
class Start(Generic[S]):
    """A training that can begin or go on: nothing of its configuration or data is wrong.

    Attributes:
        settings: resolved; "auto" for precision and device is what this machine computes fastest, and `threads` how
            many it has, once and for all.
        learner: what will be trained, or has been made in closed form; None where it is not needed yet.
    """

    settings: S
    learner: Task[Any] | Fitted | None = None


def prepare(settings: S, path: str | Path, *, fresh: bool, report: Say, parent: Parent | None = None) -> Start[S]:
    """Makes the run directory, or checks that what is trained there was started with the same configuration.

    Whatever can be wrong with configuration, parent or data is told before anything is removed or written.

    Raises:
        UsageError: where the run is there and was started with another configuration, naming what changed.
        SightlineError: for what is missing or damaged of what it is to learn from.
    """
    run, spec = Run(path), TASKS[settings.task]
    _require_data(settings)
    run.require_room(fresh=fresh)
    if run.has_training and not fresh:
        run.make_room(fresh=False)
        return Start(_gone_on_with(settings, run))
    settings, tokenizers, learner = _new_learner(spec, settings, report, parent)
    run.make_room(fresh=fresh)
    run.save_tokenizers(tokenizers)
    if parent is not None:
        parent.keep_in(run)
    run.write_config(settings)
    # after the configuration: a directory without one holds nobody's code
    keep_plugins(run, settings)
    return Start(settings, learner)


def rehearse(settings: S, *, report: Say, parent: Parent | None = None) -> Start[S]:
    """What `prepare` makes, of a training that nothing is kept of; what it reads is in the cache afterwards.

    Raises as `prepare` does.
    """
    _require_data(settings)
    settings, _, learner = _new_learner(TASKS[settings.task], settings, report, parent)
    return Start(settings, learner)


def _require_data(settings: RunSettings) -> None:
    for name, files in (("train", settings.data.train), ("validation", settings.data.validation)):
        if not files:
            raise UsageError(f"data.{name}: no file is named, so there is nothing to learn from; name one")


def _new_learner(
    spec: TaskSpec[S], settings: S, report: Say, parent: Parent | None
) -> tuple[S, Mapping[str, Tokenizer], Task[Any] | Fitted]:
    """Of a training that begins: its settings resolved, its tokenizers, and what is to be trained or was made."""
    device = precision.resolve_device(settings.training.device)
    width = precision.resolve(settings.training.precision, device)
    settings = _resolved(settings, width, device, torch.get_num_threads())
    vocabulary = "; learning the vocabulary" if settings.vocab_size else ""
    if parent is not None:
        vocabulary = f"; the vocabulary is that of {parent.path}"
    report(f"precision {settings.training.precision}{vocabulary}")
    tokenizers = {} if parent is None else fine_tuning.tokenizers_of(parent)
    tokenizers = tokenizers or spec.train_tokenizers(settings, report)
    return settings, tokenizers, _learner(spec, settings, tokenizers, report)


def _gone_on_with(settings: S, run: Run) -> S:
    """The settings with which a run goes on, written where they are others.

    Raises UsageError or CheckpointError where that would make it another run; nothing is written then.
    """
    kept = run.settings(type(settings))
    if run.format == 1:
        settings = _as_format_1(settings)
    settings = _resolved(settings, kept.training.precision, kept.training.device, kept.training.threads)
    changed = run.refuse_changes(settings)
    if read_outcome(run, settings.training) is None:
        # what validates may change once training has ended
        Identity(_deciding(kept)).require_same(Identity(_deciding(settings)), str(run.config))
        made_with = Checkpoints(run.path).identity()
        if made_with is not None:
            made_with.require_same(_identity(run, settings), str(run.path))
    if changed:
        run.write_config(settings, run.format)
    return settings


def _deciding(settings: RunSettings) -> dict[str, object]:
    """The settings that decide the weights, those among them by which the best checkpoint is chosen."""
    return {**config.fixed_settings(settings), **settings.choosing}


def _identity(run: Run, settings: RunSettings) -> Identity:
    """What the run's checkpoints are tied to, the code of plug-ins included."""
    return replace(run.identity(settings), settings=_deciding(settings), code=plugin_digests(settings))


def _learner(
    spec: TaskSpec[S], settings: S, tokenizers: Mapping[str, Tokenizer], report: Say, run: Run | None = None
) -> Task[Any] | Fitted:
    """What is to be trained, or was made in closed form, once all test sets have been read: what is wrong with one is
    to be told now, not after hours of training."""
    for files in settings.data.test.values():
        spec.read_test(settings, dict(tokenizers), files)
    return spec.fit(settings, dict(tokenizers), report) or build(settings, tokenizers, report, run)


def _as_format_1(settings: S) -> S:
    """The settings as version 0.1.0 would have read them: sizes that were not given mean what they meant in it."""
    sizes = settings.model
    given = {"kind": sizes.kind, **sizes.model_dump(exclude_unset=True)}
    return settings.model_copy(update={"model": type(sizes).model_validate(upgrade_sizes(given))})


def _resolved(settings: S, width: str, device: str, threads: int | None) -> S:
    """What was left to the machine filled in; all of it decides the last bits of the weights."""
    training = settings.training
    filled = {
        "precision": width if training.precision == "auto" else training.precision,
        "device": device if training.device == "auto" else training.device,
        "threads": threads if training.threads is None else training.threads,
    }
    return settings.model_copy(update={"training": training.model_copy(update=filled)})


def build(settings: RunSettings, tokenizers: Mapping[str, Tokenizer], report: Say, run: Run | None = None) -> Task[Any]:
    """The task of a run, its model freshly initialised in the run's precision; `run` where it may have checkpoints."""
    spec = TASKS[settings.task]
    model = spec.make_model(settings, dict(tokenizers))
    if run is None or not run.updates:  # a checkpoint has all weights, whatever became of the parent
        fine_tuning.initialise(spec, settings, model)
    count = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    part = "" if trained == count else f" ({trained:,} of them trained)"
    report(f"model: {settings.model.kind}, {count:,} parameters{part}, {settings.training.precision}")
    device = precision.resolve_device(settings.training.device)
    to_precision(model.to(device), PRECISIONS[settings.training.precision])
    return spec.make_task(settings, dict(tokenizers), model, device=device, report=report)


def train_run(
    settings: RunSettings,
    path: str | Path,
    *,
    fresh: bool = False,
    report: Say,
    log: Callable[..., TrainLog],
    ended: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Outcome, list[Report]]:
    """Trains a run to its end, or goes on with it; exports the weights, measures the test sets, writes the card.

    `ended` is called after all that, of a run that had not ended before.

    A run that has ended and been measured is only read. Raises UsageError where another process is training it.
    """
    machine.setup(settings.training.threads)
    run, spec = Run(path), TASKS[settings.task]
    settings, parent = complete(spec, settings, None if fresh else run)
    with run.locked():
        start = prepare(settings, path, fresh=fresh, report=report, parent=parent)
        return _train_held(spec, start, run, report, log, ended)


def _train_held(
    spec: TaskSpec,
    start: Start[RunSettings],
    run: Run,
    report: Say,
    log: Callable[..., TrainLog],
    ended: Callable[[Outcome], None],
) -> tuple[Outcome, list[Report]]:
    settings = start.settings
    device = settings.training.device
    outcome = read_outcome(run, settings.training)
    finished = outcome is not None
    if outcome is None:
        learner = start.learner or _learner(spec, settings, run.load_tokenizers(), report, run)
        outcome = _make_weights(spec, settings, learner, run, report, log)
    reports, some_made = evaluate_missing(run, settings, device)
    if some_made or not finished or not run.card.exists():
        metric = spec.metrics.get(settings.training.metric)
        run.write_card(model_card(settings, outcome, reports, run.parameters(), metric))
    if not finished:
        ended(outcome)
    return outcome, reports


def _make_weights(
    spec: TaskSpec,
    settings: RunSettings,
    learner: Task[Any] | Fitted,
    run: Run,
    report: Say,
    log: Callable[..., TrainLog],
) -> Outcome:
    if isinstance(learner, Fitted):
        run.remove_card()  # that of other weights, if any; one that is missing is written again
        run.save_weights(learner.tensors, settings=settings)
        told = (f"{spec.metrics[name].title} {spec.metrics[name].text(one)}" for name, one in learner.metrics.items())
        report("validation: " + ", ".join(told))
        best = learner.metrics.get(settings.training.metric)
        outcome = Outcome("all text counted", 1, best, 1, learner.seconds)
        _keep_example(run)
        write_outcome(run, outcome, settings.training)
        return outcome
    device = settings.training.device
    with log(run.path) as training_log:
        training_log.start(settings.model_dump(mode="json"), Doctor(_facts(settings, learner, run)))
        outcome = train(learner, settings.training, run.path, training_log, _identity(run, settings))
    warmup = settings.training.warmup
    if outcome.update < warmup:
        report(
            f"note: training ended at update {outcome.update:,}, while the learning rate was still rising to its peak "
            f"at {warmup:,}; train longer, or lower training.warmup"
        )
    weights, origin = final_weights(run.path, settings.training, outcome.update)
    run.remove_card()
    run.save_weights(weights, settings=settings)
    report(f"final weights: {origin}")
    if settings.calibrated:
        report(calibrate(run, cast(Calibrated, load(run.path, device=device))))
    _keep_example(run)
    write_outcome(run, outcome, settings.training)
    run.note_update(outcome.update)  # the last: with it the run has ended
    return outcome


def _facts(settings: RunSettings, task: Task[Any], run: Run) -> Facts:
    """What the doctor knows of a training before it begins."""
    training = settings.training
    return Facts(
        warmup=training.warmup,
        clip=training.clip,
        patience=training.patience,
        # that of a parent was learned from other text
        vocabulary=0 if settings.parent else max((one.vocab_size for one in run.load_tokenizers().values()), default=0),
        padding=task.padding(),
        device=training.device,
        idle_gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    )


def _keep_example(run: Run) -> None:
    """Keeps an input of the validation data in the run, so that whoever shows the model opens no data for one."""
    inputs = load(run.path).first_example()
    if inputs is not None and all(isinstance(one, str) for one in inputs):
        run.write_text(run.example, json.dumps({"inputs": inputs}, ensure_ascii=False))
