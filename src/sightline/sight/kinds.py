"""The views that can be looked at, by name: how each is computed, written, drawn and shown in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from sightline.predict.reading import Reading
from sightline.sight import drawings, html, internals, steps, terminal, views
from sightline.sight.views import AttentionView, Inspected, MaskView, OcclusionView, View, ViewOptions

V = TypeVar("V", bound=View)


@dataclass(frozen=True)
class Shown:
    """One view of one reading: the record, its text at a width in cells, its picture, and HTML for a notebook."""

    view: View
    text: Callable[[int | None], str]
    draw: Callable[[Path], None]
    html: Callable[[], str]


class Showable(Protocol):
    """A kind of view: whether a site can be chosen, whether a page of attention holds it, and how it is shown."""

    @property
    def has_sites(self) -> bool: ...

    @property
    def on_page(self) -> bool: ...

    def show(self, model: Inspected, reading: Reading, options: ViewOptions) -> Shown: ...


@dataclass(frozen=True)
class Kind(Generic[V]):
    """A `Showable` of one type of record."""

    compute: Callable[[Inspected, Reading, ViewOptions], V]
    text: Callable[[V, int | None], str]
    picture: Callable[[V, Path], None]
    html: Callable[[V], str] | None = None  # the picture, where nothing else is said
    has_sites: bool = True
    on_page: bool = False

    def show(self, model: Inspected, reading: Reading, options: ViewOptions) -> Shown:
        view, shown = self.compute(model, reading, options), self.html

        def draw(path: Path) -> None:
            self.picture(view, path)

        def output() -> str:
            return html.picture(draw, type(view).__name__) if shown is None else shown(view)

        return Shown(view, lambda width: self.text(view, width), draw, output)


def attention_view_html(view: AttentionView) -> str:
    """The matrix under its name."""
    shown = html.Matrix(view.site.label, view.weights, terminal.full_shade(view.weights))
    return html.matrix([shown], view.rows.tokens, view.columns.tokens)


def mask_view_html(view: MaskView) -> str:
    """The mask under its name."""
    shown = html.Matrix(view.site.label, view.mask.astype(float), 1.0)
    return html.matrix([shown], view.rows.tokens, view.columns.tokens, "rows may look at the dark columns")


def occlusion_view_html(view: OcclusionView) -> str:
    """What each output loses without each position: blue is lost, red is won."""
    scale = float(np.nanmax(np.abs(view.losses), initial=1e-9))
    about = f"{view.unit or 'what'} that outputs (down) lose when a position (across) is {view.occlusion}; red is won"
    return html.matrix([html.Matrix("occlusion", view.losses, scale)], view.outputs, view.positions, about, digits=2)


def _series(compute: Callable[[Inspected, Reading, ViewOptions], internals.SeriesView], has_sites: bool = True):
    return Kind(compute, terminal.series_view_text, drawings.series_view_picture, has_sites=has_sites)


VIEWS: Mapping[str, Showable] = {
    "attention": Kind(
        views.attention,
        terminal.attention_view_text,
        drawings.attention_view_picture,
        attention_view_html,
        on_page=True,
    ),
    "heads": Kind(views.heads_view, terminal.heads_view_text, drawings.heads_view_picture, on_page=True),
    "masks": Kind(views.masks, terminal.mask_view_text, drawings.mask_view_picture, mask_view_html),
    "alignment": Kind(views.alignment, terminal.alignment_view_text, drawings.alignment_view_picture, on_page=True),
    "gates": _series(internals.gates),
    "belt": _series(internals.cell_state),
    "states": Kind(internals.states, terminal.series_view_text, drawings.states_view_picture),
    "positions": Kind(
        internals.positions, terminal.positions_view_text, drawings.positions_view_picture, has_sites=False
    ),
    "residual": _series(internals.residual),
    "norms": _series(internals.norms),
    "gradients": _series(internals.gradients, has_sites=False),
    "steps": Kind(steps.steps, terminal.steps_view_text, drawings.steps_view_picture),
    "lens": Kind(internals.lens, terminal.lens_view_text, drawings.lens_view_picture, has_sites=False),
    "patches": Kind(internals.patches, terminal.patches_view_text, drawings.patches_view_picture, has_sites=False),
}
