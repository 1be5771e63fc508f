"""One input as a model reads it: a pass that can be recorded, the names of its positions, what it predicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sightline.data.tokenizer import Tokenizer
from sightline.nn.context import PassContext
from sightline.predict.brief import BriefRepr

# What a model reads, as numbers.
Item = TypeVar("Item", list[int], Tensor)


@dataclass(frozen=True, repr=False)
class Side(BriefRepr):
    """The positions along one axis.

    Attributes:
        tokens: the token at each position. words: for each token the index of its word in `names`. names: the words.
    """

    tokens: tuple[str, ...]
    words: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, tokens: Sequence[str]) -> Side:
        """Tokens of which each is a word."""
        return cls(tuple(tokens), tuple(range(len(tokens))), tuple(tokens))

    @classmethod
    def of_ids(
        cls, tokenizer: Tokenizer, ids: Sequence[int], before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Side:
        """The tokens of a text, between special tokens of which each is a word."""
        numbers, first = tokenizer.word_ids(ids), len(before)
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
    """Attention weights between tokens (…, T, S) as weights between words: the sum over the tokens of a key's word, the
    mean over the tokens of a query's word."""
    out_of = rows.membership
    return (out_of / out_of.sum(0)).T @ weights @ columns.membership


@dataclass(frozen=True)
class Likely:
    """A token that might be written, and its ln p."""

    token: str
    log_probability: float

    def data(self) -> dict[str, object]:
        """Its parts as values that JSON has; None for a probability of zero."""
        value = self.log_probability
        return {"token": self.token, "log_probability": round(value, 6) if math.isfinite(value) else None}


@dataclass(frozen=True, repr=False)
class Reading(BriefRepr):
    """One input of a model, and the forward pass over it, to be run as often as needed.

    Attributes:
        sides: for each axis of positions ("source", "target", "past", "position") the tokens along it.
        run: one forward pass; gives the log-probabilities (outputs) of what the model predicts, in `unit`.
        outputs: the names of those predictions.
        without: the same input with one position along `input_axis` occluded, None where that position always stays, as
            the end of a source does.
        input_axis: the axis of the positions that the model reads.
        occlusion: how `without` occludes a position, as a participle: "masked", "taken out", "greyed".
        image: the pixels (Y, X, C) of an image, in bytes as the model reads them.
        output_axis, output_positions: the axis, and for each output the position along it, whose features the output is
            computed from.
        causal: a position depends only on those up to its own.
        unit: "nats"; empty where the model predicts numbers of another kind, which `run` gives as they are.
        attention_sites, cross_attention_sites: the names under which the model's attention weights are recorded, over
            its own positions and over a source; see `sightline.models.protocols`.
        residual: whether what its sublayers give is added to what they read.
        likeliest: of a model that writes, so many tokens for each output that were the likeliest there; else None.
    """

    sides: Mapping[str, Side]
    run: Callable[[PassContext], Tensor]
    outputs: tuple[str, ...]
    without: Callable[[int], Reading | None]
    input_axis: str
    occlusion: str
    image: np.ndarray | None = None
    output_axis: str = "position"
    output_positions: tuple[int, ...] = ()
    causal: bool = False
    unit: str = "nats"
    attention_sites: tuple[str, ...] = ()
    cross_attention_sites: tuple[str, ...] = ()
    residual: bool = True
    likeliest: Callable[[int], tuple[tuple[Likely, ...], ...]] | None = None


def likeliest_tokens(log_probabilities_TV: Tensor, tokenizer: Tokenizer, count: int) -> tuple[tuple[Likely, ...], ...]:
    """For each row the `count` likeliest tokens, the likeliest first."""
    best = log_probabilities_TV.topk(min(count, log_probabilities_TV.shape[-1]))
    return tuple(
        tuple(Likely(token, value) for token, value in zip(tokenizer.tokens(ids), values, strict=True))
        for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )


def over_positions(
    item: Item,
    side: Side,
    run: Callable[[Item, PassContext], Tensor],
    outputs: Sequence[str],
    occlude: Callable[[Item, int], Item],
    occlusion: str,
    image: np.ndarray | None = None,
    *,
    output_positions: Sequence[int] | None = None,
    causal: bool = False,
    unit: str = "nats",
    attention_sites: tuple[str, ...] = (),
    residual: bool = True,
    likeliest: Callable[[int], tuple[tuple[Likely, ...], ...]] | None = None,
) -> Reading:
    """A reading with one axis of positions, "position".

    Args:
        item: the input as `run` and `occlude` take it, as a list of numbers or a tensor.
        run: the log-probabilities of the outputs of an item. occlude: the item with one position occluded; a position
            that this leaves as it is always stays.
        output_positions: the positions that the outputs are computed from; by default the first, as of a class token.
        causal, unit, attention_sites, residual, likeliest: as in `Reading`.
    """

    def make(item: Item) -> Reading:
        def without(position: int) -> Reading | None:
            changed = occlude(item, position)
            return None if torch.equal(torch.as_tensor(changed), torch.as_tensor(item)) else make(changed)

        return Reading(
            {"position": side},
            lambda ctx: run(item, ctx),
            tuple(outputs),
            without,
            "position",
            occlusion,
            image,
            output_positions=(0,) * len(outputs) if output_positions is None else tuple(output_positions),
            causal=causal,
            unit=unit,
            attention_sites=attention_sites,
            residual=residual,
            likeliest=likeliest,
        )

    return make(item)


def special_side(tokenizer: Tokenizer, ids: Sequence[int]) -> Side:
    """The positions of a BERT's input, with its special tokens as [CLS], [SEP] and [MASK]."""
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


def masking(special_ids: Sequence[int], mask_id: int) -> Callable[[Sequence[int], int], list[int]]:
    """An occlusion that puts [MASK] in the place of a token, unless that is one of `special_ids`."""

    def occlude(ids: Sequence[int], position: int) -> list[int]:
        return [mask_id if at == position and one not in special_ids else one for at, one in enumerate(ids)]

    return occlude


def leaving_out(vocab_size: int) -> Callable[[Sequence[int], int], list[int]]:
    """An occlusion that takes a token out, unless it is a special one, whose id lies beyond `vocab_size`."""

    def occlude(ids: Sequence[int], position: int) -> list[int]:
        return [one for at, one in enumerate(ids) if at != position or one >= vocab_size]

    return occlude
