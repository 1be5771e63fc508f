"""The training loop: the same for every task, resumed exactly from its last checkpoint."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch

from sightline.data.batches import DataPosition
from sightline.errors import CheckpointError, SightlineError, UsageError
from sightline.train import machine, schedules
from sightline.train.checkpoint import Checkpoints
from sightline.train.display import Judged
from sightline.train.identity import Identity
from sightline.train.log import TrainLog
from sightline.train.metric import Metric
from sightline.train.progress import Progress
from sightline.train.schedules import Schedule
from sightline.train.session import Session
from sightline.train.settings import TrainSettings
from sightline.train.stopper import Interrupted, Stopper
from sightline.train.task import Batch, Task
from sightline.train.workers import Workers


@dataclass(frozen=True)
class Outcome:
    """How training ended: why, after which update, and which checkpoint was the best on the chosen metric."""

    reason: str
    update: int
    best: float | None
    best_update: int | None
    seconds: float  # of training, over all sessions


def finished(settings: TrainSettings, run_dir: Path) -> Outcome | None:
    """How a run that has ended did so, by its newest checkpoint alone; None where `train` has more to do."""
    found = Checkpoints(run_dir).all()
    if not found:
        return None
    newest = found[-1]
    try:
        newest.verify([])
        progress = Progress.from_json(newest.state(), str(newest.path))
    except CheckpointError:  # `train` goes back to the one before
        return None
    reason = progress.stop_reason(settings)
    return None if reason is None else _outcome(reason, progress)


def _outcome(reason: str, progress: Progress) -> Outcome:
    return Outcome(reason, progress.update, progress.best, progress.best_update, progress.seconds)


def train(
    task: Task[Batch], settings: TrainSettings, run_dir: Path, log: TrainLog, identity: Identity | None = None
) -> Outcome:
    """Trains `task.model` from the last checkpoint in `run_dir`, or from the start, until a limit of `settings`.

    On return the newest checkpoint is that of the last update; `final_weights` chooses what to ship. A run that has
    already ended does nothing. Each checkpoint notes the `identity` of the run, and is gone on from with no other.

    Raises:
        Interrupted: after SIGTERM or Ctrl-C, with everything saved; the same call goes on.
        SightlineError: a loss or gradient that is not finite, the weights being those of the update before; or
            `run_dir` was removed; or a callback of `log` failed, with everything saved.
        CheckpointError: a checkpoint cannot be written, none of those there can be read, or it is of another identity.
    """
    if identity is not None:
        identity = replace(identity, data=task.data_fingerprint())
    session = Session(task, settings, run_dir, log, identity)
    progress = session.progress
    schedule = schedules.from_settings(settings)
    batches = task.batches(progress.position)
    trimmer, clock = machine.MemoryTrimmer(), time.monotonic()
    with Workers(task, settings.threads or torch.get_num_threads()) as workers, Stopper() as stopper:
        while (reason := session.stop_reason()) is None:
            started = time.monotonic()
            learning_rate, norm = update_weights(task, workers, batches, settings, session, schedule)
            update = progress.update
            session.require_directory()
            now = time.monotonic()
            progress.meter.seconds += now - started
            progress.seconds, clock = progress.seconds + now - clock, now

            ended = progress.stop_reason(settings) is not None
            log.advance(session.standing())
            trimmer.after_update()
            if ended or update % settings.log_every == 0:
                figures = {"epoch": progress.position.epoch, **progress.meter.compute_and_reset(task.unit)}
                figures |= {"learning_rate": learning_rate, "gradient_norm": norm, task.unit: progress.tokens}
                log.train(update, figures, session.standing().eta)
            best = False
            if settings.validate_every and (ended or update % settings.validate_every == 0):
                with workers.all_threads():
                    best = validate(task, settings, session, log)
                ended = progress.stop_reason(settings) is not None  # patience may be at its end
            due = ended or best or stopper.requested or session.is_periodic(update)
            if due or session.stop_reason():  # a callback's, too: without another validation, the run can go on exactly
                session.save()
            if stopper.requested and not ended:
                raise Interrupted(
                    f"{run_dir}: stopped by {signal.Signals(stopper.requested).name} after update {update:,}, which "
                    "is saved; the same command goes on from there",
                    stopper.requested,
                )
    log.callbacks.require(f"everything is saved after update {progress.update:,}; the same call goes on from there")
    return _outcome(reason, progress)


def update_weights(
    task: Task[Batch],
    workers: Workers[Batch],
    batches: Iterator[tuple[DataPosition, Batch]],
    settings: TrainSettings,
    session: Session,
    schedule: Schedule,
) -> tuple[float, float]:
    """One update of the weights and of their average: (its learning rate, the gradient's L2 norm before clipping)."""
    progress = session.progress
    update = progress.update + 1
    learning_rate = settings.learning_rate * schedule(update)
    progress.position, norm = accumulate(task, workers, batches, settings, session)
    session.optimizer.step(learning_rate)
    session.average_weights(update)
    progress.update = update
    return learning_rate, norm


def accumulate(
    task: Task[Batch],
    workers: Workers[Batch],
    batches: Iterator[tuple[DataPosition, Batch]],
    settings: TrainSettings,
    session: Session,
) -> tuple[DataPosition, float]:
    """Gradients of one update: (the position after its last batch, the L2 norm before clipping).

    Losses are summed over all predictions of all micro-batches and divided once, so that any split of the same data
    into micro-batches is the same update. The last update of an epoch that ends the run may have fewer.
    """
    progress, optimizer = session.progress, session.optimizer
    position, tokens = progress.position, 0
    drawn: list[Batch] = []
    losses: list[torch.Tensor] = []
    names: list[str] = []
    extras: list[torch.Tensor] = []
    while len(drawn) < settings.accumulate and not (drawn and position.epoch == settings.max_epochs):
        position, batch = next(batches)
        pieces = workers.gradients(batch, session.randomness.generator, optimizer.collect_gradients)
        drawn.append(batch)
        losses.append(torch.stack([loss.float() for loss, _, _ in pieces]).sum())
        for _, count, more in pieces:
            tokens += count
            names += more.keys()
            extras += [value.float() for value in more.values()]
    if tokens == 0:
        raise SightlineError(f"update {progress.update + 1}: {task.describe(drawn[-1])} has no tokens; leave it out")
    norm = optimizer.scale_and_clip(1.0 / tokens, settings.clip)
    figures = cast("list[float]", torch.stack([norm, *losses, *extras]).tolist())  # the one wait for the device
    length, values = figures[0], figures[1:]
    sums = values[: len(losses)]
    for value, batch in zip(sums, drawn, strict=True):
        if not math.isfinite(value):
            raise SightlineError(_not_finite(progress, f"loss is {value}", task.describe(batch)))
    if not math.isfinite(length):
        raise SightlineError(
            _not_finite(progress, f"gradient norm is {length}", "; ".join(task.describe(batch) for batch in drawn))
        )
    size = sum(map(task.num_units, drawn))
    progress.meter.add(math.fsum(sums), tokens, size, zip(names, values[len(losses) :], strict=True))
    progress.tokens += size
    progress.short = len(drawn) < settings.accumulate
    return position, length


def validate(task: Task[Batch], settings: TrainSettings, session: Session, log: TrainLog) -> bool:
    """Validates the weights that would be shipped; True where they are the best so far.

    Raises UsageError for a metric that the task does not have, or whose better direction nobody has told.
    """
    with session.validating():
        figures = task.validate()
    if settings.metric not in figures:
        raise UsageError(f"metric: the task has no {settings.metric}; known: {', '.join(sorted(figures))}")
    better_up = higher_is_better(settings, task.metrics)
    best = session.progress.record_validation(float(figures[settings.metric]), better_up)
    metric = task.metrics.get(settings.metric, Metric(settings.metric, better_up))
    log.validation(session.progress.update, figures, best=best, judged=_judged(metric, figures, session.progress.best))
    return best


def _judged(metric: Metric, figures: Mapping[str, float], best: float | None) -> Judged:
    name = "validation" if metric.name == "loss" else metric.title  # beside the loss of training
    return Judged(name, metric.text(float(figures[metric.name])), None if best is None else metric.text(best))


def higher_is_better(settings: TrainSettings, metrics: Mapping[str, Metric]) -> bool:
    """Whether a larger value of the chosen metric is the better one, by the settings or else by the task's table.

    Raises UsageError where neither tells.
    """
    if settings.metric_direction != "auto":
        return settings.metric_direction == "max"
    if settings.metric not in metrics:
        raise UsageError(f'metric_direction: nothing tells which {settings.metric} is better; set it to "min" or "max"')
    return metrics[settings.metric].higher_is_better


def _not_finite(progress: Progress, what: str, batch: str) -> str:
    return (
        f"update {progress.update + 1}: {what} at batch {batch}; nothing was changed: lower learning_rate, lengthen "
        "warmup or clip lower, and run again from the last checkpoint"
    )
