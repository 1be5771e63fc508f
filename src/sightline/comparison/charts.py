"""What a comparison draws: learning curves, quality by length, differences with their intervals; as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from sightline.comparison.comparison import Comparison, ScoreTable, SetTable
from sightline.comparison.words import span_of
from sightline.errors import SightlineError
from sightline.sight.drawings import attention_view_picture
from sightline.sight.pictures import GREY, MARKERS, label_axes, legend_above, new_figure, save, shortened, svg_element
from sightline.sight.views import ViewOptions, attention

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# told apart by whoever sees colours in another way, too (Okabe and Ito 2008)
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def _saved(figure: Figure) -> str:
    return svg_element(lambda path: save(figure, path))


def learning_curves(comparison: Comparison) -> str:
    """The figure of the validation that chose each model's best checkpoint, over updates and over minutes.

    Nothing where no model has a curve, or they were chosen by different figures.
    """
    curves = [row.curve for row in comparison.rows]
    metrics = {curve.metric for curve in curves if curve.values}
    if len(metrics) != 1:
        return ""
    figure, panels = new_figure(9.0, 3.4, 1, 2)
    for row, curve, color, marker in zip(comparison.rows, curves, cycle(COLORS), cycle(MARKERS)):
        style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 3, "linewidth": 1.4}
        panels[0].plot(curve.updates, curve.values, label=shortened(row.name, 28), **style)
        panels[1].plot(curve.minutes, curve.values, **style)
    label_axes(figure, panels[0], "updates", f"validation {metrics.pop().replace('_', ' ')}")
    label_axes(figure, panels[1], "minutes of training")
    for panel in panels:
        panel.grid(alpha=0.3)
    legend_above(figure, panels[0], min(3, len(curves)))
    return _saved(figure)


def quality_by_length(comparison: Comparison, one: SetTable) -> str:
    """The first score of each model by the words of the input; nothing where all inputs are alike."""
    if len(one.by_length) < 2:
        return ""
    figure, (panel,) = new_figure(6.4, 3.4)
    places = range(len(one.by_length))
    for number, (name, color, marker) in enumerate(zip(comparison.names, cycle(COLORS), cycle(MARKERS))):
        values = [bucket.values[number] for bucket in one.by_length]
        panel.plot(places, values, label=shortened(name, 28), color=color, marker=marker, linewidth=1.4)
    labels = [f"{span_of(bucket)}\n({bucket.records:,})" for bucket in one.by_length]
    panel.set_xticks(places, labels=labels)
    label_axes(figure, panel, f"words of the input ({one.unit})", one.scores[0].metric.title)
    panel.grid(alpha=0.3)
    legend_above(figure, panel, min(3, len(comparison.names)))
    return _saved(figure)


def differences(comparison: Comparison, score: ScoreTable) -> str:
    """Each model's difference from the baseline, with its interval and a line at no difference."""
    others = list(zip(comparison.names[1:], score.models[1:], strict=True))
    figure, (panel,) = new_figure(6.4, 0.9 + 0.35 * len(others))
    for place, ((_, model), color) in enumerate(zip(others, cycle(COLORS[1:]))):
        one = model.difference
        assert one is not None
        panel.plot([one.interval.low, one.interval.high], [place, place], color=color, linewidth=2)
        panel.plot(one.value, place, "o", color=color)
    panel.axvline(0, color=GREY, linewidth=1)
    panel.set_yticks(range(len(others)), labels=[shortened(name, 28) for name, _ in others])
    panel.set_ylim(len(others) - 0.5, -0.5)
    label_axes(figure, panel, f"{score.metric.title} less that of {shortened(comparison.names[0], 28)}")
    return _saved(figure)


def attention_pictures(comparison: Comparison, text: str) -> Sequence[str]:
    """Where each model looked for one input, in the order of the models; "" of one that has nothing to show."""
    found: list[str] = []
    for predictor in comparison.predictors:
        try:
            view = attention(predictor, predictor.reading(text), ViewOptions()) if predictor.attends else None
        except (SightlineError, TypeError):  # an input of several texts, or of none
            view = None
        found.append("" if view is None else svg_element(lambda path, view=view: attention_view_picture(view, path)))
    return found
