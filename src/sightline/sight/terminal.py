"""Views drawn as text: matrices as shaded cells, curves as tables. Lines wrap at a width in terminal cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.cells import cell_len

from sightline.sight.internals import LensView, PatchesView, PositionsView, SeriesView
from sightline.sight.steps import StepsView
from sightline.sight.views import AlignmentView, AttentionView, HeadsView, MaskView, OcclusionView

_SHADES = " ░▒▓█"
# Attention whose largest weight is below this would be an empty matrix, and is shaded up to that weight instead.
FAINT = 0.5


def full_shade(weights: np.ndarray) -> float:
    """The weight that is drawn darkest: 1, or the largest of faint ones."""
    largest = float(weights.max(initial=0.0))
    return largest if 0 < largest < FAINT else 1.0


def attention_text(
    weights_TS: np.ndarray, source: Sequence[str], target: Sequence[str], width: int | None = None
) -> str:
    """A matrix of shaded cells under the source tokens, which are written downwards.

    Where even the largest weight is faint, the shades go up to that weight, and a last line says so.

    Args:
        weights_TS: rows sum to one. source, target: the tokens of the columns and rows.
        width: where to go on below with further columns, in cells; nowhere by default.
    """
    widths = [max(2, max(map(cell_len, token), default=1)) for token in source]
    margin = max(map(cell_len, target), default=0)
    full = full_shade(weights_TS)
    blocks: list[str] = []
    for part in _parts(widths, margin + 2, width):
        height = max((len(token) for token in source[part]), default=0)
        lines: list[str] = []
        for row in range(height):
            # tokens stand on the matrix, so the short ones start lower
            places = [row - (height - len(token)) for token in source[part]]
            letters = [token[place] if place >= 0 else "" for token, place in zip(source[part], places, strict=True)]
            lines.append(" " * (margin + 2) + " ".join(map(_padded, letters, widths[part])).rstrip())
        for token, weights in zip(target, weights_TS[:, part], strict=True):
            cells = [_shade(float(weight) / full) * wide for weight, wide in zip(weights, widths[part], strict=True)]
            lines.append(" " * (margin - cell_len(token)) + token + "  " + " ".join(cells).rstrip())
        blocks.append("\n".join(lines))
    if full < 1:
        blocks[-1] += f"\n({_SHADES[-1]} is {full:.2g})"
    return "\n\n".join(blocks)


def grids_text(grids: Mapping[str, np.ndarray]) -> str:
    """Grids (rows, columns) side by side under their names, each shaded from nothing to its largest number."""
    blocks: list[list[str]] = []
    for name, values in grids.items():
        largest = float(values.max()) or 1.0
        lines = [name, *("".join(_shade(float(value) / largest) * 2 for value in row) for row in values)]
        width = max(map(cell_len, lines))
        blocks.append([_padded(line, width) for line in lines])
    return "\n".join("   ".join(row).rstrip() for row in zip(*blocks, strict=True))


def numbers_text(values_RC: np.ndarray, columns: Sequence[str], rows: Sequence[str], width: int | None = None) -> str:
    """A table of numbers under the columns' names, with two decimals, small ones with three digits; NaN is a dash.

    Args:
        width: where to go on below with further columns, in cells; nowhere by default.
    """
    shown = [name if cell_len(name) <= 10 else f"{name[:9]}…" for name in columns]
    cells = [[_number(float(value)) for value in values] for values in values_RC]
    return table_text([shown, *cells], ["", *rows], width)


def table_text(cells: Sequence[Sequence[str]], names: Sequence[str], width: int | None = None) -> str:
    """Rows of cells, to the right in their columns, after the rows' names; see `numbers_text`."""
    widths = [max(6, *map(cell_len, column)) for column in zip(*cells, strict=True)]
    margin = max(map(cell_len, names))
    blocks = [
        "\n".join(
            _padded(name, margin) + "  " + " ".join(map(_to_the_right, row[part], widths[part]))
            for name, row in zip(names, cells, strict=True)
        )
        for part in _parts(widths, margin + 2, width)
    ]
    return "\n\n".join(blocks)


def _parts(widths: Sequence[int], margin: int, most: int | None) -> Iterator[slice]:
    """Columns that stand beside each other: as many as fit after a margin, and one where none does."""
    start, used = 0, margin
    for column, width in enumerate(widths):
        if most is not None and column > start and used + width > most:
            yield slice(start, column)
            start, used = column, margin
        used += width + 1
    yield slice(start, len(widths))


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _to_the_right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _shade(share: float) -> str:
    return _SHADES[min(int(share * len(_SHADES)), len(_SHADES) - 1)]


