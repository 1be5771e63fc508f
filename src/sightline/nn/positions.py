"""Positional encodings: sinusoidal, triangle and square waves, learned, rotary, none."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from sightline.nn.context import PassContext
from sightline.nn.tables import LookupTable

# Positions of a sequence's tokens: that of the first one, or one a token (B, T) where rows differ.
PositionIds = int | Tensor


def _span(position_ids: PositionIds, length: int) -> tuple[slice | Tensor, int]:
    """What to take of a table whose first axis is positions, and how many of them it must have."""
    if type(position_ids) is int:
        return slice(position_ids, position_ids + length), position_ids + length
    return position_ids, int(position_ids.max()) + 1  # pyright: ignore


class PositionalEncoding(nn.Module):
    """No positions; the others override what they change: `embed` for those that are added, `rotate` for rotary."""

    def embed(self, x_BTD: Tensor, position_ids: PositionIds = 0) -> Tensor:
        """`x_BTD` with the encodings of its positions added: T from `position_ids` on, or one a token (B, T)."""
        return x_BTD

    def rotate(self, x_BHTK: Tensor, position_ids: PositionIds = 0) -> Tensor:
        """Queries or keys turned by their positions."""
        return x_BHTK


def add_positions(
    positions: PositionalEncoding, x_BTD: Tensor, ctx: PassContext, position_ids: PositionIds = 0
) -> Tensor:
    """Embeddings with their positions, as they enter the first block; both are recorded, as "positions" what is added
    where anything is, as "embedding" the sum."""
    sum_BTD = positions.embed(x_BTD, position_ids)
    if sum_BTD is not x_BTD and ctx.wants("positions"):
        ctx.record("positions", sum_BTD - x_BTD)
    ctx.record("embedding", sum_BTD)
    return sum_BTD


def angles(length: int, width: int, base: float = 10_000.0) -> Tensor:
    """(length, width / 2): position / base^(2i / width), the phases of Vaswani et al. 2017, section 3.5."""
    frequencies = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(base) / width))
    return torch.arange(length, dtype=torch.float64)[:, None] * frequencies


def _triangle(phase: Tensor) -> Tensor:
    return 2 / math.pi * torch.asin(torch.sin(phase).clamp(-1, 1))


def _square(phase: Tensor) -> Tensor:
    return torch.where(torch.sin(phase) >= 0, 1.0, -1.0)


WAVES = {"sinusoidal": torch.sin, "triangle": _triangle, "square": _square}


def wave_table(kind: str, length: int, width: int) -> Tensor:
    """(length, width) fp32: even columns wave(phase), odd columns wave(phase + π/2), of geometric wavelengths.

    For "sinusoidal" this is Vaswani et al. 2017, section 3.5: PE(p, 2i) = sin, PE(p, 2i + 1) = cos.
    """
    phase = angles(length, width + width % 2)
    wave = WAVES[kind]
    return torch.stack([wave(phase), wave(phase + math.pi / 2)], -1).flatten(1)[:, :width].float()


class WaveEncoding(PositionalEncoding):
    """A fixed table added to the embeddings. It grows with the sequence, so no length is too long."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind, self.width = kind, width

    def embed(self, x_BTD: Tensor, position_ids: PositionIds = 0) -> Tensor:
        span, length = _span(position_ids, x_BTD.shape[1])
        table = _cached_table(self.kind, 1 << max(length - 1, 255).bit_length(), self.width, x_BTD.dtype, x_BTD.device)
        return x_BTD + table[span]


class LearnedEncoding(PositionalEncoding):
    """One learned vector a position (Gehring et al. 2017; Devlin et al. 2019).

    Raises:
        ValueError: where a sequence is longer than `max_length`.
    """

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__()
        self.table = LookupTable(torch.randn(max_length, width) * 0.02)

    def embed(self, x_BTD: Tensor, position_ids: PositionIds = 0) -> Tensor:
        span, length = _span(position_ids, x_BTD.shape[1])
        if length > self.table.shape[0]:
            raise ValueError(f"{length} positions asked of a table of {self.table.shape[0]} learned ones")
        return x_BTD + self.table[span]


class RotaryEncoding(PositionalEncoding):
    """Queries and keys turned by an angle proportional to their position (Su et al. 2021, eq. 34)."""

    def rotate(self, x_BHTK: Tensor, position_ids: PositionIds = 0) -> Tensor:
        span, length = _span(position_ids, x_BHTK.shape[2])
        cosine, sine = _cached_rotation(1 << max(length - 1, 255).bit_length(), x_BHTK.shape[3], x_BHTK.device)
        # (T, K/2), or (B, 1, T, K/2) to broadcast over the heads
        cosine, sine = (table[span] if type(span) is slice else table[span][:, None] for table in (cosine, sine))
        return _Turned.apply(x_BHTK, cosine, sine)  # pyright: ignore[reportReturnType]


class _Turned(torch.autograd.Function):
    """Pairs of features turned by angles, in fp32. Its gradient is turned back: autograd's own, through the halves and
    their products, takes three times as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        first, second = (read := x.float()).chunk(2, -1)
        ahead, across = (turned := torch.empty_like(read)).chunk(2, -1)
        torch.mul(first, cosine, out=ahead).addcmul_(second, sine, value=-1)
        torch.mul(second, cosine, out=across).addcmul_(first, sine)
        return turned.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _Turned.apply(*gradients, cosine, -sine), None, None  # pyright: ignore[reportReturnType]


# Tables are pure functions of their arguments, so remembering a few of them is a cache and not state. They are made
# outside inference mode wherever they are first asked for: what is born inside it can take no part in training.
@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def _cached_table(kind: str, length: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return wave_table(kind, length, width).to(device, dtype)


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def _cached_rotation(length: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    phase = angles(length, width)
    return phase.cos().float().to(device), phase.sin().float().to(device)


def make_positional_encoding(kind: str, d_model: int, max_length: int) -> PositionalEncoding:
    """The encoding named `kind`: sinusoidal, triangle, square, learned, rotary or none."""
    if kind in WAVES:
        return WaveEncoding(kind, d_model)
    return {
        "learned": lambda: LearnedEncoding(max_length, d_model),
        "rotary": RotaryEncoding,
        "none": PositionalEncoding,
    }[kind]()
