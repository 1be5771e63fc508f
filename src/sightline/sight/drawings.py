"""Pictures of views: heads, alignments, curves over a text, hidden states, positions, the logit lens, patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sightline.sight.internals import LensView, PatchesView, PositionsView, SeriesView, StatesView
from sightline.sight.learning import LearningCurve
from sightline.sight.pictures import (
    BLUE,
    GREY,
    ORANGE,
    attention_picture,
    color_bar,
    frame,
    label_axes,
    legend_above,
    new_figure,
    patches_picture,
    plot_curves,
    save,
    shades,
    shortened,
    token_ticks,
)
from sightline.sight.steps import StepsView
from sightline.sight.terminal import full_shade
from sightline.sight.views import AlignmentView, AttentionView, HeadsView, MaskView


def attention_view_picture(view: AttentionView, path: Path) -> None:
    """The matrix under its name."""
    attention_picture(view.weights, view.columns.tokens, view.rows.tokens, path, view.site.label)


def steps_view_picture(view: StepsView, path: Path) -> None:
    """How probable what was written was at each step, and the likeliest that might have been."""
    chances = np.exp([[one.log_probability for one in likely] for likely in view.likeliest])
    figure, (panel,) = new_figure(1.5 + 0.5 * len(view.written), 3.4)
    chosen = {"written": np.exp(view.log_probabilities), "likeliest": chances[:, 0], "next to it": chances[:, 1]}
    plot_curves(panel, chosen)
    token_ticks(panel, view.written)
    label_axes(figure, panel, "step", "probability")
    panel.grid(alpha=0.3)
    legend_above(figure, panel, len(chosen))
    save(figure, path)


def mask_view_picture(view: MaskView, path: Path) -> None:
    """The mask under its name, dark where a query may attend to a key."""
    title = f"{view.site.label}: dark may be attended to"
    attention_picture(view.mask, view.columns.tokens, view.rows.tokens, path, title, bar=False)


def heads_view_picture(view: HeadsView, path: Path) -> None:
    """The heads of the attention whose head ranks first."""
    heads_picture(view.shown, view.columns.tokens, view.rows.tokens, path)


def heads_picture(
    weights: Mapping[str, np.ndarray], source: Sequence[str], target: Sequence[str], path: Path, columns: int = 4
) -> None:
    """A small attention matrix (queries down, keys across) for every head, under its name, with one colour scale."""
    rows = -(-len(weights) // columns)
    columns = min(columns, len(weights))
    figure, panels = new_figure(1.2 + 2.4 * columns, 0.5 + 2.3 * rows, rows, columns)
    small = len(source) <= 16 and len(target) <= 16
    full = full_shade(np.stack(list(weights.values())))
    for number, (panel, (name, values)) in enumerate(zip(panels, weights.items(), strict=False)):
        image = panel.imshow(values, cmap="Blues", vmin=0, vmax=full, aspect="auto")
        panel.set_title(name, fontsize=7)
        left = small and number % columns == 0
        bottom = small and number + columns >= len(weights)
        panel.set_yticks(range(len(target)) if left else [], list(target) if left else [])
        panel.set_xticks(range(len(source)) if bottom else [], list(source) if bottom else [], rotation=90)
        panel.tick_params(length=0, labelsize=5)
        if number == len(weights) - 1:
            color_bar(figure, image, "attention weight", panels[: len(weights)])
    for panel in panels[len(weights) :]:
        panel.remove()
    save(figure, path)


def alignment_view_picture(view: AlignmentView, path: Path) -> None:
    """The words of both sides, joined by their attention."""
    alignment_picture(view.weights, view.source, view.target, path)


def alignment_picture(weights_TS: np.ndarray, source: Sequence[str], target: Sequence[str], path: Path) -> None:
    """The source above and the target below, joined by lines that are as dark as the weight."""
    places = [np.linspace(0, 1, len(names) + 2)[1:-1] for names in (source, target)]
    letters = max(sum(map(len, names)) + 2 * len(names) for names in (source, target))
    figure, (panel,) = new_figure(max(4.0, 0.13 * letters), 2.0)
    for row, weights in enumerate(weights_TS):
        for column, weight in enumerate(weights):
            if weight > 0.02:
                line = [places[0][column], places[1][row]]
                panel.plot(line, [0.88, 0.12], color=BLUE, alpha=float(min(1.0, weight)), linewidth=2.2)
    for names, at, height in ((source, places[0], 0.92), (target, places[1], 0.08)):
        for name, x in zip(names, at, strict=True):
            panel.text(x, height, name, ha="center", va="bottom" if height > 0.5 else "top", fontsize=10)
    panel.set_xlim(0, 1)
    panel.set_ylim(-0.05, 1.05)
    panel.axis("off")
    color_bar(figure, shades(), "attention weight", [panel])
    save(figure, path)


def series_view_picture(view: SeriesView, path: Path) -> None:
    """The curves over the positions."""
    timeline_picture(view.lines, view.tokens, path, ylabel=view.about, xlabel=view.along, logarithmic=view.logarithmic)


def timeline_picture(
    lines: Mapping[str, np.ndarray],
    tokens: Sequence[str],
    path: Path,
    *,
    ylabel: str,
    xlabel: str = "",
    logarithmic: bool = False,
) -> None:
    """One line a name over the tokens of a text."""
    width = max(4.5, 1.2 + 0.36 * len(tokens))
    columns = max(1, min(len(lines), int(width / 2.2)))
    legend_rows = -(-len(lines) // columns)
    figure, (panel,) = new_figure(width, 3.2 + 0.16 * legend_rows)
    plot_curves(panel, lines, markersize=3.5, linewidth=1.3)
    token_ticks(panel, tokens)
    label_axes(figure, panel, xlabel, ylabel)
    if logarithmic:
        from matplotlib.ticker import LogFormatter

        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(LogFormatter())  # the default writes formulas
        panel.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
    panel.grid(alpha=0.3)
    legend_above(figure, panel, columns)
    save(figure, path)


def states_view_picture(view: StatesView, path: Path) -> None:
    """Every unit's value over the tokens, units in the order of their mean: red is positive, blue negative."""
    order = np.argsort(view.hidden_TW.mean(0))
    bound = float(np.abs(view.hidden_TW).max()) or 1.0
    figure, (panel,) = new_figure(max(4.6, 1.8 + 0.36 * len(view.tokens)), 3.6)
    colors = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}
    image = panel.imshow(view.hidden_TW[:, order].T, aspect="auto", interpolation="nearest", **colors)
    token_ticks(panel, view.tokens)
    panel.set_yticks([])
    label_axes(figure, panel, ylabel="units")
    panel.set_title(f"{view.layer}: hidden state", fontsize=9)
    color_bar(figure, image, "value", [panel])
    save(figure, path)


