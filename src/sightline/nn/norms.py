"""Normalisation: layer, RMS and batch norm, or none, behind one signature.

Shapes: B rows, T positions, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.nn.context import INFERENCE, PassContext

EPSILON = 1e-5


class LayerNorm(nn.Module):
    """Per position, over its features: (x - mean) / √(var + ε) · g + b (Ba et al. 2016, eq. 4)."""

    def __init__(self, width: int, epsilon: float = EPSILON) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, epsilon={self.epsilon:g}"

    def forward(self, x_BTD: Tensor, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE) -> Tensor:
        """x (B, T, D) with each position normalised; `real_BT` and `ctx` are batch norm's."""
        return F.layer_norm(x_BTD, self.weight.shape, self.weight, self.bias, self.epsilon)


class RMSNorm(nn.Module):
    """Per position: x / √(mean(x²) + ε) · g (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, width: int, epsilon: float = EPSILON) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, epsilon={self.epsilon:g}"

    def forward(self, x_BTD: Tensor, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE) -> Tensor:
        """x (B, T, D) with each position normalised; `real_BT` and `ctx` are batch norm's."""
        return F.rms_norm(x_BTD, self.weight.shape, self.weight, self.epsilon)


class BatchNorm(nn.Module):
    """Per feature, over the batch's real positions (Ioffe & Szegedy 2015, algorithm 1).

    Padding takes no part in the statistics. A training pass uses the batch's and moves the running ones towards
    them by a tenth; any other pass uses the running ones, so that a sentence never depends on its neighbours. So does
    every pass of a frozen one, whose weight takes no gradient: what is frozen stays the function it was.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, epsilon: float = EPSILON) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, epsilon={self.epsilon:g}"

    def forward(self, x_BTD: Tensor, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE) -> Tensor:
        """x (B, T, D) normalised; a training pass measures where `real_BT` (True = no padding) says."""
        mean, var = self.running_mean.float(), self.running_var.float()
        if ctx.training and self.weight.requires_grad:
            rows = (x_BTD.flatten(0, -2) if real_BT is None else x_BTD[real_BT]).float()
            var, mean = torch.var_mean(rows, 0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), 0.1)
                self.running_var.lerp_(var.to(self.running_var.dtype), 0.1)
        scale = self.weight.float() * torch.rsqrt(var + self.epsilon)
        return (x_BTD.float() * scale + (self.bias.float() - mean * scale)).to(x_BTD.dtype)


class NoNorm(nn.Module):
    """x as it is."""

    def __init__(self, width: int, epsilon: float = EPSILON) -> None:
        super().__init__()

    def forward(self, x_BTD: Tensor, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE) -> Tensor:
        """x (B, T, D)."""
        return x_BTD


Norm = LayerNorm | RMSNorm | BatchNorm | NoNorm
NORMS: dict[str, type[Norm]] = {"layer": LayerNorm, "rms": RMSNorm, "batch": BatchNorm, "none": NoNorm}


def make_norm(kind: str, width: int, epsilon: float = EPSILON) -> Norm:
    """The normalisation named `kind`: layer, rms, batch or none. Raises KeyError for another."""
    return NORMS[kind](width, epsilon)
