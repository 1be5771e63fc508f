"""What `sightline look` can show: how each view is computed, written and drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from sightline.predict.reading import Reading
from sightline.sight import drawings, internals, terminal, views
from sightline.sight.views import Inspected, View, ViewOptions

V = TypeVar("V", bound=View)


@dataclass(frozen=True)
class Shown:
    """One view of one reading: the record, its text at a width in cells, and its picture."""

    view: View
    text: Callable[[int], str]
    draw: Callable[[Path], None]


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
    has_sites: bool = True
    on_page: bool = False

    def show(self, model: Inspected, reading: Reading, options: ViewOptions) -> Shown:
        view = self.compute(model, reading, options)
        return Shown(view, lambda width: self.text(view, width), lambda path: self.picture(view, path))


def _series(compute: Callable[[Inspected, Reading, ViewOptions], internals.SeriesView], has_sites: bool = True):
    return Kind(compute, terminal.series_view_text, drawings.series_view_picture, has_sites)


VIEWS: Mapping[str, Showable] = {
    "attention": Kind(views.attention, terminal.attention_view_text, drawings.attention_view_picture, on_page=True),
    "heads": Kind(views.heads_view, terminal.heads_view_text, drawings.heads_view_picture, on_page=True),
    "masks": Kind(views.masks, terminal.mask_view_text, drawings.mask_view_picture),
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
    "lens": Kind(internals.lens, terminal.lens_view_text, drawings.lens_view_picture, has_sites=False),
    "patches": Kind(internals.patches, terminal.patches_view_text, drawings.patches_view_picture, has_sites=False),
}
