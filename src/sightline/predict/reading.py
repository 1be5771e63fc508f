"""One input as a model reads it: a pass that can be recorded, the names of its positions, what it predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.data.tokenizer import Tokenizer
from sightline.nn.context import PassContext


@dataclass(frozen=True)
class Side:
    """The positions along one axis: their tokens, the words these belong to, and the words.

    Attributes:
        words: for each token the number of its word.
    """

    tokens: tuple[str, ...]
    words: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, tokens: Sequence[str]) -> Side:
        """Every token a word of its own."""
        return cls(tuple(tokens), tuple(range(len(tokens))), tuple(tokens))

    @classmethod
    def of_ids(
        cls, tokenizer: Tokenizer, ids: Sequence[int], before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Side:
        """Tokens of text, with names for special ones before and after it, each a word of its own."""
        numbers, first = tokenizer.word_numbers(ids), len(before)
        groups = [
            [one for one, number in zip(ids, numbers, strict=True) if number == word] for word in sorted({*numbers})
        ]
        names = (*before, *(tokenizer.decode(group).strip() for group in groups), *after)
        words = [*range(first), *(first + number for number in numbers)]
        words += range(len(names) - len(after), len(names))
        return cls((*before, *tokenizer.tokens(ids), *after), tuple(words), names)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def membership(self) -> np.ndarray:
        """(tokens, words): 1 where a token belongs to a word."""
        return np.eye(len(self.names))[list(self.words)]


def by_word(weights: np.ndarray, rows: Side, columns: Side) -> np.ndarray:
    """Weights of tokens (…, T, S) as those of words: what a word was looked at is the sum over its tokens, where it
    looked the mean over its tokens."""
    out_of = rows.membership
    return (out_of / out_of.sum(0)).T @ weights @ columns.membership


@dataclass(frozen=True)
class Reading:
    """One input, ready to be read again and again.

    Attributes:
        sides: by axis ("source", "target", "position") what its positions are.
        run: one pass with a `PassContext`; gives the log-probabilities (outputs) of what the model says, in nats.
        outputs: what those are of.
        without: the same input with one position of the side that is read masked or taken out, how is said in `taken`;
            None where it always stays, as the end of a source does.
        read: the side that the output is made from.
        image: of an image its pixels as they are read, (Y, X, C) bytes.
        said, said_at: the axis, and for each output the position along it, whose features the output is read from.
        causal: a position sees only those up to its own.
    """

    sides: Mapping[str, Side]
    run: Callable[[PassContext], Tensor]
    outputs: tuple[str, ...]
    without: Callable[[int], Reading | None]
    read: str
    taken: str
    image: np.ndarray | None = None
    said: str = "position"
    said_at: tuple[int, ...] = ()
    causal: bool = False


def over_positions(
    item: Any,
    side: Side,
    run: Callable[[Any, PassContext], Tensor],
    outputs: Sequence[str],
    change: Callable[[Any, int], Any],
    taken: str,
    image: np.ndarray | None = None,
    *,
    said_at: Sequence[int] | None = None,
    causal: bool = False,
) -> Reading:
    """A reading of one side: `run` of an item, and of the item that `change` makes without a position.

    Args:
        item: what is read, as a list of numbers or a tensor; a position without which it is the same always stays.
        said_at: the positions that the outputs are read from; by default the first, as of a class token.
    """

    def make(item: Any) -> Reading:
        def without(place: int) -> Reading | None:
            changed = change(item, place)
            return None if torch.equal(torch.as_tensor(changed), torch.as_tensor(item)) else make(changed)

        return Reading(
            {"position": side},
            lambda ctx: run(item, ctx),
            tuple(outputs),
            without,
            "position",
            taken,
            image,
            said_at=(0,) * len(outputs) if said_at is None else tuple(said_at),
            causal=causal,
        )

    return make(item)


def special_side(tokenizer: Tokenizer, ids: Sequence[int]) -> Side:
    """The positions of what a BERT reads, its special tokens under their names."""
    specials = {tokenizer.bos_id: "[CLS]", tokenizer.eos_id: "[SEP]", tokenizer.vocab_size: "[MASK]"}
    tokens: list[str] = []
    words: list[int] = []
    names: list[str] = []
    for special, group in groupby(ids, key=lambda one: specials.get(one, "")):
        piece = list(group)
        one = Side.of([special] * len(piece)) if special else Side.of_ids(tokenizer, piece)
        words += [len(names) + word for word in one.words]
        tokens += one.tokens
        names += one.names
    return Side(tuple(tokens), tuple(words), tuple(names))


def masking(kept: Sequence[int], mask_id: int) -> Callable[[Sequence[int], int], list[int]]:
    """What puts [MASK] in the place of a token, unless that is one of the `kept` special ones."""

    def change(ids: Sequence[int], place: int) -> list[int]:
        return [mask_id if at == place and one not in kept else one for at, one in enumerate(ids)]

    return change


def leaving_out(size: int) -> Callable[[Sequence[int], int], list[int]]:
    """What takes a token out, unless it is a special one: those beyond a vocabulary of `size`."""

    def change(ids: Sequence[int], place: int) -> list[int]:
        return [one for at, one in enumerate(ids) if at != place or one >= size]

    return change
