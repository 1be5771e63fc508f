"""Decoder state as a value: what every state can do, and helpers to do it.

Shapes: B batch rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor


class State(Protocol):
    """What a decoder carries from one step to the next. Never changed in place."""

    def reorder(self, index: Tensor) -> Self:
        """The state whose row i is this one's row index[i]; rows may repeat or be missing. `index` is int64 (B',)."""
        ...

    def concatenate(self, other: Self) -> Self:
        """The batch rows of this state, then those of another of the same model; what they have read may differ in
        length."""
        ...


class CarriedState(State, Protocol):
    """A state that training can hand on from one batch to the next, as truncated back-propagation through time does."""

    def tensors(self) -> list[Tensor]:
        """All it holds, batch rows first."""
        ...

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """A state of this form that holds others, in the order of `tensors`."""
        ...


class TensorState(ABC):
    """A state that consists of tensors whose first axis is the batch, and whose other axes have one size for all."""

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """All it holds, batch rows first."""

    @abstractmethod
    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """A state of this form that holds others, in the order of `tensors`."""

    def reorder(self, index: Tensor) -> Self:
        return self.with_tensors([select_rows(part, index) for part in self.tensors()])

    def concatenate(self, other: Self) -> Self:
        return self.with_tensors([torch.cat(parts) for parts in zip(self.tensors(), other.tensors(), strict=True)])


def select_rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows `index` of a tensor whose first axis is the batch."""
    return tensor.index_select(0, index)


def pad_and_concatenate(parts: Sequence[Tensor], axis: int, *, left: bool = False) -> Tensor:
    """All parts along the batch axis, each padded with zeros along `axis`, on the right or the left, to the longest."""
    longest = max(part.shape[axis] for part in parts)
    filled: list[Tensor] = []
    for part in parts:
        missing = longest - part.shape[axis]
        sides = [missing, 0] if left else [0, missing]
        filled.append(F.pad(part, [0, 0] * (part.dim() - 1 - axis) + sides) if missing else part)
    return torch.cat(filled)


def concatenate_source_ids(first_B: Tensor, second_B: Tensor) -> Tensor:
    """Source ids of two batches, the second's shifted so that they are distinct from the first's."""
    return torch.cat([first_B, second_B + int(first_B.max()) + 1])
