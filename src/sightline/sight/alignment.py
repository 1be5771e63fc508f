"""Word alignments out of attention: which site has them, how wrong they are, and the format others read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline.errors import DataError, UsageError
from sightline.sight.heads import Site, sites, weights_of
from sightline.sight.reading import Look, Reading, look

Links = frozenset[tuple[int, int]]  # (source word, target word), from 0
SHARE = 0.4  # of attention that makes a link, where no gold alignments choose among these
SHARES = (0.2, 0.3, 0.4, 0.5)
CROSS = ("decoder.*.cross_attention.weights", "decoder.attention.weights")


@dataclass(frozen=True)
class Aligner:
    """Where alignments are read.

    Attributes:
        site: a head, or the mean of an attention's. shift: 0 reads where the decoder looked while it wrote a word, 1
            where it looked when it had just read it as its input, which in a Transformer is often the better place
            (Chen et al. 2020).
        share: how much attention makes a link.
    """

    site: Site
    shift: int
    share: float = SHARE

    def links(self, seen: Look) -> Links:
        """The pairs of words of which one has much of the other: a source word that got `share` of what a target word
        looked at, and one of whose attention a target word paid `share`. The union of both directions (Och & Ney
        2003), as several words of one language can be one of the other. The ends of both sides are no words."""
        return self._links(self._shares(seen))

    def chosen(self, seen: Sequence[Look], gold: Sequence[Links]) -> tuple[Aligner, float]:
        """The same place with the share of `SHARES` whose links are the least wrong, and how wrong."""
        shares = [self._shares(one) for one in seen]
        tried = [replace(self, share=share) for share in SHARES]
        rates = [(one, alignment_error(map(one._links, shares), gold)) for one in tried]
        return min(rates, key=lambda one: one[1])

    def _shares(self, seen: Look) -> np.ndarray:
        """Of each word's attention what it paid to, or got from, each of the other side (target, source)."""
        source, target = (seen.reading.sides[side] for side in ("source", "target"))
        weights_TS = weights_of(seen, self.site)[self.shift :]
        out_of = target.membership[: len(weights_TS)]
        words = (out_of / out_of.sum(0).clip(min=1)).T @ weights_TS @ source.membership
        words = words[:-1, :-1]
        # where next to nothing was looked at, there are no shares of it
        return np.maximum(words / words.sum(0).clip(1e-3), words / words.sum(1, keepdims=True).clip(1e-3))

    def _links(self, shares: np.ndarray) -> Links:
        return frozenset((int(source), int(target)) for target, source in np.argwhere(shares >= self.share))


def alignment_error(found: Iterable[Links], gold: Iterable[Links]) -> float:
    """The alignment error rate 1 - 2 |A ∩ G| / (|A| + |G|) over all pairs (Och & Ney 2003, all of the gold sure); 0
    where there is nothing to find and nothing was found."""
    right = told = there = 0
    for one, other in zip(found, gold, strict=True):
        right, told, there = right + len(one & other), told + len(one), there + len(other)
    return 1 - 2 * right / (told + there) if told + there else 0.0


def looks(read: Callable[..., Reading], pairs: Iterable[tuple[str, str]]) -> list[Look]:
    """One pass over each pair of a source and its translation, with the attention between them recorded.

    Raises UsageError where the model does not attend to its source.
    """
    found = [look(read(source, target=target), *CROSS) for source, target in pairs]
    if found and not found[0].names:
        raise UsageError("this model has a fixed context and attends to nothing, so it has no alignments")
    return found


def choose(seen: Sequence[Look], gold: Sequence[Links]) -> list[tuple[Aligner, float]]:
    """Every place that alignments can be read with its error rate on gold alignments, the best first: each head, and
    the mean of each attention's heads, while a word is written and once it has been read."""
    places = dict.fromkeys([*sites(seen[0]), *map(Site, seen[0].names)])
    scored = [Aligner(site, shift).chosen(seen, gold) for site in places for shift in (0, 1)]
    return sorted(scored, key=lambda one: one[1])


def mean_site(seen: Look) -> Site:
    """The mean over the heads of the last attention to the source: what is read without gold alignments."""
    return Site(seen.names[-1])


def to_pharaoh(links: Links) -> str:
    """Links as Pharaoh writes them: "0-0 1-2", in order."""
    return " ".join(f"{source}-{target}" for source, target in sorted(links))


def from_pharaoh(line: str, where: str) -> Links:
    """Links of a line such as "0-0 1-2". Raises DataError, beginning with `where`, for another line."""
    try:
        pairs = [tuple(map(int, one.split("-"))) for one in line.split()]
        return frozenset((source, target) for source, target in pairs)
    except ValueError:
        raise DataError(f'{where}: "{line[:40]}" is no alignment such as "0-0 1-2"') from None


def check_links(links: Links, seen: Look, where: str) -> None:
    """Raises DataError, beginning with `where`, for a link of a word that this pair has not."""
    # the ends of both sides are no words
    sources, targets = (len(seen.reading.sides[side].names) - 1 for side in ("source", "target"))
    for source, target in sorted(links):
        if source >= sources or target >= targets:
            raise DataError(
                f"{where}: {source}-{target} is outside this pair of {sources} and {targets} words, "
                "which are counted from 0"
            )
