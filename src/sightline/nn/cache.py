"""Per-layer key/value cache and its padding mask: the state of a stack of causal self-attention.

Shapes: B batch rows, S cached positions, T new tokens, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sightline.nn.attention import KeyValues
from sightline.nn.masks import causal_mask
from sightline.nn.positions import PositionIds
from sightline.nn.state import pad_and_concatenate, select_rows


@dataclass(frozen=True)
class KeyValueCache:
    """Keys and values of every layer, and the mask of cached positions that are real tokens (True) or padding.

    Attributes:
        layers: one entry a layer; None before anything was read.
        real_BS: which cached positions are real tokens.
        padded: whether any is padding, known without looking at the mask.
    """

    layers: tuple[KeyValues | None, ...]
    real_BS: Tensor
    padded: bool = False

    @classmethod
    def empty(cls, num_layers: int, batch_size: int, device: torch.device) -> KeyValueCache:
        """The cache before the first token."""
        none: tuple[KeyValues | None, ...] = (None,) * num_layers
        return cls(none, torch.ones(batch_size, 0, dtype=torch.bool, device=device))

    @property
    def length(self) -> int:
        """Cached positions S, padding included."""
        return self.real_BS.shape[1]

    def reorder(self, index: Tensor) -> KeyValueCache:
        layers = tuple(None if keys_values is None else keys_values.reorder(index) for keys_values in self.layers)
        return replace(self, layers=layers, real_BS=select_rows(self.real_BS, index))

    def concatenate(self, other: KeyValueCache) -> KeyValueCache:
        """The batch rows of both, padded on the left to one length, without positions that are padding in all rows."""
        parts = [cache._trimmed() for cache in (self, other)]
        some = [part for part in parts if part.length]
        if not some:
            return replace(self, real_BS=torch.cat([part.real_BS for part in parts]))
        layers: list[KeyValues] = []
        for number in range(len(self.layers)):
            like = some[0].layers[number]
            assert like is not None
            mine, theirs = [part.layers[number] or like.empty_like(len(part.real_BS)) for part in parts]
            layers.append(mine.concatenate(theirs, left=True))
        real_BS = pad_and_concatenate([part.real_BS for part in parts], 1, left=True)
        padded = parts[0].length != parts[1].length or any(part.padded for part in parts)
        return KeyValueCache(tuple(layers), real_BS, padded)

    def _trimmed(self) -> KeyValueCache:
        """Without the leading positions that are padding in every row."""
        if not self.padded:
            return self
        first = int(self.real_BS.any(0).int().argmax())
        layers = tuple(keys_values and KeyValues(keys_values.keys[:, :, first:], keys_values.values[:, :, first:])
                         for keys_values in self.layers)  # fmt: skip
        return KeyValueCache(layers, self.real_BS[:, first:], not bool(self.real_BS[:, first:].all()))

    def extend(
        self, tokens_BT: Tensor, real_BT: Tensor | None = None
    ) -> tuple[PositionIds, Tensor | None, KeyValueCache]:
        """Position ids and attention mask of the T tokens that follow, and the cache extended by them.

        The returned cache still lacks their keys and values: see `with_layers`. The mask is broadcastable to
        (B, H, T, S + T); None where everything may be attended to.

        Args:
            real_BT: which of the tokens are real; padding may stand anywhere. All by default.
        """
        length = tokens_BT.shape[1]
        mask = None if length == 1 else causal_mask(length, self.length + length, tokens_BT.device)
        new_BT = torch.ones_like(tokens_BT, dtype=torch.bool) if real_BT is None else real_BT
        after = replace(self, real_BS=torch.cat([self.real_BS, new_BT], 1), padded=self.padded or real_BT is not None)
        if not after.padded:
            return self.length, mask, after
        position_ids = (after.real_BS.cumsum(1) - 1).clamp(min=0)[:, self.length :]
        visible = after.real_BS[:, None, None, :]
        return position_ids, visible if mask is None else visible & mask, after

    def with_layers(self, layers: Sequence[KeyValues | None]) -> KeyValueCache:
        """The same positions with these keys and values of every layer."""
        return replace(self, layers=tuple(layers))
