"""A figure of merit: its name, which way is better, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One figure that a task's validation or evaluation gives.

    Attributes:
        name: its key among the figures, such as "loss".
        higher_is_better: whether of two values the larger is the better one.
        unit: what it is measured in, such as "%" or "nats"; empty for a plain number.
        digits: how many it is written with after the point.
    """

    name: str
    higher_is_better: bool
    unit: str = ""
    digits: int = 4

    def format(self, value: float) -> str:
        """The value as it is written for people: "31.40 %"."""
        text = f"{value:,.{self.digits}f}"
        return f"{text} {self.unit}" if self.unit else text
