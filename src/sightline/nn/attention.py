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

from sightline.nn.forward import INFERENCE, Forward
from sightline.nn.ops import Linear, linear
from sightline.nn.positions import Place, Positions
from sightline.nn.state import joined, rows


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
        return keys

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
        return query @ prepared.transpose(-2, -1)


class ScaledDot(nn.Module):
    """q · k / √d_k with d_k the width of the keys (Vaswani et al. 2017, eq. 1)."""

    def prepare(self, keys: Tensor) -> Tensor:
        return keys

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
        # scaling the queries costs T·K products, scaling the energies T·S
        return (query * (1.0 / math.sqrt(query.shape[-1]))) @ prepared.transpose(-2, -1)


class General(nn.Module):
    """qᵀ W k (Luong et al. 2015, eq. 8, "general"); W k is prepared."""

    def __init__(self, query_width: int, key_width: int) -> None:
        super().__init__()
        self.key = Linear(key_width, query_width, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key(keys)

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
        return query @ prepared.transpose(-2, -1)


class Additive(nn.Module):
    """vᵀ tanh(W q + U k) (Bahdanau et al. 2015, appendix A.1.2); U k is prepared."""

    def __init__(self, query_width: int, key_width: int, width: int) -> None:
        super().__init__()
        self.query = Linear(query_width, width, bias=False)
        self.key = Linear(key_width, width)
        self.energy = nn.Parameter(torch.empty(width).uniform_(-1, 1).div_(math.sqrt(width)))

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key(keys)

    def energies(self, query: Tensor, prepared: Tensor) -> Tensor:
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
    forward: Forward = INFERENCE,
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
    rate = dropout if forward.training else 0.0
    looked_at = forward.wants("mask", "energies", "weights")
    if type(score) is ScaledDot and not looked_at and rate == 0.0 and _use_fused(query):
        context = F.scaled_dot_product_attention(query, prepared_keys, values, mask)
        if mask is not None:  # kernels differ on fully masked rows: NaN, zeros or the mean
            context = context.masked_fill(~mask.any(-1, keepdim=True), 0.0)
    else:
        energies = score.energies(query, prepared_keys)
        weights = attention_weights(energies, mask)
        if forward.wants("mask"):
            seen = torch.ones_like(energies, dtype=torch.bool)
            forward.record("mask", seen if mask is None else seen & mask)
        forward.record("energies", energies)
        forward.record("weights", weights)
        context = forward.dropout(weights, rate) @ values
    context = forward.edit("context", context)
    forward.record("context", context)
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
class Memory:
    """Keys and values as the heads want them: prepared keys (B, H, S, K) and values (B, H, S, W)."""

    keys: Tensor
    values: Tensor

    def append(self, later: Memory) -> Memory:
        return Memory(torch.cat([self.keys, later.keys], 2), torch.cat([self.values, later.values], 2))

    def reorder(self, index: Tensor) -> Memory:
        return Memory(rows(self.keys, index), rows(self.values, index))

    def join(self, other: Memory, *, left: bool = False) -> Memory:
        """The rows of both, the shorter ones filled up with zeros on the right, or the left."""
        return Memory(joined([self.keys, other.keys], 2, left=left), joined([self.values, other.values], 2, left=left))

    def none(self, rows: int) -> Memory:
        """Memories of this shape that hold nothing."""
        return Memory(*(part[:1, :, :0].expand(rows, -1, -1, -1) for part in (self.keys, self.values)))


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
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        value_width: int | None = None,
        num_kv_heads: int | None = None,
        dropout: float = 0.0,
        positions: Positions | None = None,
    ) -> None:
        super().__init__()
        values, groups = value_width or d_model, num_kv_heads or num_heads
        if d_model % num_heads or values % num_heads or num_heads % groups:
            raise ValueError(
                f"num_heads {num_heads} must divide d_model {d_model} and the value width {values}, "
                f"and num_kv_heads {groups} must divide num_heads"
            )
        self.num_heads, self.num_kv_heads, self.d_model, self.dropout = num_heads, groups, d_model, dropout
        self.score, self.positions = ScaledDot(), positions
        # queries, keys and values as one product where they come from the same input
        self.widths = [d_model, d_model // num_heads * groups, values // num_heads * groups]
        self.weight = nn.Parameter(torch.cat([Linear(d_model, width).weight.data for width in self.widths]))
        self.bias = nn.Parameter(torch.zeros(sum(self.widths)))
        self.output = Linear(values, d_model)

    def _heads(self, x_BTD: Tensor, heads: int) -> Tensor:
        return x_BTD.unflatten(-1, (heads, -1)).transpose(1, 2)

    def _rotate(self, x_BHTK: Tensor, place: Place) -> Tensor:
        return x_BHTK if self.positions is None else self.positions.rotate(x_BHTK, place)

    def memory(self, source_BSD: Tensor, forward: Forward = INFERENCE) -> Memory:
        """Keys and values of `source_BSD`, for cross-attention."""
        keys_values = linear(source_BSD, self.weight[self.d_model :], self.bias[self.d_model :])
        keys, values = (self._heads(part, self.num_kv_heads) for part in keys_values.split(self.widths[1:], -1))
        forward.record("keys", keys)
        forward.record("values", values)
        return Memory(self.score.prepare(keys), values)

    def cross(self, x_BTD: Tensor, memory: Memory, mask: Tensor | None, forward: Forward = INFERENCE) -> Tensor:
        """Queries from `x_BTD` over a ready `memory`; mask broadcastable to (B, H, T, S)."""
        query = self._heads(linear(x_BTD, self.weight[: self.d_model], self.bias[: self.d_model]), self.num_heads)
        return self._finish(query, memory, mask, forward)

    def forward(
        self,
        x_BTD: Tensor,
        mask: Tensor | None,
        past: Memory | None = None,
        forward: Forward = INFERENCE,
        place: Place | None = None,
    ) -> tuple[Tensor, Memory]:
        """Self-attention over `past` and `x_BTD`: (B, T, D) and the memory with this input's keys and values.

        `place` says where the input lies; right after the past unless given.
        """
        query, keys, values = linear(x_BTD, self.weight, self.bias).split(self.widths, -1)
        if place is None:
            place = 0 if past is None else past.keys.shape[2]
        keys, values = self._heads(keys, self.num_kv_heads), self._heads(values, self.num_kv_heads)
        memory = Memory(self._rotate(keys, place), values)
        forward.record("keys", memory.keys)
        forward.record("values", memory.values)
        if past is not None:
            memory = past.append(memory)
        return self._finish(self._rotate(self._heads(query, self.num_heads), place), memory, mask, forward), memory

    def _finish(self, query_BHTK: Tensor, memory: Memory, mask: Tensor | None, forward: Forward) -> Tensor:
        forward.record("queries", query_BHTK)
        shared = self.num_heads // self.num_kv_heads
        keys, values = memory.keys, memory.values
        if shared > 1:
            keys, values = keys.repeat_interleave(shared, 1), values.repeat_interleave(shared, 1)
        context = attend(query_BHTK, keys, values, self.score, mask, self.dropout, forward)
        return self.output(context.transpose(1, 2).flatten(2))
