"""Learning curves: the figures of a training over its updates, as small diagrams in SVG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import cycle

from sightline.sight.learning import LearningCurve

BLUE, RED = "31, 95, 168", "176, 58, 46"
STYLES = ((BLUE, ""), (RED, "6 3"), ("90, 130, 60", "2 2"))  # colour and dashes, for who cannot tell colours
Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Curve:
    """Lines over updates in one small diagram."""

    lines: Mapping[str, Points]
    width: int = 640
    height: int = 200
    left: int = 56
    below: int = 34

    def _range(self) -> tuple[int, int, float, float]:
        points = [point for line in self.lines.values() for point in line]
        updates, values = zip(*points, strict=True)
        low, high = min(values), max(values)
        return min(updates), max(updates), low, high if high > low else low + 1

    @property
    def _span(self) -> int:
        return self.width - self.left - 12

    def data(self) -> dict[str, object]:
        first, last, _, _ = self._range()
        lines = [{"name": name, "points": points} for name, points in self.lines.items()]
        return {
            "lines": lines,
            "first": first,
            "last": last,
            "left": self.left,
            "span": self._span,
            "width": self.width,
        }

    def svg(self) -> str:
        """The diagram, as it is without a script, too."""
        first, last, low, high = self._range()
        base, top = self.height - self.below, 24

        def at(update: int, value: float) -> tuple[float, float]:
            across = (update - first) / (last - first) if last > first else 0.5
            return self.left + across * self._span, base - (value - low) / (high - low) * (base - top)

        parts: list[str] = []
        for value in (low, (low + high) / 2, high):
            y = at(first, value)[1]
            parts.append(f'<line x1="{self.left}" x2="{self.width - 12}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8886"/>')
            parts.append(f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        for update, anchor in ((first, "start"), (last, "end")):
            x = at(update, low)[0]
            parts.append(f'<text x="{x:.1f}" y="{base + 15}" text-anchor="{anchor}">{update:,}</text>')
        parts.append(f'<text x="{self.left + self._span / 2}" y="{base + 28}" text-anchor="middle">updates</text>')
        place = self.left
        for (name, points), (colour, dashes) in zip(self.lines.items(), cycle(STYLES), strict=False):
            style = f'stroke="rgb({colour})" stroke-width="1.8" stroke-dasharray="{dashes}" fill="none"'
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
            x, y = at(*points[-1])
            parts.append(
                f'<polyline points="{path}" {style}/><circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="rgb({colour})"/>'
            )
            parts.append(f'<line x1="{place}" x2="{place + 22}" y1="10" y2="10" {style}/>')
            parts.append(f'<text x="{place + 28}" y="14">{escape(name)}</text>')
            place += 44 + 7 * len(name)
        cursor = f'<line class="cursor" y1="{top}" y2="{base}" stroke="#888" visibility="hidden"/>'
        title = f"<title>{escape(', '.join(self.lines))} over {last:,} updates</title>"
        box = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        return f'<svg data-curve role="img" {box}>{title}{"".join(parts)}{cursor}</svg>'


def learning_curves(view: LearningCurve) -> list[Curve]:
    """The loss of training and validation, and the figure that chose the best checkpoint; what there is of them."""
    losses = {"training loss": view.train, "validation loss": view.validation}
    chosen = {} if view.metric is None else {f"validation {view.title}": view.metric}
    found = [
        {name: list(zip(*points, strict=True)) for name, points in lines.items() if points[0]}
        for lines in (losses, chosen)
    ]
    return [Curve(lines) for lines in found if lines]
