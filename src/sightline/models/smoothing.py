"""From counts of n-grams to probabilities: interpolated modified Kneser–Ney, adding k, and relative frequency.

Every smoothing ends in one form, that of Katz (1987): of each n-gram seen, ln p of its last word after the others; of
each context seen, the ln weight with which words never seen after it fall back on the context without its first word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.models.counting import Counts, Floats, Ints, pieces, starts_with, suffixes
from sightline.special_tokens import PAD_ID

Smoothing = Literal["kneser_ney", "add_k", "none"]


@dataclass(frozen=True)
class Table:
    """The n-grams of one order. keys (N,) int64 as in `counting`; ln p and ln back-off weight (N,) float64.

    The weight is 1 (ln 1 = 0) where nothing was seen after an n-gram. The highest order has none: (0,).
    """

    keys: Ints
    log_p: Floats
    log_backoff: Floats


def estimate(counts: list[Counts], vocab_size: int, smoothing: Smoothing, k: float, bos_id: int) -> list[Table]:
    """The tables of all orders from what was counted; `k` is of "add_k" alone."""
    predictable = np.ones(vocab_size, bool)
    predictable[[PAD_ID, bos_id]] = False
    tables = _ESTIMATORS[smoothing](counts, vocab_size, k, bos_id, predictable)
    with np.errstate(divide="ignore"):  # ln 0 = -inf: what cannot be predicted, and fallbacks without weight
        return [Table(keys, np.log(p, out=p), np.log(backoff, out=backoff)) for keys, p, backoff in tables]


# keys, p and the weight of the fallback of each order
_Linear = list[tuple[Ints, Floats, Floats]]


def _sums(keys: Ints, vocab_size: int, contexts: int, counts: Ints, worth: Floats | None = None) -> Floats:
    """Σ_w c(h w), or where `worth` is given Σ_w worth[c(h w)], for each of the `contexts` h: (contexts,)."""
    sums = np.zeros(contexts)
    for part in pieces(len(keys)):
        prefixes = keys[part] // vocab_size
        values = counts[part] if worth is None else worth[counts[part]]
        found = np.bincount(prefixes - prefixes[0], values)  # prefixes ascend
        sums[prefixes[0] : prefixes[0] + len(found)] += found
    return sums


def _with_weights(p: list[tuple[Ints, Floats]], weights: list[Floats]) -> _Linear:
    """Weights were found while the n-grams that extend a context were; they belong to the context, an order below."""
    following = [*weights[1:], np.zeros(0)]
    return [(keys, each, weight) for (keys, each), weight in zip(p, following, strict=True)]


def _kneser_ney(
    counts: list[Counts], vocab_size: int, k: float, bos_id: int, predictable: NDArray[np.bool_]
) -> _Linear:
    """Interpolated modified Kneser–Ney (Chen & Goodman 1999, section 4.1.3; Heafield et al. 2013, section 3.3).

    With a(h w) the count of an n-gram in the highest order, or where it begins with bos, and otherwise the number of
    distinct words seen before it:

        p(w | h) = (a(h w) - D(a(h w))) / Σ_v a(h v) + γ(h) p(w | h without its first word)
        γ(h) = Σ_v D(a(h v)) / Σ_v a(h v)

    Below order 1 lies the uniform distribution over the words that can be predicted, seen in training or not.
    """
    keys = [one.keys for one in counts]
    below = suffixes(keys, vocab_size)
    from_bos = starts_with(keys, vocab_size, bos_id)
    p_lower = np.array([1.0 / predictable.sum()])
    p: list[tuple[Ints, Floats]] = []
    weights: list[Floats] = []
    for n, table in enumerate(counts):
        adjusted = table.counts
        if n + 1 < len(counts):
            adjusted = np.where(from_bos[n], adjusted, np.bincount(below[n + 1], minlength=len(adjusted)))
        discounts, up_to_3 = discounts_of(adjusted), np.minimum(adjusted, 3).astype(np.int8)
        total = _sums(table.keys, vocab_size, len(p_lower), adjusted)
        gamma = _ratio(_sums(table.keys, vocab_size, len(p_lower), up_to_3, discounts), total, 1.0)
        p_here = np.empty(len(table.keys))
        for part in pieces(len(p_here)):
            prefixes = table.keys[part] // vocab_size
            own = _ratio(adjusted[part] - discounts[up_to_3[part]], total[prefixes], 0.0)
            p_here[part] = own + gamma[prefixes] * p_lower[below[n][part]]
        if n == 0:
            p_here[~predictable] = 0.0
        p.append((table.keys, p_here))
        weights.append(gamma)
        p_lower = p_here
    return _with_weights(p, weights)


def discounts_of(adjusted: Ints) -> Floats:
    """What is taken off counts of 0, 1, 2 and of 3 or more: (4,), from how many n-grams have each adjusted count.

    Chen & Goodman 1999, equation 26: Y = n₁ / (n₁ + 2 n₂), D_j = j - (j + 1) Y n_{j+1} / n_j. Where n₁, n₂ or n₃ is 0,
    or some D_j lies outside 0 to j, as tiny or artificial data has it, the discounts of the whole order are 0.5, 1 and
    1.5 instead: what `lmplz --discount_fallback` does.
    """
    n = np.bincount(np.minimum(adjusted, 5), minlength=6)[:5].astype(np.float64)
    if n[1:4].all():
        j = np.arange(1, 4)
        found = j - (j + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
        if (found >= 0).all() and (found <= j).all():
            return np.concatenate([[0.0], found])
    return np.array([0.0, 0.5, 1.0, 1.5])


def _add_k(counts: list[Counts], vocab_size: int, k: float, bos_id: int, predictable: NDArray[np.bool_]) -> _Linear:
    """p(w | h) = (c(h w) + k) / (c(h) + k V), over the V words that can be predicted (Lidstone 1920).

    A word never seen after h has k V / (c(h) + k V) · 1 / V: a weight times the uniform distribution. That is what the
    lower orders hold, except after contexts that begin with bos: those are whole, however short.
    """
    words = int(predictable.sum())
    from_bos = starts_with([one.keys for one in counts], vocab_size, bos_id)
    p: list[tuple[Ints, Floats]] = []
    weights: list[Floats] = []
    whole = np.array([len(counts) == 1])
    for n, table in enumerate(counts):
        total = _sums(table.keys, vocab_size, len(whole), table.counts)
        p_here = np.empty(len(table.keys))
        for part in pieces(len(p_here)):
            prefixes = table.keys[part] // vocab_size
            added = (table.counts[part] + k) / (total[prefixes] + k * words)
            p_here[part] = np.where(whole[prefixes], added, 1.0 / words)
        if n == 0:
            p_here[~predictable] = 0.0
        p.append((table.keys, p_here))
        weights.append(np.where(whole, k * words / (total + k * words), 1.0))
        whole = from_bos[n] | (n + 2 == len(counts))
    return _with_weights(p, weights)


def _relative(counts: list[Counts], vocab_size: int, k: float, bos_id: int, predictable: NDArray[np.bool_]) -> _Linear:
    """p(w | h) = c(h w) / c(h), of the longest end of the context that was seen: the most likely model."""
    p: list[tuple[Ints, Floats]] = []
    weights: list[Floats] = []
    contexts = 1
    for table in counts:
        total = _sums(table.keys, vocab_size, contexts, table.counts)
        p_here = np.empty(len(table.keys))
        for part in pieces(len(p_here)):
            p_here[part] = table.counts[part] / total[table.keys[part] // vocab_size]
        p.append((table.keys, p_here))
        weights.append(np.where(total > 0, 0.0, 1.0))
        contexts = len(table.keys)
    return _with_weights(p, weights)


_ESTIMATORS = {"kneser_ney": _kneser_ney, "add_k": _add_k, "none": _relative}


def _ratio(of: NDArray[Any], to: NDArray[Any], otherwise: float) -> Floats:
    """of / to, and `otherwise` where `to` is 0."""
    return np.divide(of, to, out=np.full(np.shape(to), otherwise), where=to > 0)
