"""The past of a stack of self-attention as a value: keys and values, and where each row begins.

Shapes: B rows, S columns of the past, T new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sightline.nn.attention import Memory
from sightline.nn.masks import causal_mask
from sightline.nn.positions import Place
from sightline.nn.state import joined, rows


@dataclass(frozen=True)
class Past:
    """Per block the memory of what was read, and which of its columns are real rather than padding.

    `padded` tells whether there is any padding, so that nobody has to look.
    """

    memories: tuple[Memory | None, ...]
    real_BS: Tensor
    padded: bool = False

    @classmethod
    def empty(cls, blocks: int, rows: int, device: torch.device) -> Past:
        """Nothing read yet."""
        return cls((None,) * blocks, torch.ones(rows, 0, dtype=torch.bool, device=device))

    @property
    def length(self) -> int:
        """Columns of the past."""
        return self.real_BS.shape[1]

    def reorder(self, index: Tensor) -> Past:
        memories = tuple(None if memory is None else memory.reorder(index) for memory in self.memories)
        return replace(self, memories=memories, real_BS=rows(self.real_BS, index))

    def join(self, other: Past) -> Past:
        """The rows of both, the newest column of each at the right; columns that no row needs any more go."""
        parts = [past._trimmed() for past in (self, other)]
        some = [part for part in parts if part.length]
        if not some:
            return replace(self, real_BS=torch.cat([part.real_BS for part in parts]))
        memories = []
        for number in range(len(self.memories)):
            like = some[0].memories[number]
            assert like is not None
            mine, theirs = [part.memories[number] or like.none(len(part.real_BS)) for part in parts]
            memories.append(mine.join(theirs, left=True))
        real_BS = joined([part.real_BS for part in parts], 1, left=True)
        padded = parts[0].length != parts[1].length or any(part.padded for part in parts)
        return Past(tuple(memories), real_BS, padded)

    def _trimmed(self) -> Past:
        """Without the columns on the left that are padding in every row."""
        if not self.padded:
            return self
        first = int(self.real_BS.any(0).int().argmax())
        memories = tuple(memory and Memory(memory.keys[:, :, first:], memory.values[:, :, first:])
                         for memory in self.memories)  # fmt: skip
        return Past(memories, self.real_BS[:, first:], not bool(self.real_BS[:, first:].all()))

    def sees(self, tokens_BT: Tensor, real_BT: Tensor | None = None) -> tuple[Place, Tensor | None, Past]:
        """For tokens that follow: where they lie, what each may attend to, and the past after them, still without
        their keys and values.

        `real_BT` tells which of them are no padding, wherever it stands. The mask is broadcastable to (B, H, T, S + T);
        None where everything may be attended to.
        """
        length = tokens_BT.shape[1]
        mask = None if length == 1 else causal_mask(length, self.length + length, tokens_BT.device)
        new_BT = torch.ones_like(tokens_BT, dtype=torch.bool) if real_BT is None else real_BT
        after = replace(self, real_BS=torch.cat([self.real_BS, new_BT], 1), padded=self.padded or real_BT is not None)
        if not after.padded:
            return self.length, mask, after
        place = (after.real_BS.cumsum(1) - 1).clamp(min=0)[:, self.length :]
        visible = after.real_BS[:, None, None, :]
        return place, visible if mask is None else visible & mask, after

    def holding(self, memories: Sequence[Memory | None]) -> Past:
        """The same with the blocks' memories."""
        return replace(self, memories=tuple(memories))
