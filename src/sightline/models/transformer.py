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

from sightline.nn.attention import Memory
from sightline.nn.blocks import Block, BlockSizes
from sightline.nn.forward import INFERENCE, Forward
from sightline.nn.masks import over_heads
from sightline.nn.norms import NORMS
from sightline.nn.ops import project
from sightline.nn.past import Past
from sightline.nn.positions import Place, Positions, embedded, make_positions
from sightline.nn.state import joined, joined_numbers, rows


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
    """What the decoder carries between steps: per block the memory of the past, and that of the source."""

    past: Past
    source: tuple[Memory, ...]
    source_mask_BS: Tensor
    sentence_B: Tensor  # the source each row reads; equal rows need no copy of the source's memory

    def reorder(self, index: Tensor) -> TransformerState:
        past = self.past.reorder(index)
        sentence_B = rows(self.sentence_B, index)
        if torch.equal(sentence_B, self.sentence_B):
            return replace(self, past=past)
        source = tuple(memory.reorder(index) for memory in self.source)
        return replace(
            self, past=past, source=source, source_mask_BS=rows(self.source_mask_BS, index), sentence_B=sentence_B
        )

    def join(self, other: TransformerState) -> TransformerState:
        return TransformerState(
            self.past.join(other.past),
            tuple(mine.join(theirs) for mine, theirs in zip(self.source, other.source, strict=True)),
            joined([self.source_mask_BS, other.source_mask_BS], 1),
            joined_numbers(self.sentence_B, other.sentence_B),
        )


class Transformer(nn.Module):
    """An encoder that reads the source and a decoder that attends to it."""

    def __init__(self, source_vocab: int, target_vocab: int, sizes: TransformerSizes) -> None:
        super().__init__()
        if sizes.tied == "all" and source_vocab != target_vocab:
            raise ValueError(f'tied = "all" needs one vocabulary, not {source_vocab} and {target_vocab} tokens')
        width, self.sizes = sizes.d_model, sizes
        self.target_embedding = nn.Parameter(torch.randn(target_vocab, width) * width**-0.5)
        self.source_embedding = self.target_embedding
        if sizes.tied != "all":
            self.source_embedding = nn.Parameter(torch.randn(source_vocab, width) * width**-0.5)
        self.output_weight = self.target_embedding
        if sizes.tied == "none":
            self.output_weight = nn.Parameter(torch.randn(target_vocab, width) * width**-0.5)
        self.output_bias = nn.Parameter(torch.zeros(target_vocab))
        self.positions = make_positions(sizes.positions, width, sizes.max_length)
        self.target_positions = make_positions(sizes.positions, width, sizes.max_length)
        block = sizes.block()
        self.encoder = nn.ModuleList(Block(block, self.positions) for _ in range(sizes.num_layers))
        self.decoder = nn.ModuleList(
            Block(block, self.target_positions, cross=True) for _ in range(sizes.num_decoder_layers or sizes.num_layers)
        )
        # a pre-norm stack leaves its last residual sum unnormalised
        self.encoder_norm = NORMS[sizes.norm](width) if sizes.pre_norm else None
        self.decoder_norm = NORMS[sizes.norm](width) if sizes.pre_norm else None

    @property
    def context(self) -> int | None:
        """The longest source, and the longest target, that it has positions for; None where any will do."""
        return self.sizes.max_length if self.sizes.positions == "learned" else None

    def _embed(self, table: Tensor, tokens: Tensor, positions: Positions, place: Place, forward: Forward) -> Tensor:
        x_BTD = F.embedding(tokens, table) * math.sqrt(self.sizes.d_model)
        return forward.dropout(embedded(positions, x_BTD, forward, place), self.sizes.dropout)

    def encode(self, source_BS: Tensor, source_mask_BS: Tensor, forward: Forward = INFERENCE) -> Tensor:
        """Source tokens (B, S) → what the decoder attends to (B, S, D)."""
        forward = forward.of(self).at("encoder")
        x_BSD = self._embed(self.source_embedding, source_BS, self.positions, 0, forward)
        for number, block in enumerate(self.encoder):
            inner = forward.at(number)
            x_BSD, _ = block(x_BSD, over_heads(source_mask_BS), real_BT=source_mask_BS, forward=inner)
        if self.encoder_norm is not None:
            x_BSD = self.encoder_norm(x_BSD, source_mask_BS, forward)
        forward.record("output", x_BSD)
        return x_BSD

    def start(self, source_BS: Tensor, source_mask_BS: Tensor, forward: Forward = INFERENCE) -> TransformerState:
        """The state before the first step: the source read, nothing written."""
        forward = forward.of(self).begin()
        encoded = self.encode(source_BS, source_mask_BS, forward)
        memories = tuple(
            block.cross_attention.memory(encoded, forward.at("decoder").at(number).at("cross_attention"))  # pyright: ignore
            for number, block in enumerate(self.decoder)
        )
        sentence_B = torch.arange(source_BS.shape[0], device=source_BS.device)
        past = Past.empty(len(self.decoder), len(source_BS), source_BS.device)
        return TransformerState(past, memories, source_mask_BS, sentence_B)

    def decode(
        self, tokens_BT: Tensor, state: TransformerState, real_BT: Tensor | None = None, forward: Forward = INFERENCE
    ) -> tuple[Tensor, TransformerState]:
        """T more tokens (B, T) → features (B, T, D) that predict each one's successor, and the state after them."""
        forward = forward.of(self).at("decoder")
        place, mask, after = state.past.sees(tokens_BT)
        x_BTD = self._embed(self.target_embedding, tokens_BT, self.target_positions, place, forward)
        memories: list[Memory] = []
        for number, block in enumerate(self.decoder):
            x_BTD, memory = block(
                x_BTD,
                mask,
                real_BT=real_BT,
                past=state.past.memories[number],
                place=place,
                source=state.source[number],
                source_mask=over_heads(state.source_mask_BS),
                forward=forward.at(number),
            )
            memories.append(memory)
        if self.decoder_norm is not None:
            x_BTD = self.decoder_norm(x_BTD, real_BT, forward)
        forward.record("output", x_BTD)
        return x_BTD, replace(state, past=after.holding(memories))

    def features(
        self,
        source_BS: Tensor,
        source_mask_BS: Tensor,
        target_BT: Tensor,
        target_mask_BT: Tensor | None = None,
        forward: Forward = INFERENCE,
    ) -> Tensor:
        """One pass with teacher forcing: features (B, T, D) whose projection predicts the token after each."""
        state = self.start(source_BS, source_mask_BS, forward)
        return self.decode(target_BT, state, target_mask_BT, forward)[0]

    def project(self, features: Tensor) -> Tensor:
        """Features (…, D) → logits (…, V)."""
        return project(features, self.output_weight, self.output_bias)

    def step(
        self, tokens_B: Tensor, state: TransformerState, forward: Forward = INFERENCE
    ) -> tuple[Tensor, TransformerState]:
        """One token a row → logits (B, V) of the next one, and the state after it."""
        features_BTD, state = self.decode(tokens_B[:, None], state, None, forward)
        return self.project(features_BTD[:, 0]), state
