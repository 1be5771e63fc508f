"""What an evaluation of one set comes to, as text, as a table and as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from sightline.predict.brief import cut
from sightline.sight import html
from sightline.tasks.answers import Answers
from sightline.tasks.details import Detail
from sightline.train.metric import Metric

Row = tuple[str, str, str]


class Report(Protocol):
    """What was measured on one set."""

    @property
    def name(self) -> str: ...

    @property
    def answers(self) -> Answers | None:
        """What was answered, record by record; None where the report does not have it."""
        ...

    @property
    def details(self) -> Sequence[Detail]:
        """What the figures are made of; nothing where the report does not have it."""
        ...

    def lines(self) -> list[str]:
        """The report as text."""
        ...

    def rows(self) -> list[Row]:
        """(score, value, signature) for a table."""
        ...

    def as_dict(self) -> dict[str, object]:
        """The report as plain values."""
        ...


def details_of(report: Report) -> Sequence[Detail]:
    """The details of a report; none of one that a user's own task makes without them."""
    return getattr(report, "details", ())


class ReportRepr:
    """A report in a line, and as the table that a notebook shows; for dataclasses with `repr=False`."""

    def __repr__(self: Report) -> str:
        scores = ", ".join(f"{label} {value}" for label, value, _ in self.rows())
        return f"{type(self).__name__}({cut(self.name, 40)}: {scores})"

    def _repr_html_(self: Report) -> str:
        return html.report(self)


@dataclass(frozen=True, repr=False)
class Figures(ReportRepr):
    """What a model's answers on one set come to.

    Attributes:
        count, unit: how many of what were counted. scores: by the names of `metrics`, which say how each is printed.
        answers: what was answered, record by record, where that is known. details: what the scores are made of.
    """

    name: str
    count: int
    unit: str
    scores: Mapping[str, float]
    seconds: float
    metrics: Mapping[str, Metric]
    answers: Answers | None = field(default=None, repr=False, compare=False)
    details: Sequence[Detail] = field(default=(), repr=False, compare=False)

    def lines(self) -> list[str]:
        """The report as text."""
        lines = [f"{self.name}: {self.count:,} {self.unit}, {self.count / max(self.seconds, 1e-9):,.0f} a second"]
        return lines + [f"  {label} {value}" for label, value, _ in self.rows()]

    def rows(self) -> list[Row]:
        """(score, value, signature) for a table."""
        return [(self.metrics[name].title, self.metrics[name].text(value), "") for name, value in self.scores.items()]

    def as_dict(self) -> dict[str, object]:
        """The report as plain values."""
        values = asdict(replace(self, metrics={}, answers=None, details=()))
        del values["metrics"], values["answers"], values["details"]
        return values
