"""What BERT is pretrained on: pairs of segments, and tokens masked in them (Devlin et al. 2019, section 3.1, A.1).

Shapes: B rows, T positions. Inputs are [CLS] a [SEP] or [CLS] a [SEP] b [SEP]; [CLS] is beginning-of-sentence and [SEP]
end-of-sentence.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sightline.data.batches import BatchOrder
from sightline.data.mixing import PAIRING, generator
from sightline.data.sentences import EncodedDocuments
from sightline.errors import UsageError
from sightline.special_tokens import CLS_ID, SEP_ID

FOLLOWS, ELSEWHERE, ALONE = 0, 1, -1  # what the second segment does; ALONE where there is none


class SegmentOrder:
    """Inputs cut anew from the documents in each epoch, in batches by length: a function of (seed, epoch, index).

    An input takes whole sentences of a document in a row, as many as fit. With `pairs` it goes on until they no longer
    fit; where there are two or more, they are parted at a random place; half the time the second part is then taken
    from another document instead, and the sentences that were to stand there come again later. That document is of the
    same source where there is another, since a change of style would tell. Both kinds of second parts begin after the
    first sentence of a document and go on until they no longer fit, and what is too much is cut off, so that lengths
    and cuts do not tell which is which. An item of a batch is (start of a, end of a, start of b, end of b, what b
    does): places in the flat tokens.
    """

    def __init__(
        self,
        documents: EncodedDocuments,
        max_tokens: int,
        tokens_per_batch: int,
        *,
        seed: int,
        pairs: bool,
        short: float = 0.0,
    ) -> None:
        """Args: max_tokens counts specials. short: how many of the inputs aim for a random, smaller length instead.

        Raises UsageError where pairs are asked for and no two documents have sentences that follow another, or an input
        is over the budget.
        """
        if max_tokens > tokens_per_batch:
            raise UsageError(f"tokens_per_batch: {tokens_per_batch} is less than one input of {max_tokens}; raise it")
        self._pairable = documents.pairable.tolist()
        self._sources = np.asarray(documents.sources).tolist()
        if pairs and len(self._pairable) < 2:
            raise UsageError(
                f"next_sentence: {len(self._pairable)} of {len(documents)} documents have sentences that follow "
                "another, and a pair needs two; give more documents, or set next_sentence=false"
            )
        self.seed = seed
        self._documents, self._max_tokens, self._budget = documents, max_tokens, tokens_per_batch
        self._pairs, self._short = pairs, short
        self._current: tuple[int, list[np.ndarray]] | None = None

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch in order: int64 arrays (B, 5). The latest epoch asked for is kept."""
        if self._current is None or self._current[0] != epoch:
            items = self._cut(generator(PAIRING, self.seed, epoch))
            # BatchOrder adds one for an end of sentence
            lengths = input_lengths(items) - 1
            order = BatchOrder(lengths, lengths, self._budget, seed=self.seed)
            self._current = (epoch, [items[indices] for indices in order.epoch(epoch)])
        return self._current[1]

    def _cut(self, random: np.random.Generator) -> np.ndarray:
        """The inputs of an epoch, document after document."""
        ends = np.asarray(self._documents.sentences.offsets)
        items: list[tuple[int, int, int, int, int]] = []
        for number, (first, last) in enumerate(pairwise(np.asarray(self._documents.documents).tolist())):
            at = first
            while at < last:
                room = self._room(random)
                stop = self._stop(ends, at, ends[at] + room, last)
                if not self._pairs or stop - at < 2:
                    items.append((*_trimmed(ends[at], ends[stop], self._max_tokens - 2, random), 0, 0, ALONE))
                    at = stop
                    continue
                middle = int(random.integers(at + 1, stop))
                begin, end, kind = int(ends[middle]), int(ends[stop]), FOLLOWS
                if random.random() < 0.5:
                    begin, end = self._elsewhere(number, room - int(ends[middle] - ends[at]), random)
                    stop, kind = middle, ELSEWHERE
                items.append((*self._fitted(int(ends[at]), int(ends[middle]), begin, end, random), kind))
                at = stop
        return np.array(items, dtype=np.int64)

    def _room(self, random: np.random.Generator) -> int:
        most = self._max_tokens - 3
        return int(random.integers(2, most + 1)) if self._short and random.random() < self._short else most

    def _stop(self, ends: np.ndarray, at: int, limit: int, last: int) -> int:
        """Where the sentences from `at` end that fit before `limit`; of pairs, the first end beyond it."""
        if self._pairs:
            return bisect_left(ends, limit, at + 1, last)
        return max(at + 1, bisect_right(ends, limit, at + 1, last + 1) - 1)

    def _elsewhere(self, number: int, room: int, random: np.random.Generator) -> tuple[int, int]:
        """Sentences in a row from a random place of a random other document, `room` tokens of them or more."""
        source = bisect_right(self._sources, number)
        first, last = (bisect_left(self._pairable, self._sources[one]) for one in (source - 1, source))
        if last - first < 2:
            first, last = 0, len(self._pairable)
        place = bisect_left(self._pairable, number)  # this document is one of them
        other = int(random.integers(first, last - 1))
        other = self._pairable[other + (other >= place)]
        low, high = (int(self._documents.documents[i]) for i in (other, other + 1))
        ends = self._documents.sentences.offsets
        first = int(random.integers(low + 1, high))
        begin = int(ends[first])
        stop = bisect_left(ends, begin + room, first + 1, high)
        return begin, int(ends[stop])

    def _fitted(self, a: int, a_end: int, b: int, b_end: int, random: np.random.Generator) -> tuple[int, int, int, int]:
        """The segments with tokens taken off the longer one, at a random end, until they fit."""
        while (over := a_end - a + b_end - b - (self._max_tokens - 3)) > 0:
            gap = (a_end - a) - (b_end - b)
            # the longer gives what it has more, then both give alike
            off = min(over, abs(gap)) if gap else -(-over // 2)
            front = int(random.binomial(off, 0.5))
            if gap >= 0:
                a, a_end = a + front, a_end - (off - front)
            else:
                b, b_end = b + front, b_end - (off - front)
        return a, a_end, b, b_end


def _trimmed(start: int, end: int, most: int, random: np.random.Generator) -> tuple[int, int]:
    """A segment alone, a random stretch of it where it is too long."""
    over = int(end - start) - most
    if over <= 0:
        return int(start), int(end)
    front = int(random.integers(over + 1))
    return int(start) + front, int(start) + front + most


def input_lengths(items: np.ndarray) -> np.ndarray:
    """Tokens of each input, specials included."""
    a, b = items[:, 1] - items[:, 0], items[:, 3] - items[:, 2]
    return a + b + 2 + (b > 0)


@dataclass(frozen=True)
class Masks:
    """How tokens are masked: `share` of them, of which `masked` become [MASK], `random` another token; the rest stay.

    whole_words: all tokens of a word together. continues_V: which tokens go on with the word before them.
    """

    share: float
    masked: float
    random: float
    whole_words: bool
    mask_id: int
    first_id: int  # of those that random tokens are drawn from, up to mask_id
    continues_V: np.ndarray


@dataclass(frozen=True)
class MaskedBatch:
    """Inputs with masked tokens.

    Attributes:
        tokens_BT: int64, as the model sees them. targets_BT: as they were. chosen_BT: where they are to be predicted.
        real_BT: which are no padding. segment_BT: 0 and 1. kind_B: FOLLOWS, ELSEWHERE or ALONE. items: (B, 5).
    """

    tokens_BT: Tensor
    targets_BT: Tensor
    chosen_BT: Tensor
    real_BT: Tensor
    segment_BT: Tensor
    kind_B: Tensor
    items: np.ndarray

    def split(self, parts: int) -> list[MaskedBatch]:
        """The rows dealt out to at most `parts` batches of like size."""
        count = min(parts, len(self.items))
        rows = [slice(part, None, count) for part in range(count)]
        return [
            MaskedBatch(**{name: getattr(self, name)[one] for name in _TENSORS}, items=self.items[one]) for one in rows
        ]

    def to(self, device: torch.device | str) -> MaskedBatch:
        """The same batch on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in _TENSORS})


_TENSORS = ("tokens_BT", "targets_BT", "chosen_BT", "real_BT", "segment_BT", "kind_B")


def collate_masked(tokens: np.ndarray, items: np.ndarray, masks: Masks, random: np.random.Generator) -> MaskedBatch:
    """The tensors of inputs (B, 5) over the flat `tokens`; which are masked is drawn from `random`."""
    lengths = input_lengths(items)
    places = np.arange(int(lengths.max()))
    targets = np.zeros((len(items), len(places)), dtype=np.int64)
    segment = np.zeros_like(targets)
    for row, (a, a_end, b, b_end, _) in enumerate(items.tolist()):
        middle = a_end - a + 2
        targets[row, 0], targets[row, middle - 1] = CLS_ID, SEP_ID
        targets[row, 1 : middle - 1] = tokens[a:a_end]
        if b_end > b:
            targets[row, middle : middle + b_end - b] = tokens[b:b_end]
            targets[row, middle + b_end - b] = SEP_ID
            segment[row, middle : middle + b_end - b + 1] = 1
    real = places < lengths[:, None]
    chosen = choose_masked(targets, real & (targets != CLS_ID) & (targets != SEP_ID), masks, random)
    draw, others = random.random(targets.shape), random.integers(masks.first_id, masks.mask_id, targets.shape)
    seen = np.where(chosen & (draw < masks.masked), masks.mask_id, targets)
    seen = np.where(chosen & (draw >= masks.masked) & (draw < masks.masked + masks.random), others, seen)
    arrays = dict(zip(_TENSORS, (seen, targets, chosen, real, segment, items[:, 4].copy()), strict=True))
    return MaskedBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()}, items=items)


def choose_masked(tokens_BT: np.ndarray, may_BT: np.ndarray, masks: Masks, random: np.random.Generator) -> np.ndarray:
    """Which tokens to predict (B, T): in each row, of those that may be chosen, `share` in whole units, at least one.

    Units are tokens or words; they are taken in random order while their tokens do not exceed the share. The first
    that does is taken with the probability that makes the share right on average.
    """
    rows, columns = np.nonzero(may_BT)
    begins = np.ones(len(rows), dtype=bool)
    if masks.whole_words:
        # a word goes on where its token says so and its neighbour is the token before it
        goes_on = masks.continues_V[tokens_BT[rows, columns]]
        beside = np.zeros(len(rows), dtype=bool)
        beside[1:] = (rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1] + 1)
        begins = ~(goes_on & beside)
    unit = np.cumsum(begins) - 1
    sizes, unit_rows = np.bincount(unit), rows[begins]
    allowed = np.maximum(1, np.round(masks.share * may_BT.sum(1)).astype(np.int64))[unit_rows]
    order = np.lexsort((random.random(len(sizes)), unit_rows))
    sizes = sizes[order]
    total = np.cumsum(sizes)
    firsts = np.flatnonzero(np.diff(unit_rows[order], prepend=-1))
    before = np.repeat(total[firsts] - sizes[firsts], np.diff(firsts, append=len(order)))
    left = allowed - (total - before - sizes)  # of the share, when this unit comes
    is_first = np.zeros(len(order), dtype=bool)
    is_first[firsts] = True
    taken = np.zeros(len(sizes), dtype=bool)
    taken[order] = (left >= sizes) | is_first | ((left > 0) & (random.random(len(sizes)) * sizes < left))
    chosen = np.zeros(tokens_BT.shape, dtype=bool)
    chosen[rows, columns] = taken[unit]
    return chosen
