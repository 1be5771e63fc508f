"""Positional encodings: sinusoidal, triangle and square waves, binary digits, learned, rotary, none.

Shapes: B rows, T positions, D width, H heads, K width of one head.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sightline.nn.context import PassContext
from sightline.nn.ops import AutogradContext, apply
from sightline.nn.tables import LookupTable

# Positions of a sequence's tokens: that of the first one, or one a token (B, T) where rows differ.
PositionIds = int | Tensor

# `square_2pi` is what `square` was until runs carried a format: the signs of sinusoids, whose rows are not distinct.
PositionKind = Literal["sinusoidal", "triangle", "square", "binary", "learned", "rotary", "none", "square_2pi"]


def _span(position_ids: PositionIds, length: int) -> tuple[slice | Tensor, int]:
    """What to take of a table whose first axis is positions, and how many of them it must have."""
    if isinstance(position_ids, int):
        return slice(position_ids, position_ids + length), position_ids + length
    return position_ids, int(position_ids.max()) + 1


class PositionalEncoding(nn.Module):
    """No positions; the others override what they change: `embed` for those that are added, `rotate` for rotary.

    `rotates` says whether attention is to turn its queries and keys by it.
    """

    rotates: ClassVar[bool] = False

    def embed(self, x_BTD: Tensor, position_ids: PositionIds = 0) -> Tensor:
        """`x_BTD` with the encodings of its positions added: T from `position_ids` on, or one a token (B, T)."""
        return x_BTD

    def rotate(self, x_BHTK: Tensor, position_ids: PositionIds = 0) -> Tensor:
        """Queries or keys (B, H, T, K) turned by their positions: T from `position_ids` on, or one a token (B, T)."""
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


def cycles(wavelengths: Tensor, length: int) -> Tensor:
    """(length, wavelengths): how many periods of each wave lie before a position."""
    return torch.arange(length, dtype=torch.float64)[:, None] / wavelengths


def _sinusoid(length: int, width: int) -> tuple[Tensor, Tensor]:
    phase = angles(length, width)
    return torch.sin(phase), torch.sin(phase + math.pi / 2)


def _triangle(length: int, width: int) -> tuple[Tensor, Tensor]:
    def wave(phase: Tensor) -> Tensor:
        return 2 / math.pi * torch.asin(torch.sin(phase).clamp(-1, 1))

    phase = angles(length, width)
    return wave(phase), wave(phase + math.pi / 2)


def _square_2pi(length: int, width: int) -> tuple[Tensor, Tensor]:
    phase = angles(length, width)
    return _sign(torch.sin(phase) >= 0), _sign(torch.sin(phase + math.pi / 2) >= 0)


def _square(length: int, width: int) -> tuple[Tensor, Tensor]:
    """Wavelengths 2 · 10000^(2i / width). From a width of 18 on each is at most 3 times the one before, so two
    positions that are no further apart than 3/4 of the longest differ in some column."""
    exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
    return _high_and_low(cycles(2 * 10_000.0**exponents, length))


def _binary(length: int, width: int) -> tuple[Tensor, Tensor]:
    """Wavelengths 2^(i + 1): even columns are the binary digits of the position, the lowest first, 0 as 1, 1 as -1."""
    return _high_and_low(cycles(2.0 ** torch.arange(1, width // 2 + 1, dtype=torch.float64), length))


def _high_and_low(periods: Tensor) -> tuple[Tensor, Tensor]:
    """Square waves, and the same a quarter of a period later. Of fractions of periods, which are exact where it counts:
    the sine of a multiple of π is not."""
    return _sign(periods % 1 < 0.5), _sign((periods + 0.25) % 1 < 0.5)


def _sign(high: Tensor) -> Tensor:
    return torch.where(high, 1.0, -1.0)


WAVES: dict[str, Callable[[int, int], tuple[Tensor, Tensor]]] = {
    "sinusoidal": _sinusoid,
    "triangle": _triangle,
    "square": _square,
    "binary": _binary,
    "square_2pi": _square_2pi,
}


def wave_table(kind: str, length: int, width: int) -> Tensor:
    """(length, width) fp32: even columns are waves of growing wavelengths, odd ones the same a quarter period later.

    For "sinusoidal" this is Vaswani et al. 2017, section 3.5: PE(p, 2i) = sin, PE(p, 2i + 1) = cos.
    """
    return torch.stack(WAVES[kind](length, width + width % 2), -1).flatten(1)[:, :width].float()


class WaveEncoding(PositionalEncoding):
    """A fixed table added to the embeddings. It grows with the sequence, so no length is too long."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind, self.width = kind, width

    def extra_repr(self) -> str:
        return f"{self.kind}, {self.width}"

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

    def extra_repr(self) -> str:
        return f"max_length={self.table.shape[0]}, {self.table.shape[1]}"

    def embed(self, x_BTD: Tensor, position_ids: PositionIds = 0) -> Tensor:
        span, length = _span(position_ids, x_BTD.shape[1])
        if length > self.table.shape[0]:
            raise ValueError(f"{length} positions asked of a table of {self.table.shape[0]} learned ones")
        return x_BTD + self.table[span]


class RotaryEncoding(PositionalEncoding):
    """Queries and keys turned by an angle proportional to their position (Su et al. 2021, eq. 34)."""

    rotates = True

    def rotate(self, x_BHTK: Tensor, position_ids: PositionIds = 0) -> Tensor:
        span, length = _span(position_ids, x_BHTK.shape[2])
        cosine, sine = _cached_rotation(1 << max(length - 1, 255).bit_length(), x_BHTK.shape[3], x_BHTK.device)
        # (T, K/2), or (B, 1, T, K/2) to broadcast over the heads
        cosine, sine = (table[span] if isinstance(span, slice) else table[span][:, None] for table in (cosine, sine))
        return apply(_Turned, x_BHTK, cosine, sine)


class _Turned(torch.autograd.Function):
    """Pairs of features turned by angles, in fp32. Its gradient is turned back: autograd's own, through the halves and
    their products, takes three times as long."""

    @staticmethod
    def forward(ctx: AutogradContext, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        first, second = (read := x.float()).chunk(2, -1)
        ahead, across = (turned := torch.empty_like(read)).chunk(2, -1)
        torch.mul(first, cosine, out=ahead).addcmul_(second, sine, value=-1)
        torch.mul(second, cosine, out=across).addcmul_(first, sine)
        return turned.to(x.dtype)

    @staticmethod
    def backward(ctx: AutogradContext, *gradients: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return apply(_Turned, *gradients, cosine, -sine), None, None


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
    """The encoding named `kind`: one of `WAVES` (sinusoidal, triangle, square, square_2pi, binary), learned, rotary or
    none. Raises KeyError for another."""
    if kind in WAVES:
        return WaveEncoding(kind, d_model)
    if kind == "learned":
        return LearnedEncoding(max_length, d_model)
    return {"rotary": RotaryEncoding, "none": PositionalEncoding}[kind]()
