"""The model card of a run: how it was made, what from, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sightline import __version__
from sightline.tasks.report import Report
from sightline.tasks.settings import RunSettings
from sightline.train.loop import Outcome
from sightline.train.metric import Metric


def model_card(
    settings: RunSettings, outcome: Outcome, reports: Sequence[Report], count: int, metric: Metric | None
) -> str:
    """The README of a run of a model of `count` parameters; `metric` chose its checkpoint."""
    ended = f"{outcome.update:,} updates"
    if outcome.reason != ended:
        ended += f" ({outcome.reason})"
    lines = [
        f"# {settings.title}, {settings.model.kind}",
        "",
        f"Trained by Sightline {__version__} with PyTorch {torch.__version__}: {ended}, {count:,} parameters, "
        f"{settings.training.precision}.",
    ]
    if outcome.best is not None and outcome.best_update is not None:
        name = settings.training.metric
        best = f"{outcome.best:.4g}" if metric is None else metric.text(outcome.best)
        lines.append(f"Best validation {name}: {best} at update {outcome.best_update:,}.")
    lines += ["", "Learned from: " + ", ".join(files.source for files in settings.data.train), ""]
    if settings.parent is not None:
        lines += [f"Went on from: {settings.parent}", ""]
    lines += score_table(reports)
    lines += ["Everything it was made from is in `config.toml`; `metrics.jsonl` tells how training went.", ""]
    return "\n".join(lines)


def score_table(reports: Sequence[Report]) -> list[str]:
    """The scores of all sets as a table; nothing where there is no set."""
    rows = [f"| {report.name} | {' | '.join(row)} |" for report in reports for row in report.rows()]
    return ["| set | score | value | signature |", "| --- | --- | --- | --- |", *rows, ""] if rows else []
