"""Low-rank adaptation: a frozen matrix with a small learned one beside it (Hu et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

FROZEN, ADAPTER = "parametrizations.weight.original", "parametrizations.weight.0."


class LoRA(nn.Module):
    """W + (α / r) B A with A (r, in) random and B (out, r) zero, so that nothing changes at first (section 4.1)."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.randn(rank, columns) / math.sqrt(columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.scale = alpha / rank

    def extra_repr(self) -> str:
        return f"rank={len(self.down)}, scale={self.scale:g}"

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down)


def adapt(modules: Iterable[nn.Module], rank: int, alpha: float) -> None:
    """Puts an adapter of its own beside the matrix `weight` of each module, and freezes the matrix."""
    for module in modules:
        weight = module.get_parameter("weight")
        weight.requires_grad_(False)
        parametrize.register_parametrization(module, "weight", LoRA(weight, rank, alpha))


def merge(model: nn.Module) -> None:
    """Adds every adapter to its matrix once and for all: the same function, without what the adapters cost."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def plain_name(name: str) -> str | None:
    """What a parameter of an adapted model is called in the model without adapters; None for an adapter's own."""
    return None if ADAPTER in name else name.replace(FROZEN, "weight")
