"""Batches sized by tokens: their order as a function of (seed, epoch, index), and their tensors.

Shape suffixes: `B` pairs of the batch, `S` source positions, `T` target positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch

from sightline.data.encoded import EncodedPairs, Gathered
from sightline.data.mixing import SHUFFLING, Mixing, generator
from sightline.errors import CheckpointError, UsageError
from sightline.special_tokens import BOS_ID, EOS_ID, PAD_ID

# Kernels are made for every shape, and the latest thousand are kept: the fewer shapes, the fewer are made anew.
ROWS = 8


@dataclass(frozen=True)
class DataPosition:
    """Where training stands in its data: the batch to come next is number `batch` of epoch `epoch`, both from 0."""

    seed: int
    epoch: int = 0
    batch: int = 0


class BatchOrder:
    """Which pairs come together, and when: a pure function of the arguments, the epoch and the index.

    The budget counts padded tokens with end-of-sentence: in every batch, rows x longest source and rows x longest
    target are each at most `tokens_per_batch`, and there are at most `max_rows` rows. Every pair comes once per
    epoch, or as often as `mixing` says. Pairs of similar length come together, for little padding, and each epoch
    puts them together differently.
    """

    def __init__(
        self,
        source_lengths: np.ndarray,
        target_lengths: np.ndarray,
        tokens_per_batch: int,
        *,
        seed: int,
        max_rows: int | None = None,
        mixing: Mixing | None = None,
    ) -> None:
        """Lengths are in tokens without specials. Raises UsageError where a pair alone is over the budget."""
        if len(source_lengths) == 0 or len(source_lengths) != len(target_lengths):
            raise UsageError(f"batches: {len(source_lengths)} sources and {len(target_lengths)} targets are no pairs")
        if max_rows is not None and max_rows < 1:
            raise UsageError(f"batches: max_rows is {max_rows}; it must be at least 1")
        self._source = np.asarray(source_lengths, dtype=np.int64) + 1
        self._target = np.asarray(target_lengths, dtype=np.int64) + 1
        self._cost = np.maximum(self._source, self._target)
        if self._cost.max() > tokens_per_batch:
            raise UsageError(
                f"tokens_per_batch: {tokens_per_batch} is too small for a pair of {self._cost.max()} tokens; "
                "raise it, or lower the limits on length"
            )
        self.tokens_per_batch = tokens_per_batch
        self.seed = seed
        self._max_rows = max_rows or len(source_lengths)
        self._mixing = mixing or Mixing((0, len(source_lengths)), (1.0,))
        self._current: tuple[int, list[np.ndarray]] | None = None

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch in order: int64 arrays of pair indices. The latest epoch asked for is kept."""
        if self._current is None or self._current[0] != epoch:
            self._current = (epoch, self._batches(epoch))
        return self._current[1]

    def padding(self, epoch: int) -> float:
        """The fraction of an epoch's tensor cells, source and target together, that hold padding."""
        batches = self.epoch(epoch)
        order = np.concatenate(batches)
        sizes = np.array([len(batch) for batch in batches])
        starts = np.cumsum(sizes) - sizes
        cells = sum(int((np.maximum.reduceat(x[order], starts) * sizes).sum()) for x in (self._source, self._target))
        return 1.0 - int((self._source + self._target)[order].sum()) / cells

    def _batches(self, epoch: int) -> list[np.ndarray]:
        drawn = self._mixing.draw(self.seed, epoch)
        random = generator(SHUFFLING, self.seed, epoch)
        order = drawn[self._by_length(drawn, random)]
        batches = self._cut(order, random)
        return [batches[i] for i in random.permutation(len(batches))]

    def _by_length(self, drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Places of `drawn` by the length of one side, then by that of the other, up and down by turns.

        By turns, because a batch which reaches over two lengths of the first side then holds like lengths of the
        second in both. Which side comes first, where the turns are, and the order among equals are random: that is
        what brings other pairs together in another epoch, at no cost in padding.
        """
        first, second = (self._source, self._target) if random.random() < 0.5 else (self._target, self._source)
        upwards = (first[drawn] + random.integers(2)) % 2 == 0
        blurred = second[drawn] + random.random(len(drawn))
        return np.lexsort((np.where(upwards, blurred, -blurred), first[drawn]))

    def _cut(self, order: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
        """The longest runs of the order within the budget; the first is cut short at random, so that all shift.

        Where there are more than `ROWS` rows their number is a multiple of it.
        """
        cost = self._cost[order]
        batches: list[np.ndarray] = []
        start, share = 0, random.uniform(0.5, 1.0)
        while start < len(order):
            most = min(self._max_rows, self.tokens_per_batch // int(cost[start]))
            longest = np.maximum.accumulate(cost[start : start + most])
            rows = int(np.count_nonzero(longest * np.arange(1, len(longest) + 1) <= self.tokens_per_batch))
            if rows < len(order):
                rows = max(1, int(rows * share))
            if rows > ROWS:
                rows -= rows % ROWS
            batches.append(order[start : start + rows])
            start, share = start + rows, 1.0
        return batches


class Order(Protocol):
    """The batches of every epoch, each an array of what is in it; a pure function of the seed and the epoch."""

    seed: int

    def epoch(self, epoch: int) -> list[np.ndarray]: ...


def iterate(order: Order, position: DataPosition) -> Iterator[tuple[DataPosition, np.ndarray]]:
    """Batches from `position` on, epoch after epoch for ever: (the position after the batch, what is in it).

    Raises CheckpointError where the position cannot belong to this order.
    """
    if position.seed != order.seed:
        raise CheckpointError(
            f"data position: seed {position.seed} is not the run's {order.seed}; resume with its seed"
        )
    if min(position.epoch, position.batch) < 0 or position.batch > len(order.epoch(position.epoch)):
        raise CheckpointError(
            f"data position: epoch {position.epoch} has {len(order.epoch(position.epoch))} batches, so no number "
            f"{position.batch}; the data or the batch size is not what it was"
        )
    epoch, batch = position.epoch, position.batch
    while True:
        batches = order.epoch(epoch)
        for number in range(batch, len(batches)):
            last = number + 1 == len(batches)
            following = DataPosition(order.seed, epoch + 1) if last else DataPosition(order.seed, epoch, number + 1)
            yield following, batches[number]
        epoch, batch = epoch + 1, 0


@dataclass(frozen=True)
class PairBatch:
    """One batch of sentence pairs. Masks are True at real tokens; everything else is padding.

    `source_BS` ends each sentence with end-of-sentence; `target_in_BT` begins with beginning-of-sentence,
    `target_out_BT` is the same sentence one step later and ends with end-of-sentence. `indices` (B) says which pairs
    these are. Token counts include end-of-sentence and are plain numbers, so that asking for them never waits for a
    device.
    """

    source_BS: torch.Tensor
    source_mask_BS: torch.Tensor
    target_in_BT: torch.Tensor
    target_out_BT: torch.Tensor
    target_mask_BT: torch.Tensor
    indices: torch.Tensor
    num_source_tokens: int
    num_target_tokens: int

    def split(self, parts: int) -> list[PairBatch]:
        """The rows dealt out to at most `parts` batches of like size, with the same padding."""
        pieces: list[PairBatch] = []
        for part in range(min(parts, len(self.indices))):
            rows = {name: getattr(self, name)[part::parts] for name in _TENSORS}
            sums = int(rows["source_mask_BS"].sum()), int(rows["target_mask_BT"].sum())
            pieces.append(PairBatch(**rows, num_source_tokens=sums[0], num_target_tokens=sums[1]))
        return pieces

    def twice(self) -> PairBatch:
        """The rows, and all of them once more."""
        doubled = {name: torch.cat([getattr(self, name)] * 2) for name in _TENSORS}
        return PairBatch(
            **doubled, num_source_tokens=2 * self.num_source_tokens, num_target_tokens=2 * self.num_target_tokens
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> PairBatch:
        """The same batch on another device; `indices` stay where they are."""
        tensors = {
            field.name: getattr(self, field.name).to(device, non_blocking=non_blocking)
            for field in fields(self)
            if field.name.endswith(("_BS", "_BT"))
        }
        return PairBatch(
            **tensors,
            indices=self.indices,
            num_source_tokens=self.num_source_tokens,
            num_target_tokens=self.num_target_tokens,
        )


_TENSORS = ("source_BS", "source_mask_BS", "target_in_BT", "target_out_BT", "target_mask_BT", "indices")


def collate(
    encoded: EncodedPairs,
    indices: np.ndarray,
    *,
    pad_id: int = PAD_ID,
    bos_id: int = BOS_ID,
    eos_id: int = EOS_ID,
    pad_to_multiple: int = 1,
    change: Callable[[int, Gathered], Gathered] = lambda side, gathered: gathered,
) -> PairBatch:
    """The tensors of the pairs `indices`: int64 tokens and boolean masks.

    S and T are the longest lengths with end-of-sentence, rounded up to a multiple of `pad_to_multiple`, which fused
    kernels may like; the token budget of BatchOrder does not count that rounding. `change` is given the tokens of the
    rows one after the other and the rows' lengths, of side 0 (sources) and of side 1, and may return others.
    """
    indices = np.asarray(indices, dtype=np.int64)
    sources, targets = change(0, encoded.sources.gather(indices)), change(1, encoded.targets.gather(indices))
    source_BS, source_mask_BS = _padded(sources, pad_id, eos_id, pad_to_multiple)
    target_out_BT, target_mask_BT = _padded(targets, pad_id, eos_id, pad_to_multiple)
    target_in_BT = np.full_like(target_out_BT, pad_id)
    target_in_BT[:, 0] = bos_id
    # One step later, and without the end: what is real after it was real before it.
    target_in_BT[:, 1:] = np.where(target_mask_BT[:, 1:], target_out_BT[:, :-1], pad_id)
    return PairBatch(
        torch.from_numpy(source_BS),
        torch.from_numpy(source_mask_BS),
        torch.from_numpy(target_in_BT),
        torch.from_numpy(target_out_BT),
        torch.from_numpy(target_mask_BT),
        torch.from_numpy(indices),
        int(source_mask_BS.sum()),
        int(target_mask_BT.sum()),
    )


def _padded(gathered: Gathered, pad_id: int, eos_id: int, multiple: int) -> tuple[np.ndarray, np.ndarray]:
    tokens, lengths = gathered
    width = -(-(int(lengths.max()) + 1) // multiple) * multiple
    places = np.arange(width)
    padded = np.full((len(lengths), width), pad_id, dtype=np.int64)
    padded[places < lengths[:, None]] = tokens
    padded[np.arange(len(lengths)), lengths] = eos_id
    return padded, places <= lengths[:, None]
