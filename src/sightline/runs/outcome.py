"""How a run ended, kept in its directory, so that a run that has ended is not trained again."""

from __future__ import annotations

import json
from dataclasses import asdict

from sightline.train import storage
from sightline.train.checkpoint import Checkpoints
from sightline.train.loop import Outcome
from sightline.train.progress import Progress
from sightline.train.run_directory import Run
from sightline.train.settings import TrainSettings

LIMITS = ("max_updates", "max_epochs", "max_minutes", "patience")


def write_outcome(run: Run, outcome: Outcome, training: TrainSettings) -> None:
    """Writes how training ended and under which limits; the last thing that a training writes beside its card."""
    values = {**asdict(outcome), "limits": _limits(training)}
    run.write_text(run.outcome, json.dumps(values, indent=1))


def read_outcome(run: Run, training: TrainSettings) -> Outcome | None:
    """How the run has ended under these limits; None where it has not, or its weights are not there."""
    if not run.weights.exists():
        return None
    checkpoints = Checkpoints(run.path).all()
    if checkpoints:
        newest = checkpoints[-1]
        if run.trained_to != newest.update:
            return None
        progress = Progress.from_json(newest.state(), str(newest.path))
        reason = progress.stop_reason(training)
        if reason is None:
            return None
        return Outcome(reason, progress.update, progress.best, progress.best_update, progress.seconds)
    # counted, or handed on without its checkpoints
    if not run.outcome.exists():
        return None
    found = storage.read_json(run.path, run.outcome.name)
    try:
        limits = found.pop("limits")
        return Outcome(**found) if limits == _limits(training) else None
    except (AttributeError, KeyError, TypeError):
        return None


def _limits(training: TrainSettings) -> dict[str, object]:
    return training.model_dump(mode="json", include=set(LIMITS))
