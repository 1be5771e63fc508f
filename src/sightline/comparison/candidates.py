"""What is compared: models, each of one run or of one for each seed, and what they must have in common."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sightline import config
from sightline.errors import SightlineError, UsageError
from sightline.runs.loading import spec_of
from sightline.runs.outcome import read_outcome
from sightline.tasks.settings import RunSettings
from sightline.tasks.spec import TaskSpec
from sightline.train.history import Line, read_history
from sightline.train.loop import Outcome
from sightline.train.run_directory import Run

SEED = "training.seed"
_NEAR = 0.05  # budgets that differ by less are the same
_PATIENCE = "validations without a better"  # how a training ends that went on as long as it helped


@dataclass(frozen=True)
class Spent:
    """What a training has taken, and how it ended.

    Attributes:
        tokens: read in training, or what else batches are sized in; None where the log does not tell.
        core_minutes: minutes of training times threads.
    """

    updates: int
    tokens: float | None
    core_minutes: float
    reason: str


@dataclass(frozen=True)
class Curve:
    """One figure of the validation while a run was trained: its values, at which updates and after how many minutes."""

    metric: str
    updates: tuple[int, ...]
    minutes: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Trained:
    """A run that has ended: its settings, what it took, its size."""

    run: Run
    settings: RunSettings
    spent: Spent

    @cached_property
    def log(self) -> list[Line]:
        """The lines of its log that can be read."""
        return read_history(self.run.metrics)

    def curve(self) -> Curve:
        """The figure of the validation by which the best checkpoint was chosen."""
        metric, seconds, before = self.settings.training.metric, 0.0, 0.0
        points: list[tuple[int, float, float]] = []
        for line in self.log:
            if line.kind == "train":
                total = _first(line, *_UNITS)
                speed = _first(line, *(f"{unit}_per_second" for unit in _UNITS))
                seconds += (total - before) / speed if speed else 0.0
                before = total
            elif math.isfinite(value := line.figures.get(metric, math.nan)):
                points.append((line.update, seconds / 60, value))
        updates, minutes, values = zip(*points, strict=True) if points else ((), (), ())
        return Curve(metric, updates, minutes, values)


_UNITS = ("tokens", "images")


@dataclass(frozen=True)
class Candidate:
    """A model that is compared: its name, and its runs, one for each seed."""

    name: str
    runs: tuple[Trained, ...]

    @property
    def first(self) -> Trained:
        return self.runs[0]

    @property
    def spec(self) -> TaskSpec[Any]:
        return spec_of(self.first.run)

    @property
    def core_minutes(self) -> float:
        """The mean over its seeds."""
        return sum(one.spent.core_minutes for one in self.runs) / len(self.runs)


def read_trained(path: str | Path) -> Trained:
    """A run that has ended. Raises UsageError for one that has not, as `Run.require` does for what is none."""
    run = Run(path)
    run.require()
    settings = run.settings(spec_of(run).settings)
    outcome = read_outcome(run, settings.training)
    if outcome is None and run.updates:
        raise UsageError(f"{path}: has not ended; `sightline train {run.config} --run {path}` goes on")
    if outcome is None and not run.weights.exists():
        raise UsageError(f"{path}: is not trained; `sightline train {run.config} --run {path}` trains it")
    trained = Trained(run, settings, Spent(0, None, 0.0, "imported"))
    return trained if outcome is None else Trained(run, settings, _spent(outcome, trained))


def _spent(outcome: Outcome, trained: Trained) -> Spent:
    totals = [_first(line, *_UNITS) for line in trained.log if line.kind == "train"]
    threads = trained.settings.training.threads or 1
    return Spent(outcome.update, totals[-1] if totals else None, outcome.seconds * threads / 60, outcome.reason)


def read_candidates(paths: Sequence[str | Path], names: Sequence[str] = ()) -> list[Candidate]:
    """The runs as models to be compared; those that only differ in their seed are one model.

    Args:
        names: what to call them, one for each path; those of one model the same. Folder names by default.
    """
    if len({Path(path).resolve() for path in paths}) != len(paths):
        raise UsageError("a run is named twice; name each once")
    trained = [read_trained(path) for path in paths]
    groups: dict[str, list[tuple[str, Trained]]] = {}
    for number, one in enumerate(trained):
        key = names[number] if names else json.dumps(_without_seed(one), sort_keys=True, default=str)
        groups.setdefault(key, []).append((str(paths[number]), one))
    called = (
        list(dict.fromkeys(names)) if names else _called([[path for path, _ in group] for group in groups.values()])
    )
    return [
        Candidate(name, tuple(one for _, one in group)) for name, group in zip(called, groups.values(), strict=True)
    ]


def _without_seed(one: Trained) -> Mapping[str, Any]:
    """What makes a run of another seed the same model; runs of one seed are models of their own."""
    fixed = config.fixed_settings(one.settings)
    return {key: value for key, value in fixed.items() if key != SEED} | {"task": one.settings.task}


def _called(groups: Sequence[Sequence[str]]) -> list[str]:
    """The shortest ends of the paths that tell the groups apart; of several runs what their paths have in common."""
    paths = [Path(group[0]) if len(group) == 1 else Path(group[0]).parent for group in groups]
    if len({str(path) for path in paths}) != len(paths):
        paths = [Path(group[0]) for group in groups]
    length = 1
    while len({path.parts[-length:] for path in paths}) != len(paths) and length < max(
        len(path.parts) for path in paths
    ):
        length += 1
    return ["/".join(path.parts[-length:]) for path in paths]


def differences(candidates: Sequence[Candidate], *, budgets: bool = True) -> list[str]:
    """What the models do not have in common and would have to, one line each; none where they can be compared.

    Args:
        budgets: whether their budgets are looked at, too.

    Raises UsageError for models of different tasks, which nothing compares.
    """
    first, found = candidates[0], []
    for other in candidates[1:]:
        if other.spec.name != first.spec.name:
            raise UsageError(
                f"{other.first.run.path}: a run of task {other.spec.name}; {first.first.run.path} is one of "
                f"{first.spec.name}, and no score is of both"
            )
    for what, value_of in _COMMON.items():
        by_value: dict[str, list[str]] = {}
        for one in candidates:
            by_value.setdefault(json.dumps(value_of(one.first), sort_keys=True, default=str), []).append(one.name)
        if len(by_value) > 1:
            sides = "; ".join(f"{', '.join(names)}: {_shown(value)}" for value, names in by_value.items())
            found.append(f"{what} differ: {sides}")
    if budgets and (unlike := _budgets(candidates)) is not None:
        found.append(unlike)
    return found


def _shown(value: str) -> str:
    text = value.strip('"')
    return text if len(text) <= 100 else text[:99] + "…"


def _training_data(one: Trained) -> object:
    return [_content(source) for source in one.settings.data.train]


def _test_data(one: Trained) -> object:
    return {name: _content(files) for name, files in one.settings.data.test.items()}


def _content(source: Any) -> str:
    """What identifies the records of a source; its name where its files are not here any more."""
    try:
        return hashlib.sha256(json.dumps(source.content_id(), sort_keys=True).encode()).hexdigest()[:12]
    except SightlineError:
        return str(source.source)


def _search(one: Trained) -> object:
    return config.free_settings(one.settings)


_COMMON: Mapping[str, Callable[[Trained], object]] = {
    "training data": _training_data,
    "test sets": _test_data,
    "settings of the search": _search,
}


def _budgets(candidates: Sequence[Candidate]) -> str | None:
    """What budgets differ in; None where the models have one in common: updates, tokens, core-minutes, epochs, or as
    long as it helped."""
    spent = [one.first.spent for one in candidates]
    epochs = {one.first.settings.training.max_epochs for one in candidates}
    if all(_PATIENCE in one.reason for one in spent) or (len(epochs) == 1 and None not in epochs):
        return None
    measures = (
        [float(one.updates) for one in spent],
        [one.tokens or 0.0 for one in spent],
        [one.core_minutes for one in spent],
    )
    if any(min(values) > 0 and max(values) <= (1 + _NEAR) * min(values) for values in measures):
        return None
    told = "; ".join(
        f"{one.name}: {one.first.spent.updates:,} updates, {one.first.spent.tokens or 0:,.0f} tokens, "
        f"{one.core_minutes:.1f} core-minutes"
        for one in candidates
    )
    return f"budgets differ: {told}"


def _first(line: Line, *names: str) -> float:
    """The first of these figures that a line has; 0 where it has none."""
    return next((line.figures[name] for name in names if name in line.figures), 0.0)
