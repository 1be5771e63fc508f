"""Rows of different lengths: real tokens brought to the left, and what was made of them back to their places."""

from __future__ import annotations

import torch
from torch import Tensor


def to_left(x_BT: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(each row with its real entries first, in order; how many those are (B); the place each came from (B, T))."""
    places_BT = (~real_BT).int().argsort(dim=1, stable=True)
    return x_BT.gather(1, places_BT), real_BT.sum(1), places_BT


def to_places(x_BTD: Tensor, places_BT: Tensor) -> Tensor:
    """The inverse of `to_left` for features (B, T, D)."""
    return torch.zeros_like(x_BTD).scatter(1, places_BT[:, :, None].expand_as(x_BTD), x_BTD)
