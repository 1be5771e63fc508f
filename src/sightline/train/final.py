"""Which weights a finished run ships: the best checkpoint's, or the average of the last ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from sightline.train.averaging import average_files
from sightline.train.checkpoint import AVERAGE, WEIGHTS, Checkpoint, Checkpoints
from sightline.train.progress import Progress
from sightline.train.settings import TrainSettings


def final_weights(run_dir: Path, settings: TrainSettings, update: int) -> tuple[dict[str, Tensor], str]:
    """(fp32 tensors by name, a phrase that says where they come from), of a run that has ended after `update`.

    With `average_last` = N: the mean of the last N periodic checkpoints, the last update's counting as one. Else the
    checkpoint that was best in validation, or the last one where nothing was validated. With `ema` each checkpoint
    stands for its moving average.

    Raises:
        CheckpointError: where a checkpoint that is needed is missing, damaged or cannot be read: no other takes its
            place.
    """
    checkpoints = Checkpoints(run_dir)
    last = checkpoints.at(update)
    last.verify([])
    if settings.average_last:
        due = [c.update for c in checkpoints.all() if c.update % settings.save_every == 0 and c.update < update]
        chosen = [checkpoints.at(one) for one in [*due, update][-settings.average_last :]]
        return _mean(chosen, bool(settings.ema)), f"average of updates {', '.join(str(c.update) for c in chosen)}"
    best = Progress.from_json(last.state(), str(last.path)).best_update
    if best is None or best == update:
        return _mean([last], bool(settings.ema)), f"update {update}"
    return _mean([checkpoints.at(best)], bool(settings.ema)), f"update {best}, the best in validation"


def checkpoint_weights(run_dir: Path, update: int) -> dict[str, Tensor]:
    """What a run would have shipped of the checkpoint of an update: its moving average where it has one.

    Raises CheckpointError where there is no such checkpoint, or it is damaged.
    """
    chosen = Checkpoints(run_dir).at(update)
    return _mean([chosen], chosen.has(AVERAGE))


def _mean(chosen: Sequence[Checkpoint], moving: bool) -> dict[str, Tensor]:
    names = [WEIGHTS, AVERAGE] if moving else [WEIGHTS]
    for checkpoint in chosen:
        checkpoint.verify(names)
    tensors: dict[str, Tensor] = {}
    if len(chosen) == 1:
        return {key: tensor for name in names for key, tensor in chosen[0].tensors(name).items()}
    for name in names:  # the average holds the trained parameters only; buffers stay as they are
        tensors |= average_files([checkpoint.file(name) for checkpoint in chosen])
    return tensors
