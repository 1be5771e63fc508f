"""Attention drawn as text: one row a target token, one column a source token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.cells import cell_len

_SHADES = " ░▒▓█"


def attention_text(weights_TS: np.ndarray, source: Sequence[str], target: Sequence[str]) -> str:
    """A matrix of shaded cells under the source tokens, which are written downwards; wide characters are reckoned with.

    Args:
        weights_TS: rows sum to one. source, target: the tokens of the columns and rows.
    """
    columns = [max(2, max((cell_len(character) for character in token), default=1)) for token in source]
    margin = max(cell_len(token) for token in target)
    lines = []
    height = max(len(token) for token in source)
    for row in range(height):
        cells = []
        for token, width in zip(source, columns, strict=True):
            # tokens stand on the matrix, so the short ones start lower
            place = row - (height - len(token))
            character = token[place] if place >= 0 else ""
            cells.append(character + " " * (width - cell_len(character)))
        lines.append(" " * (margin + 2) + " ".join(cells).rstrip())
    for token, weights in zip(target, weights_TS, strict=True):
        cells = [
            _SHADES[min(int(weight * len(_SHADES)), len(_SHADES) - 1)] * width
            for weight, width in zip(weights, columns, strict=True)
        ]
        lines.append(" " * (margin - cell_len(token)) + token + "  " + " ".join(cells).rstrip())
    return "\n".join(lines)


def grids_text(grids: Mapping[str, np.ndarray]) -> str:
    """Grids (rows, columns) side by side under their names, each shaded from nothing to its largest number."""
    blocks = []
    for name, values in grids.items():
        shades = np.minimum(values / values.max() * len(_SHADES), len(_SHADES) - 1).astype(int)
        lines = [name, *("".join(_SHADES[shade] * 2 for shade in row) for row in shades)]
        width = max(map(cell_len, lines))
        blocks.append([line + " " * (width - cell_len(line)) for line in lines])
    return "\n".join("   ".join(row).rstrip() for row in zip(*blocks, strict=True))


def numbers_text(values_RC: np.ndarray, columns: Sequence[str], rows: Sequence[str]) -> str:
    """A table of numbers under the columns' names, with two decimals, small ones with three digits; what is not a
    number is a dash. Wide characters are reckoned with."""
    shown = [name if cell_len(name) <= 10 else f"{name[:9]}…" for name in columns]
    cells = [[_number(value) for value in values] for values in values_RC]
    widths = [max(6, *map(cell_len, column)) for column in zip(shown, *cells, strict=True)]
    margin = max(cell_len(name) for name in rows)

    def line(name: str, cells: Sequence[str]) -> str:
        padded = (" " * (width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True))
        return name + " " * (margin - cell_len(name)) + "  " + " ".join(padded)

    lines = [line("", shown)]
    return "\n".join([*lines, *(line(name, values) for name, values in zip(rows, cells, strict=True))])


def _number(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value:.2f}"
