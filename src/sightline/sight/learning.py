"""How a run learned: the loss of training and what validation measured, over updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sightline.sight.views import View

Points = tuple[list[int], list[float]]  # updates and values


@dataclass(frozen=True, kw_only=True)
class LearningCurve(View):
    """Curves over updates, some of which may have no point yet.

    Attributes:
        train: the loss of training. validation: its loss in validation. metric: the figure that chooses the best
            checkpoint, where that is another one than the loss; `title` is its name.
        best_update: after which update it was best.
    """

    train: Points
    validation: Points
    metric: Points | None
    title: str
    best_update: int | None

    @property
    def empty(self) -> bool:
        return not (self.train[0] or self.validation[0] or (self.metric and self.metric[0]))

    def panels(self) -> list[tuple[str, Points, Points]]:
        """From above: what is measured, a curve, and points beside it."""
        nothing: Points = ([], [])
        above = [("loss", self.train, self.validation)] if self.train[0] or self.validation[0] else []
        return above + ([(self.title, self.metric, nothing)] if self.metric is not None and self.metric[0] else [])

    def data(self) -> Mapping[str, object]:
        def values(points: Points, name: str) -> dict[str, object]:
            return {"updates": points[0], name: points[1]}

        return {
            "train": values(self.train, "loss"),
            "validation": values(self.validation, "loss"),
            **({} if self.metric is None else {"metric": {"name": self.title, **values(self.metric, "values")}}),
            "best_update": self.best_update,
        }
