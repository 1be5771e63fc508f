"""Figures for Matplotlib and the files they are saved to (SVG, PNG, PDF); matrices and curves that need no view."""

from __future__ import annotations

import functools
import logging
import tempfile
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.cells import cell_len

from sightline.errors import SightlineError, UsageError
from sightline.sight.terminal import full_shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

# What a picture can be saved as, and what makes the same picture the same bytes.
METADATA: Mapping[str, dict[str, str | None]] = {
    ".svg": {"Date": None},
    ".png": {},
    ".pdf": {"CreationDate": None, "ModDate": None},
}
FORMATS = ".svg, .png or .pdf"
MARKERS = "osD^v<>Pp*hX"
GREY = "#bbbbbb"
BLUE = "#1f5fa8"
ORANGE = "#c2571a"
_HANGUL = ord("한")
_INCHES_A_CELL = 0.1


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


def check_format(path: Path, also: str = "") -> None:
    """Raises UsageError for a file that no picture is saved as; `also` says what else would be taken."""
    if path.suffix.lower() not in METADATA:
        raise UsageError(f"{path}: a picture is {FORMATS}{also}")


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, heights: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches without a display, and its panels, row by row; `heights` are those of the rows to each
    other where they differ."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False, height_ratios=heights).flat)


def save(figure: Figure, path: Path) -> None:
    """Writes .svg, .png or .pdf, the same bytes each time, with a font that has Hangul where one is installed.

    Raises UsageError for another kind of file, SightlineError where it cannot be written.
    """
    import matplotlib
    from matplotlib.text import Text

    check_format(path)
    font = hangul_font()
    families = [font, "DejaVu Sans"] if font else ["DejaVu Sans"]
    # In an SVG text stays text, so whoever looks at it brings the font; a missing one here does no harm.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    # a PDF holds its fonts as TrueType, which have any character
    settings: Any = {"svg.fonttype": "none", "font.family": families, "svg.hashsalt": "sightline", "pdf.fonttype": 42}
    try:
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            for text in figure.findobj(Text):
                text.set_fontfamily(families)
                text.set_parse_math(False)  # a text with dollars is no formula
            figure.savefig(path, dpi=150, metadata=METADATA[path.suffix.lower()])
    except OSError as error:
        raise SightlineError(f"{path}: cannot be written ({error.strerror})") from None


def svg_text(draw: Callable[[Path], None]) -> str:
    """What `draw` writes to an .svg file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.svg"
        draw(file)
        return file.read_text(encoding="utf-8")


def svg_element(draw: Callable[[Path], None]) -> str:
    """What `draw` writes to an .svg file, as the element alone, which a page of HTML can hold."""
    text = svg_text(draw)
    return text[text.index("<svg") :]


def token_ticks(panel: Axes, tokens: Sequence[str], size: float | None = None) -> None:
    """Tokens below the columns of a panel."""
    ticks = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    panel.set_xticks(range(len(tokens)), labels=[shortened(token) for token in tokens], fontsize=size, **ticks)


def label_axes(figure: Figure, panel: Axes, xlabel: str = "", ylabel: str = "") -> None:
    """Labels of both axes, in several lines where one is longer than its axis."""
    width, height = figure.get_size_inches()
    panel.set_xlabel(wrapped(xlabel, 0.7 * width))
    panel.set_ylabel(wrapped(ylabel, 0.6 * height))


def wrapped(text: str, inches: float) -> str:
    """A text of Matplotlib's default size in lines that are about so long."""
    return "\n".join(textwrap.wrap(text, max(12, int(inches * 11))))


def shades() -> ScalarMappable:
    """The shades of lines that are as dark as a weight from 0 to 1, for a colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap

    return ScalarMappable(cmap=LinearSegmentedColormap.from_list("lines", ["white", BLUE]))


def color_bar(figure: Figure, image: ScalarMappable, label: str, panels: Sequence[Axes]) -> None:
    """What the colours of an image mean, beside its panels."""
    bar = figure.colorbar(image, ax=panels, label=label, shrink=0.9, aspect=25, pad=0.02)
    bar.outline.set_edgecolor(GREY)
    bar.ax.tick_params(labelsize=7, color=GREY)


def legend_above(figure: Figure, panel: Axes, columns: int) -> None:
    """The names of a panel's curves above it, where they cover none."""
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", frameon=False, fontsize=7, ncols=columns)


def shortened(name: str, most: int = 40) -> str:
    """A name that fits beside a picture."""
    return name if len(name) <= most else name[: most - 1] + "…"


def attention_picture(
    weights_TS: np.ndarray, source: Sequence[str], target: Sequence[str], path: Path, title: str = "", bar: bool = True
) -> None:
    """The attention matrix as a picture: target tokens down, source tokens across, dark is much.

    Args:
        weights_TS: rows sum to one.
        path: .svg, .png or .pdf; a PNG or PDF of Hangul needs a font that has it (`hangul_font`).
        bar: whether a colour bar says what the shades mean; a mask has none.
    """
    source, target = [shortened(name) for name in source], [shortened(name) for name in target]
    margins = (max(map(cell_len, target)) * _INCHES_A_CELL, max(map(cell_len, source)) * _INCHES_A_CELL)
    width, height = 1.0 + margins[0] + 0.42 * len(source), 0.8 + margins[1] + 0.34 * len(target)
    figure, (panel,) = new_figure(width + 0.8 * bar, height)
    image = panel.imshow(weights_TS, cmap="Blues", vmin=0, vmax=full_shade(weights_TS), aspect="auto")
    panel.set_xticks(range(len(source)), labels=source, rotation=60, ha="left", rotation_mode="anchor")
    panel.set_yticks(range(len(target)), labels=target)
    panel.xaxis.tick_top()
    panel.tick_params(length=0)
    frame(panel)
    figure.supxlabel(wrapped(title, figure.get_figwidth()), fontsize=10)  # under the figure, as cells may be few
    if bar:
        color_bar(figure, image, "attention weight", [panel])
    save(figure, path)


def frame(panel: Axes) -> None:
    """A grey frame around a matrix."""
    for side in panel.spines.values():
        side.set_color(GREY)


def plot_curves(panel: Axes, curves: Mapping[str, Sequence[float] | np.ndarray], **style: Any) -> None:
    """One line a name, each with another marker than its neighbours', for who cannot tell its colour."""
    for marker, (name, values) in zip(cycle(MARKERS), curves.items(), strict=False):
        panel.plot(range(len(values)), values, marker=marker, label=name, **style)


def curves_picture(
    curves: Mapping[str, Sequence[float]], x: Sequence[str], path: Path, *, xlabel: str, ylabel: str
) -> None:
    """One line a name over common points `x`, with a legend."""
    figure, (panel,) = new_figure(6.4, 4.2)
    plot_curves(panel, curves)
    panel.set_xticks(range(len(x)), labels=list(x))
    label_axes(figure, panel, xlabel, ylabel)
    panel.grid(alpha=0.3)
    legend_above(figure, panel, min(len(curves), 4))
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
    figure, panels = new_figure(8.6, 2.8, 1, 3)
    for panel, title, over in zip(panels, ("image", "last layer", "rollout"), (None, last, rollout), strict=True):
        panel.imshow(image, extent=(0, width, height, 0), **shown)
        if over is not None:
            extent = (0, width, height, 0)
            veil = panel.imshow(over, extent=extent, cmap="viridis", vmin=0, alpha=0.65, interpolation="nearest")
            color_bar(figure, veil, "share", [panel])
        panel.set_title(title, fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
    save(figure, path)
