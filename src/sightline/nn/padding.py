"""Batch rows of different lengths: real tokens gathered to the left, and features scattered back.

Shapes: B rows, T positions, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def left_align(x_BT: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(each row with its real entries first, in order; how many those are (B); the index each came from (B, T))."""
    index_BT = (~real_BT).int().argsort(dim=1, stable=True)
    return x_BT.gather(1, index_BT), real_BT.sum(1), index_BT


def undo_left_align(x_BTD: Tensor, index_BT: Tensor) -> Tensor:
    """The inverse of `left_align` for features (B, T, D)."""
    return torch.zeros_like(x_BTD).scatter(1, index_BT[:, :, None].expand_as(x_BTD), x_BTD)
