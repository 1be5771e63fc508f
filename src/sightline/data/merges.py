"""Other segmentations of the same text: merges of byte-pair encoding undone at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MergeDropout:
    """Splits tokens into the two that they were merged from, each with probability `rate`, and these in turn.

    What BPE-dropout (Provilkov et al. 2020, section 3) does while it merges, done to finished token ids: the model sees
    words in many segmentations, and learns what their pieces have to do with each other.

    Attributes:
        parts: (vocabulary, 2) int64, the two tokens that each was merged from; negative where it is no merge.
    """

    parts: np.ndarray
    rate: float

    def __call__(
        self, tokens: np.ndarray, lengths: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of rows one after the other and the rows' lengths → the same with some merges undone."""
        rows = np.repeat(np.arange(len(lengths)), lengths)
        open_ = np.ones(len(tokens), dtype=bool)  # not yet decided on
        while True:
            undone = open_ & (self.parts[tokens, 0] >= 0) & (random.random(len(tokens)) < self.rate)
            if not undone.any():
                return tokens, np.bincount(rows, minlength=len(lengths))
            pair = self.parts[tokens[undone]]
            places = np.flatnonzero(undone) + np.arange(len(pair))
            copies = 1 + undone
            tokens, rows, open_ = np.repeat(tokens, copies), np.repeat(rows, copies), np.repeat(undone, copies)
            tokens[places], tokens[places + 1] = pair[:, 0], pair[:, 1]
