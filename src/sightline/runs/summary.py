"""What is known of a run without its weights being loaded: from its configuration, manifests, metrics and outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sightline import config
from sightline.data.locks import is_held
from sightline.errors import SightlineError
from sightline.predict.predictor import Predictor
from sightline.runs.loading import run_path
from sightline.runs.outcome import read_outcome
from sightline.sight import html
from sightline.sight.curves import learning_curves
from sightline.sight.learning import LearningCurve
from sightline.tasks.registry import DEFAULT, TASKS
from sightline.train import storage
from sightline.train.checkpoint import WEIGHTS, Checkpoints
from sightline.train.history import Line, read_history, series
from sightline.train.loop import Outcome
from sightline.train.manifest import Manifest
from sightline.train.metric import Metric
from sightline.train.run_directory import Run
from sightline.train.settings import TrainSettings

SORT_KEYS = ("name", "task", "model", "parameters", "best", "updates", "minutes", "state")
DEEPEST = 4  # folders below the one that is asked for
# What lies in a run beside its configuration.
_MARKS = ("checkpoints", "model.safetensors", "manifest.json", "metrics.jsonl", ".lock")
TRAINED, IMPORTED, TRAINING, NEW, DAMAGED = "trained", "imported", "training now", "not begun", "damaged"


@dataclass(frozen=True)
class Best:
    """The best value of the figure that chose the checkpoint, after which update, and how it is printed."""

    metric: Metric
    value: float
    update: int | None

    @property
    def text(self) -> str:
        """ "BLEU 31.25"."""
        return f"{self.metric.title} {self.metric.text(self.value)}"

    @property
    def short(self) -> str:
        """ "accuracy 87.41%", for tables."""
        name = min(self.metric.title, self.metric.name.replace("_", " "), key=len)
        return f"{name} {self.value:.4g}{'%' if self.metric.unit == '%' else ''}"


@dataclass(frozen=True, repr=False)
class RunSummary:
    """One run. A notebook shows it with its learning curves.

    Attributes:
        state: "trained", "imported", "training now", "stopped at 1,250", "not begun" or "damaged". reason: why it
            ended, or what is wrong with it, in one line.
        shapes: of every tensor of the weights, by name; empty where there are none yet.
        values: its configuration as it was read. history: the lines of its metrics.
    """

    name: str
    path: Path
    state: str
    reason: str = ""
    task: str = ""
    model: str = ""
    metric: Metric | None = None
    best: Best | None = None
    updates: int | None = None
    minutes: float | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    history: tuple[Line, ...] = ()

    @property
    def parameters(self) -> int | None:
        """How many numbers its weights are; None where there are none yet."""
        return sum(map(math.prod, self.shapes.values())) if self.shapes else None

    def __repr__(self) -> str:
        return f"RunSummary({str(self.path)!r}: {self._told()})"

    def _repr_html_(self) -> str:
        return html.run(str(self.path), self._told(), (), learning_curves(self.curve()))

    def _told(self) -> str:
        """What it is, in a line."""
        count = None if self.parameters is None else f"{self.parameters:,} parameters"
        best = None if self.best is None else self.best.text
        return ", ".join(filter(None, (f"{self.task} {self.model}".strip(), self.state, count, best)))

    def data(self) -> dict[str, object]:
        """The row of a table, as values that JSON has."""
        best = None if self.best is None else {
            "metric": self.best.metric.name, "value": self.best.value, "update": self.best.update,
        }  # fmt: skip
        return {
            "name": self.name,
            "path": str(self.path),
            "task": self.task,
            "model": self.model,
            "parameters": self.parameters,
            "best": best,
            "updates": self.updates,
            "minutes": None if self.minutes is None else round(self.minutes, 2),
            "state": self.state,
            "reason": self.reason,
        }

    def curve(self) -> LearningCurve:
        """How it learned, so far."""
        lines = list(self.history)
        metric = self.metric if self.metric is not None and self.metric.name != "loss" else None
        return LearningCurve(
            train=series(lines, "train", "loss"),
            validation=series(lines, "validation", "loss"),
            metric=None if metric is None else series(lines, "validation", metric.name),
            title="" if metric is None else metric.title,
            best_update=None if self.best is None else self.best.update,
        )


def list_runs(folder: str | Path = "runs") -> list[RunSummary]:
    """What is known of the runs in a folder and those below it, by name: `sightline.runs`."""
    return [summarise(path) for path in find_runs(Path(folder))]


def show(run: str | Path | Predictor) -> RunSummary:
    """What is known of one run, without its weights being loaded. Raises SightlineError where there is none."""
    path = run_path(run)
    if not is_run(path):
        Run(path).require()
    return summarise(path, str(path))


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's, by what lies in it, damaged or not."""
    return any((folder / name).exists() for name in _MARKS) and (
        (folder / "config.toml").exists() or (folder / "checkpoints").is_dir()
    )


