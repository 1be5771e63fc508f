"""Word alignments out of attention: which site has them, their error rate, and the Pharaoh format.

P are pairs of sentences, T target and S source words or tokens.
"""

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


@dataclass(frozen=True)
class Aligner:
    """What attention alignments are read off, and how.

    Attributes:
        site: a head, or the mean of an attention's. shift: 0 takes the attention of the step that predicts a word, 1 of
            the next step, whose input the word is, which in a Transformer can be better (Chen et al. 2020); between the
            two, so much of the second.
        share: how strong a link must be. near: how strong one beside a link.
    """

    site: Site
    shift: float = 0.0
    share: float = SHARE
    near: float = NEAR

    def links(self, seen: Look) -> Links:
        """The pairs of words with a strength of `share`, and those above, below, left or right of one with that of
        `near`, as the refined symmetrisation of Och & Ney (2003) grows links: several words of one language can be one
        of the other. The ends of both sides are no words."""
        cells = np.argwhere(self._grow(self._strengths(seen)))
        return frozenset((int(source), int(target)) for target, source in cells)

    def best_thresholds(self, seen: Sequence[Look], gold: Sequence[Links]) -> tuple[Aligner, float]:
        """The same site and shift with the `share` and `near` of the least alignment error rate, and that rate."""
        strengths = [self._strengths(one) for one in seen]
        shape = np.max([one.shape for one in strengths], axis=0)
        all_PTS, gold_PTS = np.zeros((len(seen), *shape)), np.zeros((len(seen), *shape), bool)
        for pair, (one, links) in enumerate(zip(strengths, gold, strict=True)):
            all_PTS[pair, : one.shape[0], : one.shape[1]] = one
            for source, target in links:
                gold_PTS[pair, target, source] = True
        tried = [replace(self, share=share, near=near) for share in SHARES for near in NEARS if near <= share]
        found = [(one, one._grow(all_PTS)) for one in tried]
        rates = [(one, _rate((on_PTS & gold_PTS).sum(), on_PTS.sum(), gold_PTS.sum())) for one, on_PTS in found]
        return min(rates, key=lambda one: one[1])

    def _strengths(self, seen: Look) -> np.ndarray:
        """How strongly words are linked (target, source), 0 to 1: the geometric mean of two shares, of the attention
        that the target word pays and of that which the source word gets."""
        source, target = (seen.reading.sides[side] for side in ("source", "target"))
        weights_TS = weights_of(seen, self.site)
        weights_TS = (1 - self.shift) * weights_TS[:-1] + self.shift * weights_TS[1:]
        tokens_of_words = target.membership[:-1]
        means = tokens_of_words / tokens_of_words.sum(0).clip(min=1)
        words = (means.T @ weights_TS @ source.membership)[:-1, :-1]
        # where there is next to no attention, there are no shares of it
        return words / np.sqrt(words.sum(0).clip(1e-3) * words.sum(1, keepdims=True).clip(1e-3))

    def _grow(self, strengths: np.ndarray) -> np.ndarray:
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
    pairs = list(zip(found, gold, strict=True))
    correct = sum(len(links & right) for links, right in pairs)
    return _rate(correct, sum(len(links) for links, _ in pairs), sum(len(right) for _, right in pairs))


def _rate(correct: int, found: int, gold: int) -> float:
    return 1 - 2 * int(correct) / int(found + gold) if found + gold else 0.0


def look_across(reading: Reading) -> Look:
    """One pass over a text and its translation with the attention between them recorded.

    Raises UsageError where the model does not attend to its source.
    """
    if not reading.cross_attention_sites:
        raise UsageError("this model has a fixed context and attends to nothing, so it has no alignments")
    return look(reading, *reading.cross_attention_sites)


def look_at_pairs(read: Callable[..., Reading], pairs: Iterable[tuple[str, str]]) -> list[Look]:
    """`look_across` each pair of a source and its translation."""
    return [look_across(read(source, target=target)) for source, target in pairs]


def rank_aligners(seen: Sequence[Look], gold: Sequence[Links]) -> list[tuple[Aligner, float]]:
    """Every aligner that can be read off the attention, with its error rate on gold alignments, the best first: each
    head, and the mean of each attention's heads, at each of `SHIFTS`."""
    heads = sites(seen[0])
    several = [name for name in seen[0].names if sum(one.name == name for one in heads) > 1]
    candidates = [*heads, *map(Site, several)]
    scored = [Aligner(site, shift).best_thresholds(seen, gold) for site in candidates for shift in SHIFTS]
    return sorted(scored, key=lambda one: one[1])


def last_site(seen: Look) -> Site:
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
