"""Attention: four scores, one softmax over energies, one `attend`, and its many-headed form.

Shapes: `...` any leading axes (batch, heads), T queries, S keys, Q query width, K key width, W value width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.ops import Linear, linear
from sightline.nn.positions import PositionalEncoding, PositionIds
from sightline.nn.state import pad_and_concatenate, select_rows


class Score(Protocol):
    """How well a query and a key fit. What depends on the keys alone is `prepare`d once per source."""

    def prepare(self, keys: Tensor) -> Tensor:
        """(..., S, K) → whatever `energies` wants to have of the keys."""
        ...

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Queries (..., T, Q) and prepared keys → energies (..., T, S)."""
        ...


class Dot(nn.Module):
    """q · k (Luong et al. 2015, eq. 8, "dot"). Queries and keys have one width."""

    def prepare(self, keys: Tensor) -> Tensor:
        """The keys (…, S, K) as they are."""
        return keys

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Energies (…, T, S) of queries (…, T, K)."""
        return query @ prepared.transpose(-2, -1)


class ScaledDot(nn.Module):
    """q · k / √d_k with d_k the width of the keys (Vaswani et al. 2017, eq. 1), or q · k times another `scale`."""

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale

    def extra_repr(self) -> str:
        return f"scale={'1/√d_k' if self.scale is None else f'{self.scale:g}'}"

    def prepare(self, keys: Tensor) -> Tensor:
        """The keys (…, S, K) as they are."""
        return keys

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Energies (…, T, S) of queries (…, T, K)."""
        # scaling the queries costs T·K products, scaling the energies T·S
        scale = 1.0 / math.sqrt(query.shape[-1]) if self.scale is None else self.scale
        return (query * scale) @ prepared.transpose(-2, -1)


