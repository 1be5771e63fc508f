"""The Transformer encoder–decoder (Vaswani et al. 2017), with every variable of the paper to set.

Shapes: B rows, S source positions, T target positions, D d_model, V vocabulary, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from sightline.nn.attention import KeyValues
from sightline.nn.blocks import Block, BlockSizes
from sightline.nn.cache import KeyValueCache
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.masks import over_heads
from sightline.nn.norms import NORMS
from sightline.nn.ops import project
from sightline.nn.positions import PositionalEncoding, PositionIds, add_positions, make_positional_encoding
from sightline.nn.state import concatenate_source_ids, pad_and_concatenate, select_rows
from sightline.nn.tables import LookupTable


class TransformerSizes(BaseModel):
    """The arguments of `Transformer`. Defaults are the base model of Vaswani et al. 2017, table 3."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["transformer"] = "transformer"
    d_model: int = Field(512, ge=1, description="width of the residual stream")
    num_layers: int = Field(6, ge=1, description="blocks in the encoder, and in the decoder unless set apart")
    num_decoder_layers: int | None = Field(None, ge=1, description="blocks in the decoder; num_layers if not set")
    num_heads: int = Field(8, ge=1, description="attention heads; divides d_model")
    d_ff: int = Field(2048, ge=1, description="width inside the feed-forward network")
    value_width: int | None = Field(None, ge=1, description="width of all heads' values together; d_model if not set")
    dropout: float = Field(0.1, ge=0, lt=1, description="rate on embeddings and on every sublayer's output")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="rate on attention weights")
    activation_dropout: float = Field(0.0, ge=0, lt=1, description="rate inside the feed-forward network")
    positions: Literal["sinusoidal", "triangle", "square", "learned", "rotary", "none"] = Field(
        "sinusoidal", description="how positions enter"
    )
    max_length: int = Field(1024, ge=1, description="positions in the table of learned positions")
    norm: Literal["layer", "rms", "batch"] = Field("layer", description="normalisation")
    pre_norm: bool = Field(False, description="normalise before each sublayer instead of after it")
    activation: Literal["relu", "gelu", "swiglu"] = Field("relu", description="of the feed-forward network")
    tied: Literal["all", "decoder", "none"] = Field(
        "all", description="which embeddings are one: source, target and output; target and output; none"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerSizes:
        for width in (self.d_model, self.value_width or self.d_model):
            if width % self.num_heads:
                raise ValueError(f"num_heads {self.num_heads} must divide the width {width}")
        if self.positions == "rotary" and self.d_model // self.num_heads % 2:
            raise ValueError(f"rotary positions need heads of an even width, not {self.d_model // self.num_heads}")
        return self

    def block(self) -> BlockSizes:
        return BlockSizes(**self.model_dump(include=set(BlockSizes.__dataclass_fields__)))


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


class Transformer(nn.Module):
    """An encoder that reads the source and a decoder that attends to it."""

    def __init__(self, source_vocab: int, target_vocab: int, sizes: TransformerSizes) -> None:
        super().__init__()
        if sizes.tied == "all" and source_vocab != target_vocab:
            raise ValueError(f'tied = "all" needs one vocabulary, not {source_vocab} and {target_vocab} tokens')
        width, self.sizes = sizes.d_model, sizes
        self.target_embedding = LookupTable(torch.randn(target_vocab, width) * width**-0.5)
        self.source_embedding = self.target_embedding
        if sizes.tied != "all":
            self.source_embedding = LookupTable(torch.randn(source_vocab, width) * width**-0.5)
        self.output_weight = self.target_embedding
        if sizes.tied == "none":
            self.output_weight = nn.Parameter(torch.randn(target_vocab, width) * width**-0.5)
        self.output_bias = nn.Parameter(torch.zeros(target_vocab))
        self.positions = make_positional_encoding(sizes.positions, width, sizes.max_length)
        self.target_positions = make_positional_encoding(sizes.positions, width, sizes.max_length)
        block = sizes.block()
        self.encoder = nn.ModuleList(Block(block, self.positions) for _ in range(sizes.num_layers))
        self.decoder = nn.ModuleList(
            Block(block, self.target_positions, cross=True) for _ in range(sizes.num_decoder_layers or sizes.num_layers)
        )
        # a pre-norm stack leaves its last residual sum unnormalised
        self.encoder_norm = NORMS[sizes.norm](width) if sizes.pre_norm else None
        self.decoder_norm = NORMS[sizes.norm](width) if sizes.pre_norm else None

    @property
    def context_length(self) -> int | None:
        """The longest source, and the longest target, that it has positions for; None where any will do."""
        return self.sizes.max_length if self.sizes.positions == "learned" else None

    def _embed(
        self, table: Tensor, tokens: Tensor, positions: PositionalEncoding, position_ids: PositionIds, ctx: PassContext
    ) -> Tensor:
        x_BTD = F.embedding(tokens, table) * math.sqrt(self.sizes.d_model)
        return ctx.dropout(add_positions(positions, x_BTD, ctx, position_ids), self.sizes.dropout)

    def encode(self, source_BS: Tensor, source_mask_BS: Tensor, ctx: PassContext = INFERENCE) -> Tensor:
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

    def start(self, source_BS: Tensor, source_mask_BS: Tensor, ctx: PassContext = INFERENCE) -> TransformerState:
        """The state before the first step: the source read, nothing written."""
        ctx = ctx.of(self).begin()
        encoded = self.encode(source_BS, source_mask_BS, ctx)
        source = tuple(
            block.cross_attention.project_keys_values(encoded, ctx.at("decoder").at(number).at("cross_attention"))  # pyright: ignore
            for number, block in enumerate(self.decoder)
        )
        source_ids_B = torch.arange(source_BS.shape[0], device=source_BS.device)
        cache = KeyValueCache.empty(len(self.decoder), len(source_BS), source_BS.device)
        return TransformerState(cache, source, source_mask_BS, source_ids_B)

    def decode(
        self, tokens_BT: Tensor, state: TransformerState, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, TransformerState]:
        """T more tokens (B, T) → features (B, T, D) that predict each one's successor, and the state after them."""
        ctx = ctx.of(self).at("decoder")
        position_ids, mask, after = state.cache.extend(tokens_BT)
        x_BTD = self._embed(self.target_embedding, tokens_BT, self.target_positions, position_ids, ctx)
        layers: list[KeyValues] = []
        for number, block in enumerate(self.decoder):
            x_BTD, keys_values = block(
                x_BTD,
                mask,
                real_BT=real_BT,
                past=state.cache.layers[number],
                position_ids=position_ids,
                source=state.source[number],
                source_mask=over_heads(state.source_mask_BS),
                ctx=ctx.at(number),
            )
            layers.append(keys_values)
        if self.decoder_norm is not None:
            x_BTD = self.decoder_norm(x_BTD, real_BT, ctx)
        ctx.record("output", x_BTD)
        return x_BTD, replace(state, cache=after.with_layers(layers))

    def features(
        self,
        source_BS: Tensor,
        source_mask_BS: Tensor,
        target_BT: Tensor,
        target_mask_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> Tensor:
        """One pass with teacher forcing: features (B, T, D) whose projection predicts the token after each."""
        state = self.start(source_BS, source_mask_BS, ctx)
        return self.decode(target_BT, state, target_mask_BT, ctx)[0]

    def project(self, features: Tensor) -> Tensor:
        """Features (…, D) → logits (…, V)."""
        return project(features, self.output_weight, self.output_bias)

    def step(
        self, tokens_B: Tensor, state: TransformerState, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, TransformerState]:
        """One token a row → logits (B, V) of the next one, and the state after it."""
        features_BTD, state = self.decode(tokens_B[:, None], state, None, ctx)
        return self.project(features_BTD[:, 0]), state
