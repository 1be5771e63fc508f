"""Trackers of experiments, which get what `metrics.jsonl` holds: one small interface, imported when asked for."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from sightline.errors import UsageError, nearest
from sightline.train.display import Figures


class Tracker(Protocol):
    """One training of one run, as another program keeps it."""

    def start(self, settings: Mapping[str, object]) -> None:
        """What is trained, as plain values; before the first figures."""
        ...

    def log(self, kind: str, update: int, figures: Figures) -> None:
        """Figures of "train" or "validation" after an update."""
        ...

    def close(self) -> None: ...


def flat(settings: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """("training.learning_rate", 0.001) of nested settings; what is not set is left out."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(cast("Mapping[str, object]", value), f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value


class TensorBoard:
    """Event files in the run's own directory, `RUN/tensorboard`."""

    def __init__(self, module: Any, run_dir: Path) -> None:
        self._writer = module.SummaryWriter(str(run_dir / "tensorboard"))

    def start(self, settings: Mapping[str, object]) -> None:
        lines = "\n".join(f"    {key} = {value}" for key, value in flat(settings))
        self._writer.add_text("settings", lines)

    def log(self, kind: str, update: int, figures: Figures) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(f"{kind}/{name}", value, update)

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """A run of the experiment "sightline", in the store that MLFLOW_TRACKING_URI names, else its default.

    A training that goes on writes to the run that it began: its id is kept beside the metrics.
    """

    ID = "mlflow-run.txt"
    MOST_PARAMETER = 6000  # characters; its limit of a value

    def __init__(self, module: Any, run_dir: Path) -> None:
        self._mlflow, self._file, self._name = module, run_dir / self.ID, run_dir.name

    def start(self, settings: Mapping[str, object]) -> None:
        self._mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "sightline"))
        if self._file.exists():
            try:
                self._mlflow.start_run(run_id=self._file.read_text(encoding="utf-8").strip())
                return
            except self._mlflow.MlflowException:  # it was begun in another store, or has been removed from this one
                pass
        run = self._mlflow.start_run(run_name=self._name)
        self._file.write_text(run.info.run_id, encoding="utf-8")
        self._mlflow.log_params({key: str(value)[: self.MOST_PARAMETER] for key, value in flat(settings)})

    def log(self, kind: str, update: int, figures: Figures) -> None:
        finite = {f"{kind}/{name}": float(value) for name, value in figures.items() if math.isfinite(value)}
        self._mlflow.log_metrics(finite, step=update)

    def close(self) -> None:
        if self._mlflow.active_run() is not None:
            self._mlflow.end_run()


class Trackio:
    """A run of the project "sightline" in Trackio's local store; a training that goes on continues it by its name."""

    def __init__(self, module: Any, run_dir: Path) -> None:
        self._trackio, self._name, self._begun = module, run_dir.name, False

    def start(self, settings: Mapping[str, object]) -> None:
        project = os.environ.get("TRACKIO_PROJECT", "sightline")
        with redirect_stdout(sys.stderr):  # where messages go
            self._trackio.init(project=project, name=self._name, config=dict(flat(settings)), resume="allow")
        self._begun = True

    def log(self, kind: str, update: int, figures: Figures) -> None:
        self._trackio.log({f"{kind}/{name}": value for name, value in figures.items()}, step=update)

    def close(self) -> None:
        if self._begun:
            self._begun = False
            with redirect_stdout(sys.stderr):
                self._trackio.finish()


@dataclass(frozen=True)
class Extra:
    """A tracker: what it is called, the module that it takes, and how it is opened."""

    title: str
    module: str
    open: Callable[[Any, Path], Tracker]


TRACKERS: Mapping[str, Extra] = {
    "tensorboard": Extra("TensorBoard", "torch.utils.tensorboard", TensorBoard),
    "mlflow": Extra("MLflow", "mlflow", MLflow),
    "trackio": Extra("Trackio", "trackio", Trackio),
}


def parse_trackers(text: str) -> tuple[str, ...]:
    """The names in "tensorboard,mlflow", each once. Raises UsageError for one that there is not."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f'track: there is no "{name}"{nearest(name, TRACKERS)}')
    return tuple(dict.fromkeys(names))


def require_trackers(names: Sequence[str]) -> None:
    """Raises UsageError where the package of one is not installed; to be called before any work."""
    for name in names:
        _module(name)


def open_trackers(names: Sequence[str], run_dir: Path) -> list[Tracker]:
    """The trackers of a run by their names. Raises as `require_trackers` does."""
    return [TRACKERS[name].open(_module(name), run_dir) for name in names]


def _module(name: str) -> Any:
    extra = TRACKERS[name]
    try:
        return importlib.import_module(extra.module)
    except ImportError:
        raise UsageError(
            f"{extra.title}: is not installed; pip install 'sightline[{name}]', or do not ask for it"
        ) from None
