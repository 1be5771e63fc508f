"""Views of attention, each computed once as a typed record for others to draw or to send: weights, masks, heads,
alignments, occlusion. Those of all else inside a model are in `sight/internals.py`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import nn

from sightline.errors import UsageError, nearest
from sightline.predict.brief import BriefRepr
from sightline.sight import heads, measures
from sightline.sight.alignment import Aligner, Links, alignment_error, check_links, look_across
from sightline.sight.heads import Site
from sightline.sight.reading import Look, Reading, Side, agreement, by_word, look, occlusion, require_outputs

ATTENTION = ("*.weights",)


class Inspected(measures.ReadsOut, Protocol):
    """What views ask of a predictor beside a reading: the module itself, and what reads the residual stream out."""

    model: nn.Module


@dataclass(frozen=True)
class ViewOptions:
    """What can be asked of a view.

    Attributes:
        site: which attention, head or layer, by its recorded name; each view has a default.
        by: the measure that ranks heads, of `RANKS`. gold: of a translation, the right alignment of its words.
    """

    site: str | None = None
    by: str | None = None
    gold: Links | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class View(BriefRepr, ABC):
    """What all views have.

    Attributes:
        others: what else could be chosen as the site.
        output_weights: the attention weights that the view shows of the outputs (outputs, input positions), None where
            it shows none.
    """

    others: tuple[str, ...] = ()
    output_weights: np.ndarray | None = None

    @abstractmethod
    def data(self) -> object:
        """The view as values that JSON has."""


def side_data(side: Side) -> dict[str, object]:
    """The positions along an axis."""
    return {"tokens": side.tokens, "words": side.words, "names": side.names}


def json_numbers(values: np.ndarray, digits: int = 4) -> list[object]:
    """Rounded numbers; what is not a number is None, as JSON has none."""
    rounded = np.round(values.astype(float), digits)
    return np.where(np.isnan(rounded), np.array(None), rounded).tolist()


def json_number(value: float) -> float | None:
    """A number; None where it is not a number."""
    return None if math.isnan(value) else value


@dataclass(frozen=True, kw_only=True, repr=False)
class MatrixView(View):
    """A matrix of one attention: queries down, keys across.

    Attributes:
        axes: the names of the two axes, such as ("target", "source").
    """

    site: Site
    axes: tuple[str, str]
    rows: Side
    columns: Side

    def _where(self) -> dict[str, object]:
        return {"site": self.site.label, "rows": self.rows.tokens, "columns": self.columns.tokens}


@dataclass(frozen=True, kw_only=True, repr=False)
class AttentionView(MatrixView):
    """The weights of one head, or the mean over an attention's heads."""

    weights: np.ndarray

    def data(self) -> dict[str, object]:
        return {**self._where(), "weights": self.weights.tolist()}

    def by_word(self) -> np.ndarray | None:
        """The weights between words; None where every token is a word of its own."""
        if len(self.rows.names) == len(self.rows) and len(self.columns.names) == len(self.columns):
            return None
        return by_word(self.weights, self.rows, self.columns)

    def detailed(self) -> dict[str, object]:
        """The view with its words, of tokens and by word, in four decimals, as an answer of the server holds it."""
        words = self.by_word()
        return {
            "site": self.site.label,
            "rows": side_data(self.rows),
            "columns": side_data(self.columns),
            "axes": self.axes,
            "weights": json_numbers(self.weights),
            **({} if words is None else {"by_word": json_numbers(words)}),
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class MaskView(MatrixView):
    """Which keys each query may attend to, as the mask was applied."""

    mask: np.ndarray

    def data(self) -> dict[str, object]:
        return {**self._where(), "mask": self.mask.astype(bool).tolist()}


def _chosen(seen: Look, label: str | None) -> Site:
    default = heads.default_site(seen)
    return default if label is None else heads.find(seen, label)


def _other_sites(seen: Look, chosen: Site) -> tuple[str, ...]:
    return tuple(Site(name).label for name in seen.names if name.endswith(".weights") and name != chosen.name)


def _axes(seen: Look, site: Site) -> tuple[str, str]:
    rows, columns = seen.axes(site.name)[-2:]
    return rows, columns


def attention_view(seen: Look, label: str | None = None) -> AttentionView:
    """The weights of one recorded attention.

    Args:
        label: as `Site.label`; by default the last attention to a source, or the last.

    Raises UsageError where nothing was recorded of it.
    """
    site = _chosen(seen, label)
    axes = rows, columns = _axes(seen, site)
    return AttentionView(
        site=site,
        axes=axes,
        rows=seen.reading.sides[rows],
        columns=seen.reading.sides[columns],
        weights=heads.weights_of(seen, site),
        output_weights=heads.output_weights(seen, site),
        others=_other_sites(seen, site),
    )


def attention(model: Inspected, reading: Reading, options: ViewOptions) -> AttentionView:
    """See `AttentionView`."""
    return attention_view(look(reading, *ATTENTION), options.site)


def mask_of(seen: Look, site: Site) -> np.ndarray:
    """Where the queries of an attention may look (queries, keys), with "*.mask" recorded."""
    mask = seen[site.name.removesuffix("weights") + "mask"].numpy()
    return mask[site.head or 0] if "head" in seen.axes(site.name) else mask  # the same mask is every head's


def masks(model: Inspected, reading: Reading, options: ViewOptions) -> MaskView:
    """See `MaskView`."""
    seen = look(reading, *ATTENTION, "*.mask")
    site = _chosen(seen, options.site)
    axes = rows, columns = _axes(seen, site)
    mask = mask_of(seen, site)
    sides = reading.sides
    others = _other_sites(seen, site)
    return MaskView(site=site, axes=axes, rows=sides[rows], columns=sides[columns], mask=mask, others=others)


def attention_sites(seen: Look) -> list[dict[str, object]]:
    """Every recorded attention: its name, the number of its heads (0 where it has none) and the axes of its weights."""
    names = [name for name in seen.names if name.endswith(".weights")]
    return [
        {
            "name": name.removesuffix(".weights"),
            "heads": seen[name].shape[0] if "head" in seen.axes(name) else 0,
            "axes": _axes(seen, Site(name)),
        }
        for name in names
    ]


# By what heads can be ranked, and which way: 1 begins with the least.
RANKS = {"effect": -1, "entropy": 1, "distance": 1, "diagonality": -1, "alignment_error": 1}


@dataclass(frozen=True, kw_only=True, repr=False)
class HeadsView(View):
    """Every head with its measures, in the order of their rank.

    Attributes:
        measured: by head; NaN where a measure does not apply.
        shown: the weights of the heads of the attention whose head ranks first, which have their axes in common.
    """

    names: tuple[str, ...]
    measured: Sequence[tuple[Site, Mapping[str, float]]]
    shown: Mapping[str, np.ndarray]
    rows: Side
    columns: Side
    unit: str

    def data(self) -> list[dict[str, object]]:
        return [
            {"head": site.label, **{name: json_number(values[name]) for name in self.names}}
            for site, values in self.measured
        ]


def heads_view(model: Inspected, reading: Reading, options: ViewOptions) -> HeadsView:
    """Every head, or those of `options.site`; ranked by their effect, or by their alignment error where gold
    alignments are given.

    Raises UsageError where nothing is predicted, and for a measure that there is not, or not without gold alignments.
    """
    by = options.by or ("effect" if options.gold is None else "alignment_error")
    if by not in RANKS:
        raise UsageError(f'by: there is no "{by}"{nearest(by, RANKS)}')
    if by == "alignment_error" and options.gold is None:
        raise UsageError("by: alignment_error needs the right links; give them as gold")
    seen = look(reading, *ATTENTION)
    chosen = _chosen(seen, options.site)
    require_outputs(reading)
    names, measured = heads.table(seen, effects=True)
    if options.gold is not None:
        check_links(options.gold, seen, "gold")
        names = (*names, "alignment_error")
        measured = [(site, {**values, names[-1]: _error(seen, site, options.gold)}) for site, values in measured]
    if options.site is not None:
        measured = [(site, values) for site, values in measured if site.name == chosen.name]
        measured = [(site, values) for site, values in measured if chosen.head in (None, site.head)]
    measured = sorted(measured, key=lambda one: math.inf if math.isnan(one[1][by]) else RANKS[by] * one[1][by])
    first = measured[0][0]
    rows, columns = _axes(seen, first)
    return HeadsView(
        names=tuple(names),
        measured=measured,
        shown={site.label: heads.weights_of(seen, site) for site, _ in measured if site.name == first.name},
        rows=reading.sides[rows],
        columns=reading.sides[columns],
        unit=reading.unit,
    )


def _error(seen: Look, site: Site, gold: Links) -> float:
    """The alignment error rate of a head between a text and its translation; NaN of another."""
    if _axes(seen, site) != ("target", "source"):
        return math.nan
    return alignment_error([Aligner(site).links(seen)], [gold])


@dataclass(frozen=True, kw_only=True, repr=False)
class AlignmentView(View):
    """The words of a text and those of its translation that attended to them.

    Attributes:
        weights: between words (target, source). links: pairs of a source and a target word, from 0.
    """

    site: Site
    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: np.ndarray
    links: list[tuple[int, int]]

    def data(self) -> dict[str, object]:
        return {"site": self.site.label, "source": self.source, "target": self.target, "links": self.links}


def alignment(model: Inspected, reading: Reading, options: ViewOptions) -> AlignmentView:
    """See `AlignmentView`. Raises UsageError for a model that reads one side alone or attends to nothing."""
    if "target" not in reading.sides:
        raise UsageError("alignments are between a text and its translation; this model reads one side alone")
    seen = look_across(reading)
    found = attention_view(seen, options.site)
    return AlignmentView(
        site=found.site,
        source=found.columns.names,
        target=found.rows.names,
        weights=by_word(found.weights, found.rows, found.columns),
        links=sorted(Aligner(found.site).links(seen)),
        others=found.others,
    )


@dataclass(frozen=True, repr=False)
class OcclusionView(BriefRepr):
    """What each output loses when a position of the input is occluded, the check of attention (Jain & Wallace 2019).

    Attributes:
        losses: (outputs, positions), in `unit`; NaN where the position always stays. occlusion: how it is occluded.
    """

    losses: np.ndarray
    outputs: tuple[str, ...]
    positions: tuple[str, ...]
    occlusion: str
    unit: str
    causal: bool

    def agreement(self, weights: np.ndarray | None) -> float | None:
        """The rank correlation with a view's `output_weights`; None where they cannot be compared."""
        if weights is None:
            return None
        return json_number(agreement(weights, self.losses, causal=self.causal))


def occlusion_view(reading: Reading) -> OcclusionView:
    """One pass without each position. Raises UsageError where nothing is predicted."""
    positions = reading.sides[reading.input_axis].tokens
    return OcclusionView(
        occlusion(reading), reading.outputs, positions, reading.occlusion, reading.unit, reading.causal
    )
