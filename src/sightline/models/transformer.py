"""The Transformer encoder–decoder (Vaswani et al. 2017), with every variable of the paper to set.

Shapes: B rows, S source positions, T target positions, D d_model, V vocabulary, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from sightline.models.encoder_decoder import NeuralEncoderDecoder
from sightline.models.sizes import SourceTargetSizes
from sightline.nn.attention import KeyValues
from sightline.nn.blocks import Block, BlockOptions
from sightline.nn.cache import KeyValueCache
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.masks import over_heads
from sightline.nn.modules import ModuleList
from sightline.nn.norms import make_norm
from sightline.nn.positions import PositionalEncoding, PositionIds, add_positions, make_positional_encoding
from sightline.nn.state import concatenate_source_ids, pad_and_concatenate, select_rows


class TransformerSizes(BlockOptions, SourceTargetSizes, frozen=True, extra="forbid"):
    """The arguments of `Transformer`. Defaults are the base model of Vaswani et al. 2017, table 3."""

    kind: Literal["transformer"] = "transformer"
    num_layers: int = Field(6, ge=1, description="blocks in the encoder, and in the decoder unless set apart")
    num_decoder_layers: int | None = Field(None, ge=1, description="blocks in the decoder; num_layers if not set")
    max_length: int = Field(1024, ge=1, description="positions in the table of learned positions")

    @property
    def decoder_layers(self) -> int:
        """Blocks in the decoder."""
        return self.num_decoder_layers or self.num_layers

    @property
    def context_length(self) -> int | None:
        """The longest source, and the longest target, that it has positions for; None where any will do."""
        return self.max_length if self.positions == "learned" else None

    def activations_per_token(self, span: int) -> int:
        return (self.num_layers + self.decoder_layers) * self.activations_per_block()


@dataclass(frozen=True)
class TransformerState:
    """What the decoder carries between steps: per block the keys and values of the past, and those of the source."""

    cache: KeyValueCache
    source: tuple[KeyValues, ...]
    source_mask_BS: Tensor
    source_ids_B: Tensor  # the source each row reads; equal rows need no copy of the source's keys and values

    def reorder(self, index: Tensor) -> TransformerState:
        cache = self.cache.reorder(index)
        source_ids_B = select_rows(self.source_ids_B, index)
        if torch.equal(source_ids_B, self.source_ids_B):
            return replace(self, cache=cache)
        source = tuple(keys_values.reorder(index) for keys_values in self.source)
        return replace(
            self,
            cache=cache,
            source=source,
            source_mask_BS=select_rows(self.source_mask_BS, index),
            source_ids_B=source_ids_B,
        )

    def concatenate(self, other: TransformerState) -> TransformerState:
        return TransformerState(
            self.cache.concatenate(other.cache),
            tuple(mine.concatenate(theirs) for mine, theirs in zip(self.source, other.source, strict=True)),
            pad_and_concatenate([self.source_mask_BS, other.source_mask_BS], 1),
            concatenate_source_ids(self.source_ids_B, other.source_ids_B),
        )


class Transformer(NeuralEncoderDecoder[TransformerState]):
    """An encoder that reads the source and a decoder that attends to it."""

    def __init__(self, source_vocab: int, target_vocab: int, sizes: TransformerSizes) -> None:
        width = sizes.d_model
        super().__init__(source_vocab, target_vocab, sizes.tied, width, width**-0.5)
        self.sizes = sizes
        self.positions = make_positional_encoding(sizes.positions, width, sizes.max_length)
        self.target_positions = make_positional_encoding(sizes.positions, width, sizes.max_length)
        self.encoder: ModuleList[Block] = ModuleList(Block(sizes, self.positions) for _ in range(sizes.num_layers))
        self.decoder: ModuleList[Block] = ModuleList(
            Block(sizes, self.target_positions, cross=True) for _ in range(sizes.decoder_layers)
        )
        # a pre-norm stack leaves its last residual sum unnormalised
        self.encoder_norm = make_norm(sizes.norm, width, sizes.norm_epsilon) if sizes.pre_norm else None
        self.decoder_norm = make_norm(sizes.norm, width, sizes.norm_epsilon) if sizes.pre_norm else None

    @property
    def context_length(self) -> int | None:
        """The longest source, and the longest target, that it has positions for; None where any will do."""
        return self.sizes.context_length

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which the weights of self-attention are recorded, the encoder's first."""
        stacks = (("encoder", len(self.encoder)), ("decoder", len(self.decoder)))
        return tuple(f"{side}.{number}.self_attention.weights" for side, count in stacks for number in range(count))

    @property
    def cross_attention_sites(self) -> tuple[str, ...]:
        """The names under which the weights of the decoder over the source are recorded."""
        return tuple(f"decoder.{number}.cross_attention.weights" for number in range(len(self.decoder)))

    def _embed(
        self, table: Tensor, tokens: Tensor, positions: PositionalEncoding, position_ids: PositionIds, ctx: PassContext
    ) -> Tensor:
        x_BTD = F.embedding(tokens, table) * math.sqrt(self.sizes.d_model)
        return ctx.dropout(add_positions(positions, x_BTD, ctx, position_ids), self.sizes.dropout)

    def encode(self, source_BS: Tensor, source_mask_BS: Tensor, *, ctx: PassContext = INFERENCE) -> Tensor:
        """Source tokens (B, S) → what the decoder attends to (B, S, D)."""
        ctx = ctx.of(self).at("encoder")
        x_BSD = self._embed(self.source_embedding, source_BS, self.positions, 0, ctx)
        for number, block in enumerate(self.encoder):
            inner = ctx.at(number)
            x_BSD, _ = block(x_BSD, over_heads(source_mask_BS), real_BT=source_mask_BS, ctx=inner)
        if self.encoder_norm is not None:
            x_BSD = self.encoder_norm(x_BSD, source_mask_BS, ctx)
        ctx.record("output", x_BSD)
        return x_BSD

    def start(self, source_BS: Tensor, source_mask_BS: Tensor, *, ctx: PassContext = INFERENCE) -> TransformerState:
        """The state before the first step: the source read, nothing written."""
        ctx = ctx.begin(self)
        encoded = self.encode(source_BS, source_mask_BS, ctx=ctx)
        source = tuple(
            block.project_source(encoded, ctx.at("decoder").at(number)) for number, block in enumerate(self.decoder)
        )
        source_ids_B = torch.arange(source_BS.shape[0], device=source_BS.device)
        cache = KeyValueCache.empty(len(self.decoder), len(source_BS), source_BS.device)
        return TransformerState(cache, source, source_mask_BS, source_ids_B)

    def decode(
        self,
        tokens_BT: Tensor,
        state: TransformerState,
        *,
        real_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, TransformerState]:
        """T more tokens (B, T) → features (B, T, D) that predict each one's successor, and the state after them."""
        ctx = ctx.of(self).at("decoder")
        position_ids, mask, after = state.cache.extend(tokens_BT)
        x_BTD = self._embed(self.target_embedding, tokens_BT, self.target_positions, position_ids, ctx)
        source_mask = over_heads(state.source_mask_BS)
        layers: list[KeyValues] = []
        for number, block in enumerate(self.decoder):
            x_BTD, keys_values = block(
                x_BTD,
                mask,
                real_BT=real_BT,
                past=state.cache.layers[number],
                position_ids=position_ids,
                source=state.source[number],
                source_mask=source_mask,
                ctx=ctx.at(number),
            )
            layers.append(keys_values)
        if self.decoder_norm is not None:
            x_BTD = self.decoder_norm(x_BTD, real_BT, ctx)
        ctx.record("output", x_BTD)
        return x_BTD, replace(state, cache=after.with_layers(layers))
