"""The Transformer's block: attention and feed-forward sublayers with residuals and norms."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.nn.attention import KeyValues, MultiHeadAttention
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.norms import EPSILON, NORMS
from sightline.nn.ops import Linear
from sightline.nn.positions import PositionalEncoding, PositionIds

ACTIVATIONS = {
    "relu": torch.relu,
    "gelu": F.gelu,
    # as GPT has it (Hendrycks & Gimpel 2016, section 2)
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
}


class FeedForward(nn.Module):
    """W₂ f(W₁ x + b₁) + b₂ (Vaswani et al. 2017, eq. 2), f one of `ACTIVATIONS`."""

    def __init__(self, d_model: int, d_ff: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = Linear(d_model, d_ff), Linear(d_ff, d_model)
        self.activation, self.dropout = ACTIVATIONS[activation], dropout

    def forward(self, x_BTD: Tensor, ctx: PassContext = INFERENCE) -> Tensor:
        return self.outer(ctx.dropout(self.activation(self.inner(x_BTD)), self.dropout))


class SwiGLU(nn.Module):
    """W₂ (silu(W₁ x) ⊙ V x), without biases (Shazeer 2020, eq. 6)."""

    def __init__(self, d_model: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.inner = Linear(d_model, 2 * d_ff, bias=False)
        self.outer, self.dropout = Linear(d_ff, d_model, bias=False), dropout

    def forward(self, x_BTD: Tensor, ctx: PassContext = INFERENCE) -> Tensor:
        gate, value = self.inner(x_BTD).chunk(2, -1)
        return self.outer(ctx.dropout(F.silu(gate) * value, self.dropout))


def make_feed_forward(d_model: int, d_ff: int, activation: str, dropout: float) -> nn.Module:
    """The position-wise network with activation relu, gelu, gelu_tanh or swiglu."""
    if activation == "swiglu":
        return SwiGLU(d_model, d_ff, dropout)
    return FeedForward(d_model, d_ff, activation, dropout)


@dataclass(frozen=True)
class BlockSizes:
    """What a block is made of: see `sightline.models.transformer.TransformerSizes` for each name."""

    d_model: int
    num_heads: int
    d_ff: int
    value_width: int | None = None
    num_kv_heads: int | None = None
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    activation: str = "relu"
    norm: str = "layer"
    norm_epsilon: float = EPSILON
    pre_norm: bool = False


class Block(nn.Module):
    """Self-attention, cross-attention where there is a source, feed-forward; each with a residual and a norm.

    Post-norm: x ← norm(x + dropout(f(x))) (Vaswani et al. 2017, section 3.1).
    Pre-norm: x ← x + dropout(f(norm(x))) (Xiong et al. 2020, figure 1b).
    """

    def __init__(self, sizes: BlockSizes, positions: PositionalEncoding | None = None, cross: bool = False) -> None:
        super().__init__()

        def attention(turned: PositionalEncoding | None) -> MultiHeadAttention:
            return MultiHeadAttention(
                sizes.d_model,
                sizes.num_heads,
                value_width=sizes.value_width,
                num_kv_heads=sizes.num_kv_heads,
                dropout=sizes.attention_dropout,
                positions=turned,
            )

        def norm() -> nn.Module:
            return NORMS[sizes.norm](sizes.d_model, sizes.norm_epsilon)

        self.pre_norm, self.dropout = sizes.pre_norm, sizes.dropout
        self.self_attention, self.self_norm = attention(positions), norm()
        # distances between a source and a target position mean nothing: cross-attention is never rotated
        self.cross_attention = attention(None) if cross else None
        self.cross_norm = norm() if cross else None
        self.feed_forward = make_feed_forward(sizes.d_model, sizes.d_ff, sizes.activation, sizes.activation_dropout)
        self.feed_forward_norm = norm()

    def _sublayer(
        self,
        x_BTD: Tensor,
        function: Callable[[Tensor], Tensor],
        name: str,
        real_BT: Tensor | None,
        ctx: PassContext,
    ) -> Tensor:
        """One sublayer around the norm `name`, whose output is recorded under that name, and what it reads."""

        def norm(read_BTD: Tensor) -> Tensor:
            ctx.record(f"{name}_input", read_BTD)
            normed_BTD = self.get_submodule(name)(read_BTD, real_BT, ctx)
            ctx.record(name, normed_BTD)
            return normed_BTD

        if self.pre_norm:
            return x_BTD + ctx.dropout(function(norm(x_BTD)), self.dropout)
        return norm(x_BTD + ctx.dropout(function(x_BTD), self.dropout))

    def forward(
        self,
        x_BTD: Tensor,
        mask: Tensor | None,
        *,
        real_BT: Tensor | None = None,
        past: KeyValues | None = None,
        position_ids: PositionIds | None = None,
        source: KeyValues | None = None,
        source_mask: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, KeyValues]:
        """One block over x (B, T, D).

        Args:
            mask: what self-attention may see, broadcastable to (B, H, T, past + T).
            real_BT: which positions are no padding; only batch norm asks.
            past: keys and values of earlier positions. position_ids: of x; right after the past by default.
            source, source_mask: the keys and values that cross-attention reads.

        Returns:
            (B, T, D) and the self-attention's keys and values including this input's.
        """
        keys_values: list[KeyValues] = []

        def attend_self(x: Tensor) -> Tensor:
            context, kept = self.self_attention(x, mask, past, ctx.at("self_attention"), position_ids)
            keys_values.append(kept)
            return context

        x_BTD = self._sublayer(x_BTD, attend_self, "self_norm", real_BT, ctx)
        if self.cross_attention is not None and source is not None:
            cross, inner = self.cross_attention, ctx.at("cross_attention")
            x_BTD = self._sublayer(
                x_BTD, lambda x: cross.attend_to(x, source, source_mask, inner), "cross_norm", real_BT, ctx
            )
        inner = ctx.at("feed_forward")
        x_BTD = self._sublayer(x_BTD, lambda x: self.feed_forward(x, inner), "feed_forward_norm", real_BT, ctx)
        x_BTD = ctx.edit("residual", x_BTD)
        ctx.record("residual", x_BTD)
        return x_BTD, keys_values[0]
