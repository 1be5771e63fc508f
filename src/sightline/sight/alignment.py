"""Word alignments out of attention: which site has them, how wrong they are, and the format others read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline.errors import DataError, UsageError
from sightline.sight.heads import Site, sites, weights_of
from sightline.sight.reading import Look, Reading, look

Links = frozenset[tuple[int, int]]  # (source word, target word), from 0
# Of attention, what makes a link, and what makes one beside a link, where no gold alignments choose among these.
SHARE, NEAR = 0.35, 0.25
SHARES = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
NEARS = (0.15, 0.2, 0.25, 0.3, 0.35)
SHIFTS = (0.0, 0.15, 1.0)
CROSS = ("decoder.*.cross_attention.weights", "decoder.attention.weights")


@dataclass(frozen=True)
class Aligner:
    """Where alignments are read, and how.

    Attributes:
        site: a head, or the mean of an attention's. shift: 0 reads where the decoder looked while it wrote a word, 1
            where it looked when it had just read it as its input, which in a Transformer can be the better place
            (Chen et al. 2020); between the two, so much of the second.
        share: how strong a link must be. near: how strong one beside a link.
    """

    site: Site
    shift: float = 0.0
    share: float = SHARE
    near: float = NEAR

    def links(self, seen: Look) -> Links:
        """The pairs of words that are linked strongly, and those beside one of them, above or below or left or right,
        that are linked less, as the refined symmetrisation of Och & Ney (2003) grows links: several words of one
        language can be one of the other. The ends of both sides are no words."""
        cells = np.argwhere(self._grown(self._strengths(seen)))
        return frozenset((int(source), int(target)) for target, source in cells)

    def chosen(self, seen: Sequence[Look], gold: Sequence[Links]) -> tuple[Aligner, float]:
        """The same place with the `share` and `near` whose links are the least wrong, and how wrong."""
        strengths = [self._strengths(one) for one in seen]
        shape = np.max([one.shape for one in strengths], axis=0)
        all_PTS, right_PTS = np.zeros((len(seen), *shape)), np.zeros((len(seen), *shape), bool)
        for pair, (one, links) in enumerate(zip(strengths, gold, strict=True)):
            all_PTS[pair, : one.shape[0], : one.shape[1]] = one
            for source, target in links:
                right_PTS[pair, target, source] = True
        tried = [replace(self, share=share, near=near) for share in SHARES for near in NEARS if near <= share]
        found = [(one, one._grown(all_PTS)) for one in tried]
        rates = [(one, _rate((on_PTS & right_PTS).sum(), on_PTS.sum(), right_PTS.sum())) for one, on_PTS in found]
        return min(rates, key=lambda one: one[1])

    def _strengths(self, seen: Look) -> np.ndarray:
        """How strongly words are linked (target, source), 0 to 1: the geometric mean of two shares, of what the target
        word looked at, and of all the attention that the source word got."""
        source, target = (seen.reading.sides[side] for side in ("source", "target"))
        weights_TS = weights_of(seen, self.site)
        weights_TS = (1 - self.shift) * weights_TS[:-1] + self.shift * weights_TS[1:]
        out_of = target.membership[:-1]
        words = (out_of / out_of.sum(0).clip(min=1)).T @ weights_TS @ source.membership
        words = words[:-1, :-1]
        # where next to nothing was looked at, there are no shares of it
        return words / np.sqrt(words.sum(0).clip(1e-3) * words.sum(1, keepdims=True).clip(1e-3))

    def _grown(self, strengths: np.ndarray) -> np.ndarray:
        """Where there are links (…, target, source)."""
        links, weaker = strengths >= self.share, strengths >= self.near
        while True:
            around = np.pad(links, [(0, 0)] * (links.ndim - 2) + [(1, 1)] * 2)
            beside = around[..., :-2, 1:-1] | around[..., 2:, 1:-1] | around[..., 1:-1, :-2] | around[..., 1:-1, 2:]
            grown = links | (weaker & beside)
            if (grown == links).all():
                return links
            links = grown


def alignment_error(found: Iterable[Links], gold: Iterable[Links]) -> float:
    """The alignment error rate 1 - 2 |A ∩ G| / (|A| + |G|) over all pairs (Och & Ney 2003, all of the gold sure); 0
    where there is nothing to find and nothing was found."""
    right = told = there = 0
    for one, other in zip(found, gold, strict=True):
        right, told, there = right + len(one & other), told + len(one), there + len(other)
    return _rate(right, told, there)


def _rate(right: int, told: int, there: int) -> float:
    return 1 - 2 * int(right) / int(told + there) if told + there else 0.0


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
    the mean of each attention's heads, while a word is written, once it has been read, and a little of that."""
    heads = sites(seen[0])
    several = [name for name in seen[0].names if sum(one.name == name for one in heads) > 1]
    places = [*heads, *map(Site, several)]
    scored = [Aligner(site, shift).chosen(seen, gold) for site in places for shift in SHIFTS]
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
