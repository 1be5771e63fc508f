"""A run told to people: model, data, settings, how it learned and how good it is, as text, values and a page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sightline.errors import SightlineError
from sightline.runs.evaluation import kept_reports
from sightline.runs.modules import module_rows, module_text
from sightline.runs.summary import RunSummary
from sightline.sight.drawings import learning_curve_picture
from sightline.sight.page import write_document
from sightline.sight.plots import learning_curve_text
from sightline.tasks.registry import TASKS
from sightline.train.run_directory import Run

Section = tuple[str, list[str]]


def sections(summary: RunSummary, depth: int, width: int) -> list[Section]:
    """(title, lines) of what is known, from the model to its scores."""
    found = [("", head(summary))]
    if summary.shapes:
        found.append(("model", module_text(summary.shapes, depth)))
    found.append(("data", [f"{name}: {text}" for name, text in data_files(summary.values)]))
    found.append(("settings that are not the defaults", [f"{name} = {text}" for name, text in chosen(summary)]))
    if not summary.curve().empty:
        found.append(("learning curve", learning_curve_text(summary.curve(), width).split("\n")))
    found.append(("scores", scores(summary)))
    return [(title, lines) for title, lines in found if lines]


def head(summary: RunSummary) -> list[str]:
    """What it is, how large, how far and how good."""
    reason = f" ({summary.reason})" if summary.reason and summary.reason not in summary.state else ""
    lines = [
        f"{summary.name}: {summary.model} of task {summary.task}" if summary.task else summary.name,
        f"state: {summary.state}{reason}",
    ]
    facts: list[str] = []
    if summary.parameters is not None:
        facts.append(f"{summary.parameters:,} parameters")
    if summary.updates is not None:
        facts.append(f"{summary.updates:,} updates")
    if summary.minutes is not None:
        facts.append(f"{summary.minutes:.1f} minutes of training")
    precision = _table(summary.values.get("training")).get("precision")
    lines += [", ".join([*facts, *([str(precision)] if precision else [])])] if facts else []
    if summary.best is not None:
        after = "" if summary.best.update is None else f" after update {summary.best.update:,}"
        lines.append(f"best in validation: {summary.best.text}{after}")
    return lines


def data_files(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """("train", "train.ko + train.en") for every set that the configuration names."""
    data = _table(values.get("data"))
    sets = [("train", data.get("train")), ("validation", data.get("validation"))]
    sets += [(f"test {name}", files) for name, files in _table(data.get("test")).items()]
    return [(name, text) for name, files in sets if (text := ", ".join(_sources(files)))]


def _sources(files: object) -> Iterator[str]:
    if isinstance(files, list | tuple):
        for one in files:
            yield from _sources(one)
    elif isinstance(files, dict) and "source" in files:
        both = [str(files[key]) for key in ("source", "target") if files.get(key)]
        yield " + ".join(both)


def chosen(summary: RunSummary) -> list[tuple[str, str]]:
    """The settings beside the data that are others than the defaults of the task, as ("training.warmup", "200")."""
    spec = TASKS.get(summary.task)
    values = {key: value for key, value in summary.values.items() if key not in ("data", "task")}
    try:
        # only what stands in the file: of a run that keys have changed for, it is all that can be had
        known = {} if spec is None else Run(summary.path).settings(spec.settings).model_dump(
            mode="json", exclude_defaults=True
        )  # fmt: skip
        shown = {key: known[key] for key in values if key in known} if known else values
    except SightlineError:
        shown = values
    return [(name, _text(value)) for name, value in _flat(shown)]


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value


def _text(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 100 else f"{text[:99]}…"


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def scores(summary: RunSummary) -> list[str]:
    """What was measured on its test sets."""
    rows = [
        (report.name, label, value, signature.strip("`"))
        for report in kept_reports(Run(summary.path))
        for label, value, signature in report.rows()
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return [
        f"{name:{widths[0]}}  {score:{widths[1]}}  {value:>{widths[2]}}  {signature}".rstrip()
        for name, score, value, signature in rows
    ]


def as_values(summary: RunSummary, depth: int) -> dict[str, object]:
    """All of it as values that JSON has."""
    modules = [
        {"name": row.name, "level": row.level, "times": row.times, "parameters": row.parameters, "shapes": row.shapes}
        for row in module_rows(summary.shapes, depth)
    ]
    return {
        **summary.data(),
        "modules": modules,
        "tensors": summary.shapes,
        "data": dict(data_files(summary.values)),
        "settings": dict(chosen(summary)),
        "configuration": summary.values,
        "learning_curve": summary.curve().data(),
        "scores": [report.as_dict() for report in kept_reports(Run(summary.path))],
    }


def write_page(summary: RunSummary, path: Path, depth: int) -> None:
    """The run as one HTML file that needs nothing else. Raises SightlineError where it cannot be written."""
    parts: list[str] = []
    for title, lines in sections(summary, depth, 80):
        if title == "learning curve":
            continue  # it is drawn
        shown = html.escape("\n".join(lines))
        parts.append(f"<h2>{html.escape(title)}</h2>\n<pre>{shown}</pre>" if title else f"<pre>{shown}</pre>")
    curve = summary.curve()
    draw = None if curve.empty else lambda file: learning_curve_picture(curve, file)
    write_document(path, summary.name, parts, draw)
