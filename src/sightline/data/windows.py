"""Windows over a stream of tokens: blocks in any order, or parallel streams read from end to end; and their tensors.

A window is a pair (start, stop) of places in the stream: it reads tokens start … stop - 1 and predicts those one place
later. Shape suffixes: `B` rows, `T` positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sightline.data.mixing import SHUFFLING, generator
from sightline.errors import UsageError


class BlockOrder:
    """Blocks of one length in random order, cut anew in each epoch: a pure function of (seed, epoch, index).

    An epoch reads the stream once, but for less than a block at its two ends.
    """

    carries = False

    def __init__(self, num_tokens: int, block: int, tokens_per_batch: int, *, seed: int) -> None:
        """Raises UsageError where the stream is shorter than a block, or a block is over the budget."""
        if num_tokens < block + 1:
            raise UsageError(f"data.block: {block} tokens, but the text has only {num_tokens}; make it shorter")
        if block > tokens_per_batch:
            raise UsageError(f"tokens_per_batch: {tokens_per_batch} is less than one block of {block}; raise it")
        self.seed = seed
        self._num_tokens, self._block = num_tokens, block
        self._rows = tokens_per_batch // block
        self._current: tuple[int, list[np.ndarray]] | None = None

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch in order: windows (B, 2). The latest epoch asked for is kept."""
        if self._current is None or self._current[0] != epoch:
            random = generator(SHUFFLING, self.seed, epoch)
            first = int(random.integers(min(self._block, self._num_tokens - self._block)))
            count = (self._num_tokens - 1 - first) // self._block
            starts = first + random.permutation(count) * self._block
            windows = np.stack([starts, starts + self._block], 1)
            self._current = (epoch, [windows[low : low + self._rows] for low in range(0, count, self._rows)])
        return self._current[1]


class StreamOrder:
    """The stream in `rows` parts of like length, read side by side, `length` tokens at a time, every token once.

    Row r of a batch goes on where row r of the batch before it stopped, so a recurrent state can be carried.
    Parts differ by a token at most; where one is over before the others its last window is one shorter.
    """

    carries = True

    def __init__(self, num_tokens: int, rows: int, length: int, *, seed: int = 0) -> None:
        """Raises UsageError where a part would have nothing to predict."""
        if rows > num_tokens - 1:
            raise UsageError(f"tokens_per_batch: {rows} rows for a text of {num_tokens} tokens; lower it")
        self.seed = seed
        bounds = np.linspace(0, num_tokens - 1, rows + 1).astype(np.int64)
        starts, stops = bounds[:-1], bounds[1:]
        self._batches = [
            np.stack([starts + at, np.minimum(starts + at + length, stops)], 1)
            for at in range(0, int((stops - starts).max()), length)
        ]

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch in order: windows (B, 2), the same in every epoch."""
        return self._batches


def strided_windows(num_tokens: int, block: int, stride: int, rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Overlapping blocks that together predict every token once: batches of (windows (B, 2), first scored (B)).

    Each block moves on by `stride` and scores what the one before it did not reach, with at least block - stride tokens
    of context, except the first.
    """
    last = num_tokens - 1
    stops = np.arange(min(block, last), last + stride, stride).clip(max=last) if last > block else np.array([last])
    windows = np.stack([np.maximum(stops - block, 0), stops], 1)
    first = np.concatenate([[0], stops[:-1]])
    return [(windows[low : low + rows], first[low : low + rows]) for low in range(0, len(stops), rows)]


@dataclass(frozen=True)
class TextBatch:
    """Windows as tensors.

    Attributes:
        tokens_BT, targets_BT: int64; the target is the next token. real_BT: which positions are scored.
        document_BT: a number for each position's document, where documents are kept apart.
        rows: which rows of the whole batch these are. fresh: whether rows begin anew, with nothing carried.
        windows: (B, 2), for messages.
    """

    tokens_BT: Tensor
    targets_BT: Tensor
    real_BT: Tensor
    document_BT: Tensor | None
    rows: slice
    fresh: bool
    windows: np.ndarray
    num_tokens: int

    def split(self, parts: int) -> list[TextBatch]:
        """The rows dealt out, in order, to at most `parts` batches of like size."""
        count = len(self.windows)
        bounds = np.linspace(0, count, min(parts, count) + 1).astype(int)
        pieces: list[TextBatch] = []
        for low, high in pairwise(bounds):
            rows = slice(int(low), int(high))
            pieces.append(
                replace(
                    self,
                    tokens_BT=self.tokens_BT[rows],
                    targets_BT=self.targets_BT[rows],
                    real_BT=self.real_BT[rows],
                    document_BT=None if self.document_BT is None else self.document_BT[rows],
                    rows=rows,
                    windows=self.windows[rows],
                    num_tokens=int(self.real_BT[rows].sum()),
                )
            )
        return pieces

    def to(self, device: torch.device | str) -> TextBatch:
        """The same batch on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("tokens_BT", "targets_BT", "real_BT")}
        document_BT = None if self.document_BT is None else self.document_BT.to(device)
        return replace(self, **moved, document_BT=document_BT)


def collate_windows(
    stream: np.ndarray,
    windows: np.ndarray,
    *,
    first_scored: np.ndarray | None = None,
    fresh: bool = True,
    separator: int | None = None,
) -> TextBatch:
    """The tensors of windows (B, 2) over `stream`.

    Args:
        first_scored: (B) the place before which a window's positions are context only.
        fresh: whether nothing is carried into this batch.
        separator: the token that begins a document, where documents are to be kept apart.
    """
    starts, stops = windows[:, :1], windows[:, 1:]
    places = starts + np.arange(int((stops - starts).max()) + 1)
    taken = stream[np.minimum(places, len(stream) - 1)].astype(np.int64)
    tokens, targets, real = taken[:, :-1], taken[:, 1:], places[:, :-1] < stops
    if first_scored is not None:
        real &= places[:, :-1] >= first_scored[:, None]
    documents = None if separator is None else torch.from_numpy(np.cumsum(tokens == separator, 1))
    return TextBatch(
        torch.from_numpy(tokens),
        torch.from_numpy(targets),
        torch.from_numpy(real),
        documents,
        slice(0, len(windows)),
        fresh,
        windows,
        int(real.sum()),
    )
