"""How fast a training is here: a few updates of real batches, timed, of a model that is thrown away afterwards."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from sightline.train import machine, schedules
from sightline.train.display import PlainDisplay
from sightline.train.log import TrainLog
from sightline.train.loop import update_weights
from sightline.train.session import Session
from sightline.train.settings import TrainSettings
from sightline.train.task import Batch, Task
from sightline.train.workers import Workers

SECONDS, WARM_UP, MOST = 6.0, 2, 50  # of updates: how long they are timed; how many before, and at most


@dataclass(frozen=True)
class Speed:
    """What some updates took.

    Attributes:
        updates: how many were timed. seconds: for one update. units: tokens or images of one update.
        peak_bytes: the most memory so far, see `machine.peak_bytes`.
    """

    updates: int
    seconds: float
    units: float
    peak_bytes: int


def measure(task: Task[Batch], settings: TrainSettings) -> Speed:
    """Trains a little, as `train` does, and leaves nothing behind but the changed weights of `task.model`.

    The first updates are not timed: they choose kernels and fetch memory.

    Raises SightlineError for a loss or a gradient that is not finite.
    """
    with tempfile.TemporaryDirectory() as folder, TrainLog(Path(folder), PlainDisplay(lambda line: None)) as log:
        session = Session(task, settings, Path(folder), log)
        schedule, batches = schedules.from_settings(settings), task.batches(session.progress.position)
        started, timed, units = time.monotonic(), 0, 0.0
        with Workers(task, settings.threads or torch.get_num_threads()) as workers:
            while timed < MOST and (timed < 1 or time.monotonic() - started < SECONDS):
                if session.progress.update == WARM_UP:
                    started, units = time.monotonic(), session.progress.tokens
                update_weights(task, workers, batches, settings, session, schedule)
                timed = session.progress.update - WARM_UP
        seconds, units = (time.monotonic() - started) / timed, (session.progress.tokens - units) / timed
        return Speed(timed, seconds, units, machine.peak_bytes(session.optimizer.device))