def _number(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value:.2f}"


# -- views --------------------------------------------------------------------------------------------------------


def attention_view_text(view: AttentionView, width: int | None = None) -> str:
    """The name of the attention above its matrix."""
    return f"{view.site.label}\n{attention_text(view.weights, view.columns.tokens, view.rows.tokens, width)}"


def mask_view_text(view: MaskView, width: int | None = None) -> str:
    """The name of the attention above its mask: filled where a query may attend to a key."""
    return f"{view.site.label}\n{attention_text(view.mask, view.columns.tokens, view.rows.tokens, width)}"


def heads_view_text(view: HeadsView, width: int | None = None) -> str:
    """A line for every head."""
    margin = max(len(site.label) for site, _ in view.measured)
    lines = [f"{'head':{margin}}" + "".join(f"{name.replace('_', ' '):>17}" for name in view.names)]
    for site, values in view.measured:
        lines.append(f"{site.label:{margin}}" + "".join(_measure(values[name]) for name in view.names))
    lost = f"{view.unit} that" if view.unit else "what"
    return "\n".join([*lines, f"entropy in nats; effect: {lost} the outputs lose without the head"])


def _measure(value: float) -> str:
    return f"{'–' if np.isnan(value) else f'{value:.4f}':>17}"


def alignment_view_text(view: AlignmentView, width: int | None = None) -> str:
    """A line for every pair of words that are linked."""
    return "\n".join(f"{view.source[source]} – {view.target[target]}" for source, target in view.links)


def series_view_text(view: SeriesView, width: int | None = None) -> str:
    """A line for every curve, under the positions."""
    table = numbers_text(np.stack(list(view.lines.values())), view.tokens, list(view.lines), width)
    return f"{view.along}\n{table}" if view.along else table


def steps_view_text(view: StepsView, width: int | None = None) -> str:
    """A block for each step: what was written, where it looked, what was likeliest; before them the one vector of a
    decoder that attends to nothing."""
    blocks: list[str] = []
    if view.bottleneck is not None:
        units, size = len(view.bottleneck), float(np.linalg.norm(view.bottleneck))
        blocks.append(f"one fixed vector, the same at every step: {units} units, norm {size:.3g}")
    for number, (token, value, likely) in enumerate(
        zip(view.written, view.log_probabilities, view.likeliest, strict=True)
    ):
        lines = [f"step {number + 1}: {token}  {np.exp(value):.1%}"]
        if view.weights is not None and view.keys is not None:
            rows = {"weight": view.weights, **({} if view.energies is None else {"energy": view.energies})}
            table = np.stack([values[number] for values in rows.values()])
            lines.append(numbers_text(table, view.keys.tokens, list(rows), width))
        chances = [[one.token for one in likely], [f"{np.exp(one.log_probability):.1%}" for one in likely]]
        lines.append(table_text(chances, ["likeliest", ""], width))
        blocks.append("\n".join(lines))
    head = "" if view.site is None else f"{view.site.label}\n"
    return head + "\n\n".join(blocks)


def positions_view_text(view: PositionsView, width: int | None = None) -> str:
    """The mean dot product of the positions at each distance."""
    mean, _ = view.products()
    return numbers_text(mean[None], [str(distance) for distance in range(len(mean))], ["mean product"], width)


def lens_view_text(view: LensView, width: int | None = None) -> str:
    """A line for every layer, the last one first, over the tokens that are read."""
    cells = [
        [f"{token} {value:.2f}" for token, value in zip(tokens, values, strict=True)]
        for tokens, values in zip(view.lens.tokens, view.lens.probabilities, strict=True)
    ]
    return table_text([*reversed(cells), view.inputs], [*reversed(view.layers()), ""], width)


def patches_view_text(view: PatchesView, width: int | None = None) -> str:
    """The last layer's attention and rollout, over the patches."""
    return grids_text({"last layer": view.last_layer(), "rollout": view.patches.rollout})


def occlusion_view_text(view: OcclusionView, width: int | None = None) -> str:
    """A table of losses, outputs down and positions across."""
    unit = f"{view.unit.capitalize()} that each output loses" if view.unit else "What each output loses"
    # beyond four decimals there is only the rounding of fp32
    table = numbers_text(np.round(view.losses, 4) + 0.0, view.positions, view.outputs, width)
    return f"{unit} when a position is {view.occlusion} (–: it always stays):\n{table}"
