"""Which weights a finished run ships: the best checkpoint's, or the average of the last ones."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from sightline.errors import CheckpointError
from sightline.train.averaging import average_files
from sightline.train.checkpoint import FOLDER, Checkpoint, Checkpoints
from sightline.train.progress import Progress
from sightline.train.session import AVERAGE, WEIGHTS
from sightline.train.settings import TrainSettings


def final_weights(run_dir: Path, settings: TrainSettings) -> tuple[dict[str, Tensor], str]:
    """(fp32 tensors by name, a phrase that says where they come from), from the checkpoints of a run.

    With `average_last` = N: the mean of the last N periodic checkpoints, the last update's counting as one. Else the
    checkpoint that was best in validation, or the newest where nothing was validated. With `ema` each checkpoint
    stands for its moving average.

    Raises:
        CheckpointError: where there are no checkpoints, or those that are needed are damaged.
    """
    checkpoints = Checkpoints(run_dir)
    newest = checkpoints.latest()
    if newest is None:
        raise CheckpointError(f"{run_dir / FOLDER}: there are no checkpoints; train first")
    if settings.average_last:
        due = [c.update for c in checkpoints.all() if c.update % settings.save_every == 0 and c.update < newest.update]
        chosen = [checkpoints.at(update) for update in [*due, newest.update][-settings.average_last :]]
        return _mean(chosen, bool(settings.ema)), f"average of updates {', '.join(str(c.update) for c in chosen)}"
    best = Progress.from_json(newest.state(), str(newest.path)).best_update
    if best is None or best == newest.update:
        return _mean([newest], bool(settings.ema)), f"update {newest.update}"
    return _mean([checkpoints.at(best)], bool(settings.ema)), f"update {best}, the best in validation"


def checkpoint_weights(run_dir: Path, update: int) -> dict[str, Tensor]:
    """What a run would have shipped of the checkpoint of an update: its moving average where it has one.

    Raises CheckpointError where there is no such checkpoint, or it is damaged.
    """
    chosen = Checkpoints(run_dir).at(update)
    return _mean([chosen], chosen.has(AVERAGE))


def _mean(chosen: list[Checkpoint], moving: bool) -> dict[str, Tensor]:
    tensors = average_files([checkpoint.file(WEIGHTS) for checkpoint in chosen])
    if moving:  # holds the trained parameters only; buffers stay as they are
        tensors |= average_files([checkpoint.file(AVERAGE) for checkpoint in chosen])
    return tensors
