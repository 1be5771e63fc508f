"""Attention heads by what can be measured of them: how sharp, how far, how straight, and what is lost without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sightline.errors import UsageError, nearest
from sightline.nn.context import PassContext
from sightline.sight.reading import Look, Reading


@dataclass(frozen=True)
class Site:
    """One head of one attention: its weights are `look[name][head]`, or `look[name]` where it has no heads."""

    name: str
    head: int | None = None

    @property
    def label(self) -> str:
        """As it is written and read: "decoder.0.cross_attention:3"."""
        short = self.name.removesuffix(".weights")
        return short if self.head is None else f"{short}:{self.head}"

    @classmethod
    def of(cls, label: str) -> Site:
        """What `label` gives. Raises ValueError where after the colon there is no number."""
        name, _, head = label.partition(":")
        return cls(f"{name.removesuffix('.weights')}.weights", int(head) if head else None)


def sites(look: Look) -> list[Site]:
    """Every head of every attention that was recorded."""
    found: list[Site] = []
    for name in look.names:
        if name.endswith(".weights"):
            heads = range(look[name].shape[0]) if "head" in look.axes(name) else (None,)
            found += [Site(name, head) for head in heads]
    return found


def default_site(look: Look) -> Site:
    """The attention to look at where none is named: the last to a source, or the last.

    Raises UsageError where a model attends to nothing.
    """
    known = [one for one in look.names if one.endswith(".weights")]
    if not known:
        recurrent = any(name.endswith("hidden_state") for name in look.record.offered)
        raise UsageError(f"this model attends to nothing; look at its {'states or ' * recurrent}gradients instead")
    across = [one for one in known if one in look.reading.cross_attention_sites]
    return Site((across or known)[-1])


def find(look: Look, label: str) -> Site:
    """The site of a label. Raises UsageError for one that was not recorded, with the nearest name."""
    known = [one for one in look.names if one.endswith(".weights")]
    try:
        site = Site.of(label)
    except ValueError:
        raise UsageError(f'site: "{label}" must be a name, or a name, a colon and the number of a head') from None
    if site.name not in known:
        raise UsageError(f'site: no attention "{label}"{nearest(site.name, known)}')
    count = look[site.name].shape[0] if "head" in look.axes(site.name) else 0
    if site.head is not None and not 0 <= site.head < count:
        raise UsageError(f"site: {site.name} has {count or 'no'} heads{', counted from 0' if count else ''}")
    return site


def weights_of(look: Look, site: Site) -> np.ndarray:
    """The site's weights (queries, keys); the mean over the heads where the site names none."""
    weights = look[site.name]
    if "head" not in look.axes(site.name):
        return weights.numpy()
    return (weights.mean(0) if site.head is None else weights[site.head]).numpy()


def output_weights(look: Look, site: Site) -> np.ndarray | None:
    """The site's weights in the rows that the outputs are read from (outputs, positions read), to be compared with
    `occlusion`; None where its rows or columns are others, as of an encoder's self-attention."""
    if look.axes(site.name)[-2:] != (look.reading.output_axis, look.reading.input_axis):
        return None
    return weights_of(look, site)[list(look.reading.output_positions)]


def entropy(weights_TS: np.ndarray) -> float:
    """How spread out attention is: the mean over the rows of -Σ w ln w, in nats; ln S where it is even."""
    safe = np.where(weights_TS > 0, weights_TS, 1.0)
    return float(-(weights_TS * np.log(safe)).sum(1).mean())


def distance(weights_TS: np.ndarray) -> float:
    """How far attention reaches on average: Σ w |s - t'|, t' being the place of the row on the columns' scale."""
    return float((weights_TS * np.abs(_off_diagonal(*weights_TS.shape))).sum(1).mean())


def diagonality(weights_TS: np.ndarray) -> float:
    """The share of attention that lies within one column of the diagonal, 0 to 1."""
    return float((weights_TS * (np.abs(_off_diagonal(*weights_TS.shape)) <= 1)).sum(1).mean())


def _off_diagonal(rows: int, columns: int) -> np.ndarray:
    straight = np.arange(rows) * ((columns - 1) / max(rows - 1, 1))
    return np.arange(columns)[None] - straight[:, None]


@torch.inference_mode()
def effect(reading: Reading, site: Site) -> float:
    """By how many nats all outputs together become less likely when the site's context is zero (ablation)."""

    def without(context: torch.Tensor) -> torch.Tensor:
        changed = context.clone()
        if site.head is None:
            return changed.zero_()
        changed[:, site.head] = 0
        return changed

    place = site.name.removesuffix("weights") + "context"
    return float((reading.run(PassContext()) - reading.run(PassContext(edits={place: without}))).sum())


MEASURES = {"entropy": entropy, "distance": distance, "diagonality": diagonality}


def table(look: Look, effects: bool = False) -> tuple[Sequence[str], list[tuple[Site, Mapping[str, float]]]]:
    """(names of the measures, every site with each)."""
    names = (*MEASURES, *(["effect"] if effects else []))
    rows: list[tuple[Site, Mapping[str, float]]] = []
    for site in sites(look):
        values = {name: measure(weights_of(look, site)) for name, measure in MEASURES.items()}
        if effects:
            values["effect"] = effect(look.reading, site)
        rows.append((site, values))
    return names, rows
