"""Pictures of what lies inside a model: heads, alignments, gates, positions, residual stream, gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sightline.sight.pictures import figure_of, save

GREY = "#bbbbbb"


def heads_picture(
    weights: Mapping[str, np.ndarray], source: Sequence[str], target: Sequence[str], path: Path, columns: int = 4
) -> None:
    """A small attention matrix (queries down, keys across) for every head, under its name."""
    rows = -(-len(weights) // columns)
    columns = min(columns, len(weights))
    figure, axes = figure_of(0.6 + 2.4 * columns, 0.5 + 2.3 * rows)
    axes.remove()
    panels = figure.subplots(rows, columns, squeeze=False)
    small = len(source) <= 16 and len(target) <= 16
    for number, panel in enumerate(panels.flat):
        if number >= len(weights):
            panel.remove()
            continue
        name, values = list(weights.items())[number]
        panel.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        panel.set_title(name, fontsize=7)
        edges = (number % columns == 0, number // columns == rows - 1)
        panel.set_yticks(range(len(target)) if small and edges[0] else [], list(target) if small and edges[0] else [])
        bottom = small and (edges[1] or number + columns >= len(weights))
        panel.set_xticks(range(len(source)) if bottom else [], list(source) if bottom else [], rotation=90)
        panel.tick_params(length=0, labelsize=5)
    save(figure, path)


def alignment_picture(weights_TS: np.ndarray, source: Sequence[str], target: Sequence[str], path: Path) -> None:
    """The source above and the target below, joined by lines that are the darker the more was looked at."""
    places = [np.linspace(0, 1, len(names) + 2)[1:-1] for names in (source, target)]
    letters = max(sum(map(len, names)) + 2 * len(names) for names in (source, target))
    figure, axes = figure_of(max(4.0, 0.13 * letters), 2.0)
    for row, weights in enumerate(weights_TS):
        for column, weight in enumerate(weights):
            if weight > 0.02:
                line = [places[0][column], places[1][row]]
                axes.plot(line, [0.88, 0.12], color="#1f5fa8", alpha=float(min(1.0, weight)), linewidth=2.2)
    for names, at, height in ((source, places[0], 0.92), (target, places[1], 0.08)):
        for name, x in zip(names, at, strict=True):
            axes.text(x, height, name, ha="center", va="bottom" if height > 0.5 else "top", fontsize=10)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.05, 1.05)
    axes.axis("off")
    save(figure, path)


def timeline_picture(
    lines: Mapping[str, np.ndarray], tokens: Sequence[str], path: Path, *, ylabel: str, logarithmic: bool = False
) -> None:
    """One line a name over the tokens of a text."""
    figure, axes = figure_of(max(4.5, 1.2 + 0.36 * len(tokens)), 3.2)
    for marker, (name, values) in zip("osD^v<>Pp*hX" * 4, lines.items(), strict=False):
        axes.plot(range(len(tokens)), values, marker=marker, markersize=3.5, linewidth=1.3, label=name)
    axes.set_xticks(range(len(tokens)), labels=list(tokens), rotation=60, ha="right", rotation_mode="anchor")
    axes.set_ylabel(ylabel)
    if logarithmic:
        from matplotlib.ticker import LogFormatter

        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())  # the usual one writes formulas
        axes.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=7, ncols=1 + (len(lines) > 6))
    save(figure, path)


def units_picture(states_TW: np.ndarray, tokens: Sequence[str], path: Path, *, title: str) -> None:
    """Every unit's value over the tokens, units in the order of their mean: red is positive, blue negative."""
    order = np.argsort(states_TW.mean(0))
    bound = float(np.abs(states_TW).max()) or 1.0
    figure, axes = figure_of(max(4.0, 1.2 + 0.36 * len(tokens)), 3.6)
    axes.imshow(states_TW[:, order].T, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(tokens)), labels=list(tokens), rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks([])
    axes.set_ylabel("units")
    axes.set_title(title, fontsize=9)
    save(figure, path)


def positions_picture(table_PD: np.ndarray, path: Path, *, title: str) -> None:
    """Positional encodings: the stripes (positions down, dimensions across) and their dot products by distance."""
    figure, axes = figure_of(8.0, 3.4)
    axes.remove()
    stripes, products = figure.subplots(1, 2, width_ratios=(3, 2))
    bound = float(np.abs(table_PD).max()) or 1.0
    stripes.imshow(table_PD, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
    stripes.set_xlabel("dimension")
    stripes.set_ylabel("position")
    stripes.set_title(title, fontsize=9)
    gram = table_PD @ table_PD.T
    count = len(table_PD)
    mean = [float(np.diagonal(gram, offset).mean()) for offset in range(count)]
    spread = [float(np.diagonal(gram, offset).std()) for offset in range(count)]
    products.plot(mean, color="#1f5fa8")
    products.fill_between(range(count), np.subtract(mean, spread), np.add(mean, spread), alpha=0.2)
    products.set_xlabel("distance")
    products.set_title("dot product", fontsize=9)
    products.grid(alpha=0.3)
    save(figure, path)


def lens_picture(
    tokens_LT: Sequence[Sequence[str]], probabilities_LT: np.ndarray, inputs: Sequence[str], path: Path
) -> None:
    """The likeliest next token at every position (across) after every layer (up), darker where it is surer."""
    layers, length = probabilities_LT.shape
    figure, axes = figure_of(1.0 + 0.75 * length, 0.9 + 0.32 * layers)
    axes.imshow(probabilities_LT, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    for layer in range(layers):
        for place in range(length):
            dark = probabilities_LT[layer, place] > 0.6
            axes.text(place, layer, tokens_LT[layer][place], ha="center", va="center", fontsize=6,
                      color="white" if dark else "black")  # fmt: skip
    axes.set_xticks(range(length), labels=list(inputs), rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    axes.set_yticks(
        range(layers), labels=["embedding", *(f"block {number}" for number in range(layers - 1))], fontsize=7
    )
    for side in axes.spines.values():
        side.set_color(GREY)
    save(figure, path)
