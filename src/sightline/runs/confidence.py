"""A run's confidence in what it writes, fitted to its validation set and kept in it."""

from __future__ import annotations

from os import PathLike, fspath

from sightline.errors import UsageError
from sightline.predict.confidence import Confidence, write_confidence
from sightline.runs.evaluation import Progress
from sightline.runs.loading import load, spec_of
from sightline.tasks.registry import TASKS
from sightline.train import notebook
from sightline.train.run_directory import Run


def calibrate(
    run: str | PathLike[str], *, acceptable: float | None = None, precision: str = "fp32", device: str = "cpu"
) -> Confidence:
    """Fits how probable it is that what a run writes is acceptable, and keeps that in the run: what
    `sightline calibrate` does.

    The validation set is written anew by the run's own search and compared with its references. Weights and
    configuration stay as they are; a fit for earlier weights is not used any more.

    Args:
        run: a run directory.
        acceptable: the least chrF2 of an acceptable text, 0 to 100; by default what a fifth of the validation set lies
            below.
        precision, device: as of `sightline.load`.

    Raises:
        UsageError: for a run that writes no text, too little validation data, or a threshold that all of it is on one
            side of.
    """
    return fit_and_keep(Run(fspath(run)), acceptable, precision=precision, device=device, progress=notebook.counting)


def fit_and_keep(run: Run, acceptable: float | None, *, precision: str, device: str, progress: Progress) -> Confidence:
    """The same; `progress` shows how far it is."""
    spec = spec_of(run)
    if spec.fit_confidence is None:
        tasks = " or ".join(name for name, one in TASKS.items() if one.fit_confidence is not None)
        raise UsageError(
            f"{run.path}: confidence is of what runs of {tasks} write; the probabilities of a run of task {spec.name} "
            "are its model's own"
        )
    if acceptable is not None and not 0 < acceptable <= 100:
        raise UsageError(f"acceptable: a chrF2 above 0, 100 at most; not {acceptable:g}")
    with run.locked():
        model = load(run.path, precision=precision, device=device)
        with progress("writing the validation set") as advance:
            found = spec.fit_confidence(model, acceptable, advance)
        write_confidence(run, found)
    return found
