"""A run measured on sets of its task, and what was measured kept beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sightline.predict.predictor import Predictor
from sightline.runs.loading import load
from sightline.tasks.registry import TASKS
from sightline.tasks.report import Report, Row
from sightline.tasks.settings import RunSettings
from sightline.train.run_directory import Run


def evaluate_set(model: Predictor, name: str, files: object, **options: object) -> Report:
    """One set of the kind that the model's test sets are, called `name`; `options` are those of its task."""
    return TASKS[model.settings.task].evaluate(model, name, files, **options)


def evaluate_run(run: str | Path, device: str = "cpu") -> list[Report]:
    """Every test set of a trained run, in fp32; translations with and without case."""
    model = load(run, device=device)
    return [evaluate_set(model, name, files) for name, files in model.settings.data.test.items()]


@dataclass(frozen=True)
class KeptReport:
    """What an earlier evaluation of one set came to."""

    name: str
    text: tuple[str, ...]
    table: tuple[Row, ...]
    values: dict[str, object]

    def lines(self) -> list[str]:
        """The report as text."""
        return list(self.text)

    def rows(self) -> list[Row]:
        """(score, value, signature) for a table."""
        return list(self.table)

    def as_dict(self) -> dict[str, object]:
        """The report as plain values."""
        return self.values


def evaluate_missing(run: Run, settings: RunSettings, device: str = "cpu") -> tuple[list[Report], bool]:
    """The reports on all test sets, and whether any was made.

    Those kept of the same weights and files are taken as they are; the others are made, and kept.
    """
    kept, weights = _read(run), run.weights_digest()
    found: list[Report] = []
    made = False
    model: Predictor | None = None
    entries: list[dict[str, object]] = []
    for name, files in settings.data.test.items():
        key = {"name": name, "files": files.model_dump(mode="json"), "weights": weights}
        entry = next((dict(one) for one in kept if {part: one.get(part) for part in key} == key), None)
        if entry is None:
            model = model or load(run.path, device=device)
            report = evaluate_set(model, name, files)
            entry = {**key, "text": report.lines(), "table": report.rows(), "values": _finite(report.as_dict())}
            made = True
        else:
            report = _kept_report(entry)
        found.append(report)
        entries.append(entry)
    if made:
        run.write_text(run.evaluations, json.dumps({"reports": entries}, ensure_ascii=False, indent=1))
    return found, made


def _read(run: Run) -> list[Mapping[str, object]]:
    """What was kept; nothing where the file is missing or damaged, since it can be made again."""
    try:
        reports = json.loads(run.evaluations.read_text(encoding="utf-8"))["reports"]
        return [one for one in reports if type(one) is dict and _kept_report(one)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _kept_report(entry: Mapping[str, object]) -> KeptReport:
    """Raises KeyError or TypeError for what is no report."""
    text, table, values = entry["text"], entry["table"], entry["values"]
    if type(text) is not list or type(table) is not list or type(values) is not dict:
        raise TypeError("no report")
    rows = tuple((str(label), str(value), str(signature)) for label, value, signature in table)
    return KeptReport(str(entry["name"]), tuple(map(str, text)), rows, values)


def _finite(value: object) -> object:
    """Plain values as JSON has them: what is not finite is null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