def positions_view_picture(view: PositionsView, path: Path) -> None:
    """Positional encodings: the stripes (positions down, dimensions across) and their dot products by distance."""
    figure, (stripes, products) = new_figure(8.6, 3.4, 1, 2)
    bound = float(np.abs(view.table_PD).max()) or 1.0
    colors = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}
    image = stripes.imshow(view.table_PD, aspect="auto", interpolation="nearest", **colors)
    label_axes(figure, stripes, "dimension", "position")
    stripes.set_title("added to the embeddings", fontsize=9)
    color_bar(figure, image, "value", [stripes])
    mean, spread = view.products()
    products.plot(mean, color=BLUE)
    products.fill_between(range(len(mean)), mean - spread, mean + spread, alpha=0.2)
    label_axes(figure, products, "distance")
    products.set_title("dot product: mean and standard deviation", fontsize=9)
    products.grid(alpha=0.3)
    save(figure, path)


def lens_view_picture(view: LensView, path: Path) -> None:
    """The likeliest token at every position (across) after every layer (up), darker where it is surer."""
    probabilities_LT = view.lens.probabilities
    layers, length = probabilities_LT.shape
    figure, (panel,) = new_figure(1.8 + 0.75 * length, max(1.8, 0.9 + 0.32 * layers))
    image = panel.imshow(probabilities_LT, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    for layer in range(layers):
        for place in range(length):
            color = "white" if probabilities_LT[layer, place] > 0.6 else "black"
            token = shortened(view.lens.tokens[layer][place], 14)
            panel.text(place, layer, token, ha="center", va="center", fontsize=6, color=color)
    token_ticks(panel, view.inputs, 7)
    panel.set_yticks(range(layers), labels=view.layers(), fontsize=7)
    frame(panel)
    color_bar(figure, image, "probability", [panel])
    save(figure, path)


def patches_view_picture(view: PatchesView, path: Path) -> None:
    """The image, and over it what its class token attended to."""
    patches_picture(view.patches.pixels, view.last_layer(), view.patches.rollout, path)


def learning_curve_picture(view: LearningCurve, path: Path) -> None:
    """The losses over updates, and under them the metric that chooses the best checkpoint, where that is another."""
    panels = view.panels()
    figure, axes = new_figure(6.4, 1.2 + 2.4 * max(1, len(panels)), max(1, len(panels)), 1)
    for panel, (name, curve, points) in zip(axes, panels, strict=False):
        few = "o" if len(curve[0]) < 30 else None
        panel.plot(*curve, color=BLUE, linewidth=1.3, marker=few, markersize=3, label="training" if points[0] else name)
        if points[0]:
            panel.plot(*points, color=ORANGE, marker="D", markersize=4, linewidth=1.0, label="validation")
        judged = view.metric is None or name == view.title
        if judged and view.best_update in (*curve[0], *points[0]):
            panel.axvline(view.best_update, color=GREY, linestyle="--", linewidth=1, label="the best")
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, fontsize=8)
        label_axes(figure, panel, ylabel=name)
    label_axes(figure, axes[len(panels) - 1 if panels else 0], "updates", panels[-1][0] if panels else "")
    save(figure, path)
