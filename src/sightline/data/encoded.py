"""Sentence pairs as token ids: encoded once and cached; flat arrays with offsets, in memory or mapped from disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sightline.data.mixing import Mixing

# The tokens of some sentences one after the other (int64), and the length of each (int64).
Gathered = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class EncodedSequences:
    """The sentences of one language: sentence i is `tokens[offsets[i]:offsets[i + 1]]`, without specials."""

    tokens: np.ndarray
    offsets: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens per sentence (int32)."""
        return np.diff(self.offsets).astype(np.int32)

    def gather(self, indices: np.ndarray) -> Gathered:
        """The tokens of these sentences one after the other (int64), and the length of each (int64)."""
        starts = np.asarray(self.offsets[indices], dtype=np.int64)
        lengths = np.asarray(self.offsets[indices + 1], dtype=np.int64) - starts
        ends = np.cumsum(lengths)
        places = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
        return self.tokens[places].astype(np.int64), lengths

    @classmethod
    def from_lists(cls, sentences: Sequence[Sequence[int]]) -> EncodedSequences:
        """A side held in memory."""
        offsets = np.cumsum([0, *map(len, sentences)], dtype=np.int64)
        tokens = np.fromiter((token for ids in sentences for token in ids), dtype=np.uint32, count=int(offsets[-1]))
        return cls(tokens, offsets)


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs ready for batching. `read` counts all pairs found, `skipped` those left out, by reason."""

    sources: EncodedSequences
    targets: EncodedSequences
    mixing: Mixing
    read: int
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def from_lists(cls, pairs: Iterable[tuple[Sequence[int], Sequence[int]]]) -> EncodedPairs:
        """Pairs of token ids (source, target) held in memory, as one source of weight 1."""
        pairs = list(pairs)
        return cls(
            EncodedSequences.from_lists([source for source, _ in pairs]),
            EncodedSequences.from_lists([target for _, target in pairs]),
            Mixing((0, len(pairs)), (1.0,)),
            read=len(pairs),
        )

    def __len__(self) -> int:
        return len(self.sources.offsets) - 1

    @property
    def source_lengths(self) -> np.ndarray:
        """Source tokens per pair, without specials (int32)."""
        return self.sources.lengths

    @property
    def target_lengths(self) -> np.ndarray:
        """Target tokens per pair, without specials (int32)."""
        return self.targets.lengths

    def source(self, index: int) -> np.ndarray:
        """Source ids of one pair, without specials."""
        return self.sources.tokens[self.sources.offsets[index] : self.sources.offsets[index + 1]]

    def target(self, index: int) -> np.ndarray:
        """Target ids of one pair, without specials."""
        return self.targets.tokens[self.targets.offsets[index] : self.targets.offsets[index + 1]]

    def summary(self) -> str:
        """One line to print: pairs read, kept and skipped, and tokens per side."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.items() if count)
        return (
            f"{self.read:,} pairs read, {len(self):,} kept ({int(self.sources.offsets[-1]):,} source and "
            f"{int(self.targets.offsets[-1]):,} target tokens); skipped: {reasons or 'none'}"
        )
