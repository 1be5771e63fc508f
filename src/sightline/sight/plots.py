"""Curves drawn as text: a line of Braille dots, points upon it, and the numbers of both axes."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.sight.learning import LearningCurve

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille cell: rows down, columns across
_POINT, _BEST = "●", "◆"
_MARGIN = 10


def plot_text(
    curve: tuple[Sequence[float], Sequence[float]],
    points: tuple[Sequence[float], Sequence[float]] = ((), ()),
    marked: float | None = None,
    *,
    bounds: tuple[float, float],
    width: int = 72,
    height: int = 8,
) -> list[str]:
    """Lines of a plot `width` cells wide and `height` cells high, beside the numbers of its vertical axis.

    Args:
        curve: (x, y), joined by a line. points: (x, y), a dot each. marked: the x whose point is drawn as a
            diamond, that of the curve where there are no points.
        bounds: of the horizontal axis.
    """
    values = [*curve[1], *points[1]]
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    columns, (left, right) = max(4, width - _MARGIN), bounds

    def place(x: float, y: float) -> tuple[int, int]:
        """The dot at a point, from the left and from above."""
        across = (x - left) / ((right - left) or 1.0)
        down = (high - y) / spread
        return round(across * (2 * columns - 1)), round(down * (4 * height - 1))

    cells = [[0] * columns for _ in range(height)]
    before: tuple[int, int] | None = None
    for x, y in zip(*curve, strict=True):
        here = place(x, y)
        for across, down in _between(before or here, here):
            cells[down // 4][across // 2] |= _DOTS[down % 4][across % 2]
        before = here
    shown = [[chr(0x2800 + cell) if cell else " " for cell in row] for row in cells]
    best = [] if points[0] else [(x, y) for x, y in zip(*curve, strict=True) if x == marked]
    for x, y in [*zip(*points, strict=True), *best]:
        across, down = place(x, y)
        shown[down // 4][across // 2] = _BEST if x == marked else _POINT
    labels = {0: high, height - 1: low} if height > 1 and high > low else {height - 1: low}
    return [
        f"{_number(labels[row]) if row in labels else '':>{_MARGIN - 2}} ┤{''.join(cells)}".rstrip()
        for row, cells in enumerate(shown)
    ]


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots of a line, ends included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    shares = [step / steps for step in range(steps + 1)]
    return [
        (round(start[0] + (end[0] - start[0]) * share), round(start[1] + (end[1] - start[1]) * share))
        for share in shares
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def learning_curve_text(view: LearningCurve, width: int | None = None) -> str:
    """A plot for each panel under its name, and the updates below."""
    panels, width = view.panels(), max(30, min(width or 80, 110))
    updates = [update for _, curve, points in panels for update in (*curve[0], *points[0])]
    if not updates:
        return "nothing has been measured yet"
    bounds = (float(min(updates)), float(max(updates)))
    lines: list[str] = []
    for name, curve, points in panels:
        # the best is marked where its figure is: on the metric's own panel, or among the losses
        marked = view.best_update if view.metric is None or name == view.title else None
        about = f"{name}: line, training; {_POINT} validation" if points[0] else name
        if marked in (points[0] or curve[0]):
            about += f"; {_BEST} the best"
        lines += [about, *plot_text(curve, points, marked, bounds=bounds, width=width)]
    left, right = f"{bounds[0]:,.0f}", f"{bounds[1]:,.0f} updates"
    axis = f"{'':{_MARGIN - 1}}└{'─' * (width - _MARGIN)}"
    space = max(1, width - _MARGIN - len(left) - len(right))
    return "\n".join([*lines, axis, f"{'':{_MARGIN}}{left}{' ' * space}{right}"])
