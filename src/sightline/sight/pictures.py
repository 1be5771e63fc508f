"""Attention and figures drawn with Matplotlib, as SVG or PNG."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len

from sightline.errors import SightlineError, UsageError

_HANGUL = ord("한")


@functools.cache
def hangul_font() -> str | None:
    """The name of an installed font that has Hangul, or None."""
    from matplotlib import font_manager, ft2font

    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: entry.name):
        if any(
            word in entry.name for word in ("CJK", "Nanum", "Malgun", "Apple SD", "AppleGothic", "Hangul", "Gothic")
        ):
            try:
                if _HANGUL in ft2font.FT2Font(entry.fname).get_charmap():
                    return entry.name
            except (OSError, RuntimeError):
                continue
    return None


def figure_of(width: float, height: float) -> tuple[Any, Any]:
    """A figure of so many inches and its axes, without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def save(figure: Any, path: Path) -> None:
    """Writes .svg or .png, the same bytes each time, with a font that has Hangul where one is installed.

    Raises UsageError for another kind of file, SightlineError where it cannot be written.
    """
    import matplotlib

    if path.suffix not in (".svg", ".png"):
        raise UsageError(f"{path}: a picture is .svg or .png")
    font = hangul_font()
    families = [font, "DejaVu Sans"] if font else ["DejaVu Sans"]
    # In an SVG text stays text, so whoever looks at it brings the font; a missing one here does no harm.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    settings: Any = {"svg.fonttype": "none", "font.family": families, "svg.hashsalt": "sightline"}
    try:
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            for text in figure.findobj(lambda artist: hasattr(artist, "set_fontfamily")):
                text.set_fontfamily(families)
                text.set_parse_math(False)  # a text with dollars is no formula
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise SightlineError(f"{path}: cannot be written ({error.strerror})") from None


_INCHES_A_CELL = 0.1


def _short(name: str, most: int = 40) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def attention_picture(
    weights_TS: np.ndarray, source: Sequence[str], target: Sequence[str], path: Path, title: str = ""
) -> None:
    """The attention matrix as a picture: target tokens down, source tokens across, dark is much.

    Args:
        weights_TS: rows sum to one.
        path: .svg or .png; a PNG of Hangul needs a font that has it (`hangul_font`).
    """
    source, target = [_short(name) for name in source], [_short(name) for name in target]
    margins = (max(map(cell_len, target)) * _INCHES_A_CELL, max(map(cell_len, source)) * _INCHES_A_CELL)
    figure, axes = figure_of(1.0 + margins[0] + 0.42 * len(source), 0.8 + margins[1] + 0.34 * len(target))
    axes.imshow(weights_TS, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), labels=source, rotation=60, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(target)), labels=target)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_color("#bbbbbb")
    if title:
        axes.set_xlabel(title)
    save(figure, path)


def curves_picture(
    curves: Mapping[str, Sequence[float]], x: Sequence[str], path: Path, *, xlabel: str, ylabel: str
) -> None:
    """One line a name over common points `x`, with a legend."""
    figure, axes = figure_of(6.4, 4.0)
    for marker, (name, values) in zip("osD^v<>Pp*", curves.items(), strict=False):
        axes.plot(range(len(x)), values, marker=marker, label=name)
    axes.set_xticks(range(len(x)), labels=list(x))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save(figure, path)


def patches_picture(pixels_YXC: np.ndarray, last: np.ndarray, rollout: np.ndarray, path: Path) -> None:
    """An image; over it, how much the class token attended to each patch in the last layer; and attention rollout.

    Args:
        last, rollout: (rows, columns) of patches, brighter where larger.
    """
    height, width = pixels_YXC.shape[:2]
    grey = pixels_YXC.shape[2] == 1
    shown = {"cmap": "gray", "vmin": 0, "vmax": 255} if grey else {}
    image = pixels_YXC[:, :, 0] if grey else pixels_YXC[:, :, :3]
    figure, axes = figure_of(7.5, 2.8)
    axes.remove()
    panels = figure.subplots(1, 3)
    for panel, title, over in zip(panels, ("image", "last layer", "rollout"), (None, last, rollout), strict=True):
        panel.imshow(image, extent=(0, width, height, 0), **shown)
        if over is not None:
            panel.imshow(over, extent=(0, width, height, 0), cmap="viridis", alpha=0.65, interpolation="nearest")
        panel.set_title(title, fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
    save(figure, path)
