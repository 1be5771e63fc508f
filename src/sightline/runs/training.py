"""A run from configuration to model card: tokenizers, task, loop, final weights, evaluation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast

import torch

from sightline.errors import UsageError, nearest
from sightline.nn.ops import to_precision
from sightline.predict.calibration import Calibrated, calibrate
from sightline.runs import fine_tuning
from sightline.runs.card import model_card
from sightline.runs.evaluation import evaluate_missing
from sightline.runs.fine_tuning import Parent
from sightline.runs.loading import load
from sightline.runs.outcome import read_outcome, write_outcome
from sightline.runs.plugins import keep_plugins, load_installed_models
from sightline.tasks.registry import DEFAULT, TASKS
from sightline.tasks.report import Report
from sightline.tasks.settings import RunSettings
from sightline.tasks.spec import Say, TaskSpec
from sightline.train import machine, precision
from sightline.train.final import final_weights
from sightline.train.format_1 import upgrade_sizes
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
    task = values.get("task", DEFAULT)
    if task not in TASKS:
        raise UsageError(f'{where}: task: there is no "{task}"{nearest(str(task), TASKS)}')
    return TASKS[str(task)].settings


def complete(spec: TaskSpec[S], settings: S, run: Run | None = None) -> tuple[S, Parent | None]:
    """The settings with what they leave to a parent run and to the data; and the parent, where there is one.

    Args:
        run: a run directory that may keep what was taken from the parent.
    """
    settings, parent = fine_tuning.adopt(spec, settings, run)
    return spec.complete(settings), parent


def prepare(settings: S, path: str | Path, *, fresh: bool, report: Say, parent: Parent | None = None) -> S:
    """Makes the run directory, or checks that what is trained there was started with the same configuration.

    Returns:
        The resolved configuration: "auto" for precision and device becomes what this machine computes fastest, and
        `threads` how many it has, once and for all.

    Raises:
        UsageError: where the run is there and was started with another configuration, naming what changed.
    """
    run, spec = Run(path), TASKS[settings.task]
    for name in ("train", "validation"):
        if not getattr(settings.data, name):
            raise UsageError(f"data.{name}: no file is named, so there is nothing to learn from; name one")
    run.make_room(fresh=fresh)
    if run.has_training:
        kept = run.settings(type(settings))
        if run.format == 1:
            settings = _as_format_1(settings)
        settings = _resolved(settings, kept.training.precision, kept.training.device, kept.training.threads)
        if run.refuse_changes(settings):
            run.write_config(settings)
        return settings
    device = precision.resolve_device(settings.training.device)
    width = precision.resolve(settings.training.precision, device)
    settings = _resolved(settings, width, device, torch.get_num_threads())
    tokenizers = {} if parent is None else Run(parent.path).load_tokenizers()
    vocabulary = "; learning the vocabulary" if "tokenizer" in type(settings).model_fields else ""
    if parent is not None:
        vocabulary = f"; the vocabulary is that of {parent.path}"
    report(f"precision {settings.training.precision}{vocabulary}")
    # the configuration last: a run directory with one is complete
    run.save_tokenizers(tokenizers or spec.train_tokenizers(settings, report))
    if parent is not None:
        parent.keep_in(run)
    keep_plugins(run, settings)
    run.write_config(settings)
    return settings


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


def build(settings: RunSettings, path: str | Path, report: Say) -> Task:
    """The task of a prepared run, its model freshly initialised in the run's precision."""
    run, spec = Run(path), TASKS[settings.task]
    tokenizers = run.load_tokenizers()
    model = spec.make_model(settings, tokenizers)
    if not run.updates:  # a checkpoint has all weights, whatever became of the parent
        fine_tuning.initialise(spec, settings, model)
    count = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    part = "" if trained == count else f" ({trained:,} of them trained)"
    report(f"model: {settings.model.kind}, {count:,} parameters{part}, {settings.training.precision}")
    device = precision.resolve_device(settings.training.device)
    to_precision(model.to(device), PRECISIONS[settings.training.precision])
    return spec.make_task(settings, tokenizers, model, device=device, report=report)


def train_run(
    settings: RunSettings, path: str | Path, *, fresh: bool = False, report: Say, log: Callable[..., TrainLog]
) -> tuple[Outcome, list[Report]]:
    """Trains a run to its end, or goes on with it; exports the weights, measures the test sets, writes the card.

    A run that has ended and been measured is only read. Raises UsageError where another process is training it.
    """
    machine.setup(settings.training.threads)
    run, spec = Run(path), TASKS[settings.task]
    settings, parent = complete(spec, settings, None if fresh else run)
    with run.locked():
        return _train_held(spec, prepare(settings, path, fresh=fresh, report=report, parent=parent), run, report, log)


def _train_held(
    spec: TaskSpec, settings: RunSettings, run: Run, report: Say, log: Callable[..., TrainLog]
) -> tuple[Outcome, list[Report]]:
    device = settings.training.device
    outcome = read_outcome(run, settings.training)
    finished = outcome is not None
    if outcome is None:
        outcome = _make_weights(spec, settings, run, report, log)
    reports, some_made = evaluate_missing(run, settings, device)
    if some_made or not finished or not run.card.exists():
        metric = spec.metrics.get(settings.training.metric)
        run.write_card(model_card(settings, outcome, reports, run.parameters(), metric))
    return outcome, reports


def _make_weights(
    spec: TaskSpec, settings: RunSettings, run: Run, report: Say, log: Callable[..., TrainLog]
) -> Outcome:
    # what is wrong with a test set is to be told now, not after hours of training
    tokenizers = run.load_tokenizers()
    for files in settings.data.test.values():
        spec.read_test(settings, tokenizers, files)
    started = time.monotonic()
    fitted = spec.fit(settings, tokenizers, report)
    if fitted is not None:
        run.save_weights(fitted.tensors)
        told = (f"{spec.metrics[name].title} {spec.metrics[name].text(one)}" for name, one in fitted.metrics.items())
        report("validation: " + ", ".join(told))
        best = fitted.metrics.get(settings.training.metric)
        outcome = Outcome("all text counted", 1, best, 1, time.monotonic() - started)
    else:
        device = settings.training.device
        task = build(settings, run.path, report)
        with log(run.path) as training_log:
            outcome = train(task, settings.training, run.path, training_log, run.identity(settings))
        weights, origin = final_weights(run.path, settings.training, outcome.update)
        run.save_weights(weights)
        report(f"final weights: {origin}")
        if getattr(settings, "calibrate", False):
            report(calibrate(run, cast(Calibrated, load(run.path, device=device))))
        run.note_update(outcome.update)
    _keep_example(run)
    write_outcome(run, outcome, settings.training)
    return outcome


def _keep_example(run: Run) -> None:
    """Keeps an input of the validation data in the run, so that whoever shows the model opens no data for one."""
    inputs = load(run.path).first_example()
    if inputs is not None and all(isinstance(one, str) for one in inputs):
        run.write_text(run.example, json.dumps({"inputs": inputs}, ensure_ascii=False))
