"""How a run ended, kept in its directory, so that a run that has ended is not trained again."""

from __future__ import annotations

import json
from dataclasses import asdict

from sightline.train import storage
from sightline.train.loop import Outcome, finished
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
    if run.updates:
        ended = finished(training, run.path)
        return ended if ended is not None and run.trained_to == ended.update else None
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
