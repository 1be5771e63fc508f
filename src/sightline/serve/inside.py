"""What is inside a model besides one attention, as plain values that a page can draw: `/v1/look`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.errors import UsageError, nearest
from sightline.serve.looking import MAX_CHECKED, read_by
from sightline.serve.requests import LookRequest
from sightline.serve.served import ServedModel
from sightline.sight import heads, internals, page, steps, views
from sightline.sight.internals import LensView, PositionsView, SeriesView, StatesView
from sightline.sight.reading import Reading, look
from sightline.sight.views import Inspected, MaskView, ViewOptions, json_number, json_numbers

UNITS = 256  # of a vector or a hidden state that are sent
MAX_HEADS = 512  # each takes a pass
HEAD_CELLS = 400_000  # of all small matrices together


@dataclass(frozen=True)
class Chart:
    """A view and how a page draws it: `form` names which of its drawings."""

    form: str
    compute: Callable[[Inspected, Reading, ViewOptions], Any]
    values: Callable[[Any], dict[str, Any]]

    def of(self, model: Inspected, reading: Reading, options: ViewOptions) -> dict[str, Any]:
        view = self.compute(model, reading, options)
        return {"form": self.form, "others": view.others, **self.values(view)}


def _curves(view: SeriesView) -> dict[str, Any]:
    return {
        "lines": {name: _finite(values) for name, values in view.lines.items()},
        "tokens": view.tokens,
        "about": view.about,
        "along": view.along,
        "logarithmic": view.logarithmic,
    }


def _states(view: StatesView) -> dict[str, Any]:
    return {**_curves(view), "units": _finite(view.hidden_TW[:, :UNITS]), "of": view.hidden_TW.shape[1]}


def _positions(view: PositionsView) -> dict[str, Any]:
    mean, _ = view.products()
    table = view.table_PD[:, :UNITS]
    return {"table": _finite(table), "of": view.table_PD.shape[1], "products": _finite(mean)}


def _mask(view: MaskView) -> dict[str, Any]:
    return {
        "site": view.site.label,
        "rows": view.rows.tokens,
        "columns": view.columns.tokens,
        "mask": view.mask.astype(int).tolist(),
    }


def _lens(view: LensView) -> dict[str, Any]:
    return {
        "layers": view.layers(),
        "inputs": view.inputs,
        "tokens": view.lens.tokens,
        "probabilities": _finite(view.lens.probabilities),
    }


# In the order in which one came after the other: gates, memory, what it forgets; then what has no recurrence.
INSIDE: Mapping[str, Chart] = {
    "gates": Chart("curves", internals.gates, _curves),
    "belt": Chart("curves", internals.cell_state, _curves),
    "states": Chart("states", internals.states, _states),
    "gradients": Chart("curves", internals.gradients, _curves),
    "positions": Chart("positions", internals.positions, _positions),
    "masks": Chart("mask", views.masks, _mask),
    "residual": Chart("curves", internals.residual, _curves),
    "norms": Chart("curves", internals.norms, _curves),
    "lens": Chart("lens", internals.lens, _lens),
}


def look_of(served: ServedModel, request: tuple[LookRequest, np.ndarray | None]) -> dict[str, Any]:
    """One view of a model while it reads what was asked about, or all of `INSIDE` that it has.

    Raises UsageError for a view that there is not, or that this model has not.
    """
    body, pixels = request
    every = {**{name: chart.of for name, chart in INSIDE.items()}, "heads": _heads, "steps": _steps, "page": _page}
    if body.what is not None and body.what not in every:
        raise UsageError(f'what: there is no "{body.what[:50]}"{nearest(body.what, every)}')
    model, _, reading = read_by(served, body, pixels)
    options = ViewOptions(site=body.site)
    if body.what is not None:
        return {"views": {body.what: every[body.what](model, reading, options)}}
    found: dict[str, Any] = {}
    for name, chart in INSIDE.items():
        try:
            found[name] = chart.of(model, reading, options)
        except UsageError:  # a model has not all of them
            continue
    return {"views": found}


def passes_of(body: LookRequest) -> int:
    """About how many passes over the text a request takes."""
    return {"heads": 16, "page": MAX_CHECKED, None: 2 * len(INSIDE)}.get(body.what, 2)


def _heads(model: Inspected, reading: Reading, options: ViewOptions) -> dict[str, Any]:
    """Every head with its measures and its weights, those first without which most is lost."""
    seen = look(reading, *views.ATTENTION)
    heads.default_site(seen)  # a model that attends to nothing says so
    effects = bool(reading.outputs) and len(heads.sites(seen)) <= MAX_HEADS
    names, measured = heads.table(seen, effects=effects)
    if effects:
        measured = sorted(measured, key=lambda one: -one[1]["effect"])
    found: list[dict[str, Any]] = []
    left = HEAD_CELLS
    for site, values in measured:
        weights = heads.weights_of(seen, site)
        left -= weights.size
        small = json_numbers(weights, 2) if left >= 0 else None
        found.append({"site": site.label, **{name: json_number(values[name]) for name in names}, "weights": small})
    return {"form": "heads", "measures": names, "unit": reading.unit, "heads": found}


def _steps(model: Inspected, reading: Reading, options: ViewOptions) -> dict[str, Any]:
    view = steps.steps(model, reading, options)
    vectors = {"context": view.context, "state": view.state, "bottleneck": view.bottleneck}
    return {
        "form": "steps",
        "others": view.others,
        **view.data(),
        "energies": None if view.energies is None else _finite(view.energies),
        **{name: None if one is None else _finite(one[..., :UNITS]) for name, one in vectors.items()},
        "of": {name: one.shape[-1] for name, one in vectors.items() if one is not None},
    }


def _page(model: Inspected, reading: Reading, options: ViewOptions) -> dict[str, Any]:
    """All of a reading's attention as one HTML file; as `sightline look --picture NAME.html` writes it."""
    title = " ".join(reading.sides[reading.input_axis].names)
    return {"form": "page", "html": page.page_text(look(reading, *views.ATTENTION), title, MAX_CHECKED)}


def _finite(values: np.ndarray) -> list[Any]:
    """Numbers in three significant digits, as far as a drawing goes; None for what is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.floor(np.log10(np.abs(values, dtype=float)))
    digits = 10.0 ** (3 - np.where(np.isfinite(size), size, 0))
    rounded = np.round(values * digits) / digits
    return np.where(np.isfinite(rounded), rounded, np.array(None)).tolist()
