"""Decoder state as a value: what every state can do, and helpers to do it."""

from __future__ import annotations

from typing import Protocol, Self

from torch import Tensor

# What every tokenizer of ours calls the beginning and the end of a sentence or document.
BOS, EOS = 1, 2


class State(Protocol):
    """What a decoder carries from one step to the next. Never changed in place."""

    def reorder(self, index: Tensor) -> Self:
        """The state whose row i is this one's row index[i]; rows may repeat or be missing. `index` is int64 (B',)."""
        ...


def rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows `index` of a tensor whose first axis is the batch."""
    return tensor.index_select(0, index)