def find_runs(folder: Path) -> list[Path]:
    """The runs in a folder and those below it, by name; the folder itself where it is one."""
    return [folder] if is_run(folder) else sorted(_below(folder, DEEPEST))


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inside = [one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")]
    except OSError:
        return
    for one in inside:
        if is_run(one):
            yield one
        elif depth > 1 and not one.is_symlink():
            yield from _below(one, depth - 1)


def summarise(path: Path, name: str | None = None) -> RunSummary:
    """What is known of a run; never raises for what is wrong with it, which its state tells."""
    run, name = Run(path), name or path.name
    problems: list[str] = []
    values, training, task = _configuration(run, problems)
    sizes = values.get("model")
    spec = TASKS.get(task)
    metric = None
    if training is not None:
        metric = (spec.metrics if spec else {}).get(training.metric) or Metric(
            training.metric, training.metric_direction == "max", digits=4
        )
    history = tuple(read_history(run.metrics))
    shapes = _shapes(run, problems)
    outcome = _outcome(run, training, problems)
    best, updates, minutes = _progress(run, outcome, metric, history)
    state, reason = _state(run, values, outcome, problems)
    return RunSummary(
        name,
        path,
        state,
        reason,
        task,
        str(sizes.get("kind", "")) if isinstance(sizes, dict) else "",
        metric,
        best,
        updates,
        minutes,
        shapes,
        values,
        history,
    )


def _configuration(run: Run, problems: list[str]) -> tuple[dict[str, Any], TrainSettings | None, str]:
    try:
        values = run.read_config()
    except SightlineError as error:
        problems.append(_said(run, error))
        return {}, None, ""
    task = values.get("task", DEFAULT)
    try:
        return values, TrainSettings.model_validate(values.get("training", {})), str(task)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in ("training", *first["loc"]))
        problems.append(f"{run.config.name}: {key}: {first['msg']}")
        return values, None, str(task)


def _shapes(run: Run, problems: list[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of its weights, or of those of its newest checkpoint, from the heads of the files."""
    try:
        if run.weights.exists():
            _require_sizes(run)
            return storage.tensor_shapes(run.weights)
        newest = Checkpoints(run.path).all()[-1:]
        return storage.tensor_shapes(newest[0].file(WEIGHTS)) if newest else {}
    except SightlineError as error:
        problems.append(_said(run, error))
        return {}


def _require_sizes(run: Run) -> None:
    """Raises CheckpointError where a file that the model is used from is missing or of another size than was written.

    Their content is proved when it is used: that takes as long as reading it.
    """
    for name, expected in Manifest.read(run.path, config.FORMAT).files.items():
        size = storage.require_inside(run.path, name).stat().st_size
        if all(size != one.size for one in expected):
            raise SightlineError(f"{run.path / name}: damaged ({size:,} bytes, not {expected[0].size:,})")


def _outcome(run: Run, training: TrainSettings | None, problems: list[str]) -> Outcome | None:
    try:
        return None if training is None else read_outcome(run, training)
    except SightlineError as error:
        problems.append(_said(run, error))
        return None


def _progress(
    run: Run, outcome: Outcome | None, metric: Metric | None, history: tuple[Line, ...]
) -> tuple[Best | None, int | None, float | None]:
    """(the best, updates, minutes), as far as outcome, checkpoints or metrics tell."""
    progress = None if outcome is not None else Checkpoints(run.path).progress()
    found = outcome if outcome is not None else progress
    if found is not None:
        known = metric is not None and found.best is not None
        best = Best(metric, found.best, found.best_update) if metric and known and found.best is not None else None
        return best, found.update, found.seconds / 60
    updates = max((line.update for line in history), default=None)
    if metric is None:
        return None, updates, None
    at, measured = series(list(history), "validation", metric.name)
    if not measured:
        return None, updates, None
    value = max(measured) if metric.higher_is_better else min(measured)
    return Best(metric, value, at[measured.index(value)]), updates, None


def _state(run: Run, values: Mapping[str, Any], outcome: Outcome | None, problems: list[str]) -> tuple[str, str]:
    """(state, why)."""
    if is_held(run.lock):
        return TRAINING, ""
    if problems:
        return DAMAGED, problems[0]
    if outcome is not None:
        return TRAINED, outcome.reason
    updates = run.updates
    if updates:
        return f"stopped at {updates[-1]:,}", "the same `sightline train` goes on"
    if not run.weights.exists():
        return NEW, ""
    data = values.get("data")
    learned = data.get("train") if isinstance(data, dict) else None
    return (TRAINED if learned else IMPORTED), ""


def _said(run: Run, error: Exception) -> str:
    """What is wrong, without the name of the run's own folder."""
    return " ".join(str(error).split("\n")).replace(f"{run.path}/", "").replace(f"{run.path}: ", "")


def comparable(summary: RunSummary, key: str) -> tuple[object, ...]:
    """By what runs are sorted: best first for `best`, within a metric; what is not known comes last."""
    if key == "best":
        if summary.best is None:
            return (1, "", 0.0)
        sign = -1 if summary.best.metric.higher_is_better else 1
        return (0, summary.best.metric.name, sign * summary.best.value)
    value = getattr(summary, key)
    return (value is None or value == "", value if value is not None else 0, summary.name)
