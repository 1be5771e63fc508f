"""A run measured on sets of its task, and what was measured kept beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from sightline import config, jsonio
from sightline.errors import SightlineError
from sightline.predict.predictor import Predictor
from sightline.runs.loading import load
from sightline.tasks.registry import TASKS
from sightline.tasks.report import Report, Row
from sightline.tasks.settings import DataSource, RunSettings
from sightline.train.run_directory import Run


def evaluate_set(model: Predictor, name: str, files: object, **options: object) -> Report:
    """One set of the kind that the model's test sets are, called `name`; `options` are those of its task."""
    return TASKS[model.settings.task].evaluate(model, name, files, **options)


@dataclass(frozen=True)
class KeptReport:
    """What an earlier evaluation of one set came to."""

    name: str
    text: tuple[str, ...]
    table: tuple[Row, ...]
    values: dict[str, object]
    answers: None = None

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
    """The reports on all test sets, and whether they are others than those that were kept.

    Those kept of the same weights, settings and content of files are taken as they are; the others are made, and kept.
    """
    kept, weights = _read(run), run.weights_digest()
    found: list[Report] = []
    model: Predictor | None = None
    entries: list[Mapping[str, object]] = []
    for name, files in settings.data.test.items():
        key = {
            "name": name,
            "files": files.model_dump(mode="json"),
            "weights": weights,
            "settings": config.free_settings(settings),
            "data": _digest(files),
        }
        entry = next((one for one in kept if _is_of(one, key)), None)
        if entry is None:
            model = model or load(run.path, device=device)
            report = evaluate_set(model, name, files)
            entry = {**key, "text": report.lines(), "table": report.rows(), "values": jsonio.finite(report.as_dict())}
        else:
            report = _kept_report(entry)
        found.append(report)
        entries.append(entry)
    changed = entries != kept
    if changed:
        run.remove_card()
        run.write_text(run.evaluations, jsonio.dumps({"reports": entries}, indent=1))
    return found, changed


def kept_reports(run: Run) -> list[KeptReport]:
    """What was measured before and kept; nothing where the file is missing or damaged."""
    return [_kept_report(entry) for entry in _read(run)]


def _digest(files: DataSource) -> str | None:
    """What identifies the content of a test set; None where its files are not here any more."""
    try:
        return hashlib.sha256(json.dumps(files.content_id(), sort_keys=True).encode()).hexdigest()
    except SightlineError:
        return None


def _is_of(entry: Mapping[str, object], key: Mapping[str, object]) -> bool:
    """Whether a kept report is of what `key` says; of files that are not here any more it is all that can be had."""
    here = key["data"] is not None
    return all(entry.get(part) == value for part, value in key.items() if here or part in entry.keys() - {"data"})


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
