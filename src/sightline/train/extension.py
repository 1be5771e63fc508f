"""What may change of a run's configuration once training has begun, and what would make it another run."""

from __future__ import annotations

from pydantic import BaseModel

from sightline import config
from sightline.train import schedules
from sightline.train.progress import Progress
from sightline.train.settings import TrainSettings

_SHOWN = 3


def refused(before: BaseModel, after: BaseModel, progress: Progress | None) -> str | None:
    """Why a run that was begun with the settings `before` and has come as far as `progress` cannot go on with `after`;
    None where it can: only limits are raised, or what weights do not depend on is another."""
    changes = [one for one in config.changes(before, after) if not _allowed(one)]
    if changes:
        more = f" (and {len(changes) - _SHOWN} more)" if len(changes) > _SHOWN else ""
        shown = "; ".join(map(str, changes[:_SHOWN]))
        return f"this run was started with another configuration: {shown}{more}; give it again, "
    old, new = _training(before), _training(after)
    if old is None or new is None:
        return None
    reached = 0 if progress is None else progress.update
    if not schedules.same_until(old, new, reached):
        return (
            f"training.max_updates: {old.max_updates} → {new.max_updates}: the {new.schedule} schedule ends there, so "
            f"the {reached:,} updates that were made would have had other learning rates; "
        )
    if old.max_epochs != new.max_epochs and progress is not None and _ended_short(old, progress):
        return (
            f"training.max_epochs: {old.max_epochs} → {new.max_epochs}: the last of the {reached:,} updates was made "
            f"of fewer than {old.accumulate} batches, since the data ended there; "
        )
    if new.average_last and (old.save_every, old.keep) != (new.save_every, new.keep):
        return "training.save_every and training.keep decide which checkpoints are averaged; give them again, "
    return None


def _allowed(change: config.Change) -> bool:
    if change.kind != "extend":
        return change.kind == "free"
    # a limit may become a later one, or none, which is 0 where it counts validations; or take the place of another
    return change.before is None or not change.after or bool(change.before and change.after >= change.before)


def _ended_short(training: TrainSettings, progress: Progress) -> bool:
    """Whether the epoch that ended the run cut its last update short, which a longer run would have filled up."""
    if training.accumulate == 1 or training.max_epochs is None or progress.position.epoch < training.max_epochs:
        return False
    return progress.short is not False  # a checkpoint that does not tell may be of either kind


def _training(settings: BaseModel) -> TrainSettings | None:
    """How a run of these settings is trained; None of one that is counted."""
    return next((one for _, one in settings if isinstance(one, TrainSettings)), None)