class General(nn.Module):
    """qᵀ W k (Luong et al. 2015, eq. 8, "general"); W k is prepared."""

    def __init__(self, query_width: int, key_width: int) -> None:
        super().__init__()
        self.key = Linear(key_width, query_width, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """W k, (…, S, Q), of keys (…, S, K), once for all queries."""
        return self.key(keys)

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Energies (…, T, S) of queries (…, T, Q)."""
        return query @ prepared.transpose(-2, -1)


class Additive(nn.Module):
    """vᵀ tanh(W q + U k) (Bahdanau et al. 2015, appendix A.1.2); U k is prepared."""

    def __init__(self, query_width: int, key_width: int, width: int) -> None:
        super().__init__()
        self.query = Linear(query_width, width, bias=False)
        self.key = Linear(key_width, width)
        self.energy = nn.Parameter(torch.empty(width).uniform_(-1, 1).div_(math.sqrt(width)))

    def prepare(self, keys: Tensor) -> Tensor:
        """U k, (…, S, A), of keys (…, S, K), once for all queries."""
        return self.key(keys)

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Energies (…, T, S) of queries (…, T, Q)."""
        return torch.tanh(self.query(query)[..., :, None, :] + prepared[..., None, :, :]) @ self.energy


def attention_weights(energies: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis where `mask` (broadcastable, True = may attend) allows; a fully masked row is 0."""
    if mask is None:
        return torch.softmax(energies, -1)
    # Added and multiplied rather than filled: on a CPU a fill by a boolean mask costs ten times as much. Half the
    # lowest number keeps a fully masked row finite, so no NaN ever needs to be caught on the way back.
    lowest = torch.finfo(energies.dtype).min / 2
    blocked = torch.zeros(mask.shape, dtype=energies.dtype, device=mask.device).masked_fill_(~mask, lowest)
    some = mask.any(-1, keepdim=True).to(energies.dtype)
    return torch.softmax(energies + blocked, -1) * some


def attend(
    query: Tensor,
    prepared_keys: Tensor,
    values: Tensor,
    score: Score,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    ctx: PassContext = INFERENCE,
) -> Tensor:
    """The one attention: contexts Σ_s softmax_s(score(q_t, k_s)) v_s (Vaswani et al. 2017, eq. 1, for any score).

    Records "mask", "energies", "weights" (after the softmax, before dropout) and "context". When none of them is wanted
    and the score is the scaled dot product, the fused kernel runs where it is the faster one.

    Args:
        query: (..., T, Q). prepared_keys: `score.prepare` of (..., S, K). values: (..., S, W).
        mask: boolean, broadcastable to (..., T, S); True = may attend.
        dropout: rate of dropout on the weights, in training passes.

    Returns:
        (..., T, W); zeros where a query may attend nothing.
    """
    rate = dropout if ctx.training else 0.0
    looked_at = ctx.wants("mask", "energies", "weights")
    if isinstance(score, ScaledDot) and not looked_at and rate == 0.0 and _use_fused(query):
        context = F.scaled_dot_product_attention(query, prepared_keys, values, mask, scale=score.scale)
        if mask is not None:  # kernels differ on fully masked rows: NaN, zeros or the mean
            context = context.masked_fill(~mask.any(-1, keepdim=True), 0.0)
    else:
        energies = score.energies(query, prepared_keys)
        weights = attention_weights(energies, mask)
        if ctx.wants("mask"):
            seen = torch.ones_like(energies, dtype=torch.bool)
            ctx.record("mask", seen if mask is None else seen & mask)
        ctx.record("energies", energies)
        ctx.record("weights", weights)
        context = ctx.dropout(weights, rate) @ values
    context = ctx.edit("context", context)
    ctx.record("context", context)
    return context


def _use_fused(query: Tensor) -> bool:
    """Whether PyTorch's kernel computes it.

    On a CPU the fused kernel's backward loses to explicit products by far; its forward wins on long queries only.

    On Apple's GPUs several versions of it were wrong for heads that lie in one tensor, or masks of all heads in common
    (PyTorch issues 163597, 181133, 184180), so explicit products it is.
    """
    if query.dim() != 4 or query.device.type == "mps":
        return False
    if query.device.type != "cpu":
        return True
    return not torch.is_grad_enabled() and query.shape[-2] >= 32


@dataclass(frozen=True)
class KeyValues:
    """Keys and values as the heads want them: prepared keys (B, H, S, K) and values (B, H, S, W)."""

    keys: Tensor
    values: Tensor

    def append(self, later: KeyValues) -> KeyValues:
        """These and, after them along S, those of later positions of the same rows."""
        return KeyValues(torch.cat([self.keys, later.keys], 2), torch.cat([self.values, later.values], 2))

    def reorder(self, index: Tensor) -> KeyValues:
        """Those whose row i is row index[i] of these; `index` is int64 (B',)."""
        return KeyValues(select_rows(self.keys, index), select_rows(self.values, index))

    def concatenate(self, other: KeyValues, *, left: bool = False) -> KeyValues:
        """The batch rows of both, the shorter ones padded with zeros on the right, or the left."""
        return KeyValues(
            pad_and_concatenate([self.keys, other.keys], 2, left=left),
            pad_and_concatenate([self.values, other.values], 2, left=left),
        )

    def empty_like(self, batch_size: int) -> KeyValues:
        """Keys and values of this shape with no positions."""
        return KeyValues(*(part[:1, :, :0].expand(batch_size, -1, -1, -1) for part in (self.keys, self.values)))


class MultiHeadAttention(nn.Module):
    """Attention by `num_heads` heads side by side (Vaswani et al. 2017, section 3.2.2).

    Args:
        d_model: width of what comes in and goes out.
        num_heads: H; divides d_model.
        value_width: width of all heads' values together; d_model by default.
        num_kv_heads: heads of keys and values, each shared by num_heads / num_kv_heads heads of queries (Ainslie et
            al. 2023); num_heads by default.
        dropout: rate of dropout on the weights.
        positions: rotates queries and keys where the encoding is rotary.
        scale: what products of queries and keys are multiplied by; 1 / √d_k by default.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        value_width: int | None = None,
        num_kv_heads: int | None = None,
        dropout: float = 0.0,
        positions: PositionalEncoding | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        values, groups = value_width or d_model, num_kv_heads or num_heads
        if d_model % num_heads or values % num_heads or num_heads % groups:
            raise ValueError(
                f"num_heads {num_heads} must divide d_model {d_model} and the value width {values}, "
                f"and num_kv_heads {groups} must divide num_heads"
            )
        self.num_heads, self.num_kv_heads, self.d_model, self.dropout = num_heads, groups, d_model, dropout
        self.score, self.positions = ScaledDot(scale), positions
        # queries, keys and values as one product where they come from the same input
        self.widths = [d_model, d_model // num_heads * groups, values // num_heads * groups]
        self.weight = nn.Parameter(torch.cat([Linear(d_model, width).weight.data for width in self.widths]))
        self.bias = nn.Parameter(torch.zeros(sum(self.widths)))
        self.output = Linear(values, d_model)

    def extra_repr(self) -> str:
        return f"{self.d_model}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, dropout={self.dropout:g}"

    def _heads(self, x_BTD: Tensor, heads: int) -> Tensor:
        return x_BTD.view(*x_BTD.shape[:-1], heads, x_BTD.shape[-1] // heads).transpose(1, 2)

    def _rotate(self, x_BHTK: Tensor, position_ids: PositionIds) -> Tensor:
        return x_BHTK if self.positions is None else self.positions.rotate(x_BHTK, position_ids)

    def project_keys_values(self, source_BSD: Tensor, ctx: PassContext = INFERENCE) -> KeyValues:
        """Keys and values of `source_BSD`, for cross-attention."""
        ctx = ctx.of(self)
        keys_values = linear(source_BSD, self.weight[self.d_model :], self.bias[self.d_model :])
        keys, values = (self._heads(part, self.num_kv_heads) for part in torch.split(keys_values, self.widths[1:], -1))
        ctx.record("keys", keys)
        ctx.record("values", values)
        return KeyValues(self.score.prepare(keys), values)

    def attend_to(
        self, x_BTD: Tensor, keys_values: KeyValues, mask: Tensor | None, ctx: PassContext = INFERENCE
    ) -> Tensor:
        """Cross-attention: queries from `x_BTD` over ready keys and values; mask broadcastable to (B, H, T, S)."""
        ctx = ctx.of(self)
        query = self._heads(linear(x_BTD, self.weight[: self.d_model], self.bias[: self.d_model]), self.num_heads)
        return self._finish(query, keys_values, mask, ctx)

    def forward(
        self,
        x_BTD: Tensor,
        mask: Tensor | None,
        past: KeyValues | None = None,
        ctx: PassContext = INFERENCE,
        position_ids: PositionIds | None = None,
    ) -> tuple[Tensor, KeyValues]:
        """Self-attention over `past` and `x_BTD`: (B, T, D), and the keys and values with this input's appended.

        `position_ids` of the input are those right after `past` unless given.
        """
        ctx = ctx.of(self)
        query, keys, values = torch.split(linear(x_BTD, self.weight, self.bias), self.widths, -1)
        if position_ids is None:
            position_ids = 0 if past is None else past.keys.shape[2]
        keys, values = self._heads(keys, self.num_kv_heads), self._heads(values, self.num_kv_heads)
        keys_values = KeyValues(self._rotate(keys, position_ids), values)
        ctx.record("keys", keys_values.keys)
        ctx.record("values", keys_values.values)
        if past is not None:
            keys_values = past.append(keys_values)
        return self._finish(
            self._rotate(self._heads(query, self.num_heads), position_ids), keys_values, mask, ctx
        ), keys_values

    def _finish(self, query_BHTK: Tensor, keys_values: KeyValues, mask: Tensor | None, ctx: PassContext) -> Tensor:
        ctx.record("queries", query_BHTK)
        shared = self.num_heads // self.num_kv_heads
        keys, values = keys_values.keys, keys_values.values
        if shared > 1:
            keys, values = keys.repeat_interleave(shared, 1), values.repeat_interleave(shared, 1)
        context = attend(query_BHTK, keys, values, self.score, mask, self.dropout, ctx)
        return self.output(context.transpose(1, 2).flatten(2))
