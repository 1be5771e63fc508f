"""Attention masks: boolean, True = may attend.

Shapes: B rows, S source positions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """(queries, keys) mask that lets query i see the keys up to its own position.

    Aligned at the bottom right: the last query sees every key, so that a step over a cache and a full pass agree.
    """
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def over_heads(mask_BS: Tensor) -> Tensor:
    """A mask of real tokens (B, S) shaped to broadcast over heads and queries: (B, 1, 1, S)."""
    return mask_BS[:, None, None, :]
