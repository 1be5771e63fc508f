"""What `metrics.jsonl` of a run tells, read back: every figure by update, whatever has become of the file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast


@dataclass(frozen=True)
class Line:
    """One line: figures of "train" or "validation" after an update; what was not finite is NaN."""

    kind: str
    update: int
    figures: dict[str, float]


def read_history(path: Path) -> list[Line]:
    """The lines of a run's `metrics.jsonl` in their order; lines that are damaged or cut short are left out, and a file
    that is not there has none."""
    return list(_lines(path))


def _lines(path: Path) -> Iterator[Line]:
    try:
        with path.open("rb") as file:
            for text in file:
                found = _line(text)
                if found is not None:
                    yield found
    except OSError:
        return


def _line(text: bytes) -> Line | None:
    try:
        read: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict):
        return None
    values = cast("dict[str, Any]", read)
    kind, update = values.pop("kind", None), values.pop("update", None)
    if type(kind) is not str or type(update) is not int:
        return None
    figures = {name: math.nan if value is None else value for name, value in values.items()}
    return Line(kind, update, {name: float(value) for name, value in figures.items() if type(value) in (int, float)})


def series(history: list[Line], kind: str, name: str) -> tuple[list[int], list[float]]:
    """(updates, values) of one figure where it is finite."""
    found = [(line.update, line.figures[name]) for line in history if line.kind == kind and name in line.figures]
    found = [(update, value) for update, value in found if math.isfinite(value)]
    return [update for update, _ in found], [value for _, value in found]
