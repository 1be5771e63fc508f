"""The Transformer's block: attention and feed-forward sublayers with residuals and norms, and what it can be made of.

Shapes: B rows, T positions, S source positions, D d_model, H heads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sightline.nn.attention import KeyValues, MultiHeadAttention
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.norms import EPSILON, NoNorm, Norm, make_norm
from sightline.nn.ops import Linear
from sightline.nn.positions import PositionalEncoding, PositionIds, PositionKind

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": F.gelu,
    # as GPT has it (Hendrycks & Gimpel 2016, section 2)
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
}


class BlockOptions(BaseModel, frozen=True, extra="forbid"):
    """What blocks are made of: the options that the Transformer, GPT, BERT and ViT share, with their one check.

    Each of them says its own defaults.
    """

    d_model: int = Field(512, ge=1, description="width of the residual stream")
    num_heads: int = Field(8, ge=1, description="attention heads; divides d_model")
    num_kv_heads: int | None = Field(None, ge=1, description="heads of keys and values; num_heads if not set")
    d_ff: int = Field(2048, ge=1, description="width inside the feed-forward network")
    value_width: int | None = Field(None, ge=1, description="width of all heads' values together; d_model if not set")
    attention_scale: Literal["sqrt_d_k", "sqrt_d_model", "none"] = Field(
        "sqrt_d_k", description="what products of queries and keys are divided by; d_k is the width of one head"
    )
    positions: PositionKind = Field("sinusoidal", description="how positions enter")
    norm: Literal["layer", "rms", "batch", "none"] = Field("layer", description="normalisation")
    norm_epsilon: float = Field(EPSILON, gt=0, description="what normalisation adds to the variance")
    pre_norm: bool = Field(False, description="normalise before each sublayer instead of after it")
    residual: bool = Field(True, description="add what a sublayer reads to what it gives")
    activation: Literal["relu", "gelu", "gelu_tanh", "swiglu"] = Field(
        "relu", description="of the feed-forward network"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="rate on embeddings and on every sublayer's output")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="rate on attention weights")
    activation_dropout: float = Field(0.0, ge=0, lt=1, description="rate inside the feed-forward network")

    @model_validator(mode="after")
    def _widths_divide(self) -> BlockOptions:
        for width in (self.d_model, self.value_width or self.d_model):
            if width % self.num_heads:
                raise ValueError(f"num_heads {self.num_heads} must divide the width {width}")
        if self.num_heads % (self.num_kv_heads or self.num_heads):
            raise ValueError(f"num_kv_heads {self.num_kv_heads} must divide num_heads {self.num_heads}")
        if self.positions == "rotary" and self.d_model // self.num_heads % 2:
            raise ValueError(f"rotary positions need heads of an even width, not {self.d_model // self.num_heads}")
        return self

    @property
    def scale(self) -> float | None:
        """What products of queries and keys are multiplied by; None is 1 / √d_k."""
        return {"sqrt_d_k": None, "sqrt_d_model": 1.0 / math.sqrt(self.d_model), "none": 1.0}[self.attention_scale]

    def activations_per_block(self, span: int = 0) -> int:
        """Numbers that one block keeps of one token for its backward pass, roughly; `span` tokens attend to each
        other where their weights are kept."""
        return 12 * self.d_model + 3 * self.d_ff + 2 * self.num_heads * span


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


def make_feed_forward(d_model: int, d_ff: int, activation: str, dropout: float) -> FeedForward | SwiGLU:
    """The position-wise network with activation relu, gelu, gelu_tanh or swiglu. Raises KeyError for another."""
    if activation == "swiglu":
        return SwiGLU(d_model, d_ff, dropout)
    return FeedForward(d_model, d_ff, activation, dropout)


def make_attention(options: BlockOptions, positions: PositionalEncoding | None = None) -> MultiHeadAttention:
    """The attention of a block; `positions` turn its queries and keys where they are rotary."""
    return MultiHeadAttention(
        options.d_model,
        options.num_heads,
        value_width=options.value_width,
        num_kv_heads=options.num_kv_heads,
        dropout=options.attention_dropout,
        # any other kind acts on embeddings alone, and would be a part of every attention for nothing
        positions=positions if positions is not None and positions.rotates else None,
        scale=options.scale,
    )


@dataclass(frozen=True)
class _Sublayer:
    """What stands around a sublayer f: its residual connection and its norm, recorded under `name`.

        post-norm: x ← norm(x + dropout(f(x))) (Vaswani et al. 2017, section 3.1)
        pre-norm:  x ← x + dropout(f(norm(x))) (Xiong et al. 2020, figure 1b)

    Without residual connections the x before the plus is left out.
    """

    name: str
    norm: Norm
    options: BlockOptions
    real_BT: Tensor | None
    ctx: PassContext

    def reads(self, x_BTD: Tensor) -> Tensor:
        """What f is applied to."""
        return self._normalize(x_BTD) if self.options.pre_norm else x_BTD

    def adds(self, x_BTD: Tensor, given_BTD: Tensor) -> Tensor:
        """The new x, from the old one and what f gave."""
        given_BTD = self.ctx.dropout(given_BTD, self.options.dropout)
        sum_BTD = x_BTD + given_BTD if self.options.residual else given_BTD
        return sum_BTD if self.options.pre_norm else self._normalize(sum_BTD)

    def _normalize(self, x_BTD: Tensor) -> Tensor:
        if isinstance(self.norm, NoNorm):  # nothing is divided, so there is nothing to look at
            return x_BTD
        self.ctx.record(f"{self.name}_input", x_BTD)
        normed_BTD = self.norm(x_BTD, self.real_BT, self.ctx)
        self.ctx.record(self.name, normed_BTD)
        return normed_BTD


class Block(nn.Module):
    """Self-attention, cross-attention where there is a source, feed-forward; each with a residual and a norm."""

    def __init__(self, options: BlockOptions, positions: PositionalEncoding | None = None, cross: bool = False) -> None:
        super().__init__()
        width = options.d_model
        self.options = options
        self.self_attention = make_attention(options, positions)
        self.self_norm = make_norm(options.norm, width, options.norm_epsilon)
        # distances between a source and a target position mean nothing: cross-attention is never rotated
        self.cross_attention = make_attention(options) if cross else None
        self.cross_norm = make_norm(options.norm, width, options.norm_epsilon) if cross else None
        self.feed_forward = make_feed_forward(width, options.d_ff, options.activation, options.activation_dropout)
        self.feed_forward_norm = make_norm(options.norm, width, options.norm_epsilon)

    def project_source(self, source_BSD: Tensor, ctx: PassContext = INFERENCE) -> KeyValues:
        """The keys and values that cross-attention reads of a source, to be made once. Raises ValueError without it."""
        if self.cross_attention is None:
            raise ValueError("this block has no cross-attention")
        return self.cross_attention.project_keys_values(source_BSD, ctx.of(self).at("cross_attention"))

    def matrices(self) -> tuple[nn.Module, ...]:
        """The modules of self-attention and feed-forward whose `weight` is a matrix that an adapter can go beside."""
        return (self.self_attention, self.self_attention.output, self.feed_forward.inner, self.feed_forward.outer)

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
        ctx = ctx.of(self)
        around = _Sublayer("self_norm", self.self_norm, self.options, real_BT, ctx)
        given_BTD, keys_values = self.self_attention(
            around.reads(x_BTD), mask, past, ctx.at("self_attention"), position_ids
        )
        x_BTD = around.adds(x_BTD, given_BTD)

        if self.cross_attention is not None and self.cross_norm is not None and source is not None:
            around = _Sublayer("cross_norm", self.cross_norm, self.options, real_BT, ctx)
            given_BTD = self.cross_attention.attend_to(
                around.reads(x_BTD), source, source_mask, ctx.at("cross_attention")
            )
            x_BTD = around.adds(x_BTD, given_BTD)

        around = _Sublayer("feed_forward_norm", self.feed_forward_norm, self.options, real_BT, ctx)
        x_BTD = around.adds(x_BTD, self.feed_forward(around.reads(x_BTD), ctx.at("feed_forward")))

        x_BTD = ctx.edit("residual", x_BTD)
        ctx.record("residual", x_BTD)
        return x_BTD, keys_values
