"""What is known of one figure that validation or evaluation gives: which way is better, its unit, how it is printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One figure.

    Attributes:
        name: as it stands in `metrics.jsonl` and in `training.metric`. higher_is_better: which way.
        unit: "%", "nats", "bits", or nothing where it has none. digits: after the point where it is printed.
        label: in tables; the name with spaces where it is not given.
    """

    name: str
    higher_is_better: bool
    unit: str = ""
    digits: int = 4
    label: str = ""

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label or self.name.replace("_", " ")

    def text(self, value: float) -> str:
        """A value of it, with its unit where that is a percent sign."""
        return f"{value:.{self.digits}f}{' %' if self.unit == '%' else ''}"


def by_name(metrics: Iterable[Metric]) -> Mapping[str, Metric]:
    """The metrics of a task by their names."""
    return {metric.name: metric for metric in metrics}
