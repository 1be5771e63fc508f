"""Recurrent sequence to sequence: a fixed context vector, or attention in Bahdanau's or Luong's order.

Shapes: B rows, S source positions, T target positions, E embedding width, W hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.decoder_attention import make_decoder_attention
from sightline.nn.ops import Linear, project
from sightline.nn.recurrent import HiddenState, RecurrentEncoder, RecurrentLayer, make_cell
from sightline.nn.state import concatenate_source_ids, pad_and_concatenate, select_rows
from sightline.nn.tables import LookupTable


class Seq2SeqSizes(BaseModel):
    """The arguments of `Seq2Seq`. Defaults follow Bahdanau et al. 2015, smaller."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["seq2seq"] = "seq2seq"
    cell: Literal["rnn", "gru", "lstm"] = Field("gru", description="recurrent cell")
    nonlinearity: Literal["tanh", "relu", "sigmoid"] = Field("tanh", description="of the rnn cell")
    embedding_width: int = Field(256, ge=1, description="width of token embeddings")
    width: int = Field(512, ge=2, description="width of hidden states; a two-way encoder halves it per direction")
    num_layers: int = Field(1, ge=1, description="recurrent layers in the encoder and in the decoder")
    bidirectional: bool = Field(True, description="read the source in both directions")
    attention: Literal["none", "dot", "scaled_dot", "general", "additive"] = Field("additive", description="score")
    order: Literal["bahdanau", "luong"] = Field(
        "bahdanau", description="attend with the previous state, or with the new one"
    )
    input_feeding: bool = Field(True, description="Luong's order only: feed the attentional state to the next step")
    context: Literal["start", "every_step"] = Field(
        "start", description="without attention: the fixed context starts the decoder, or also enters every step"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="rate on embeddings, between layers and before the output")
    scheduled_sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="in training, how often a step is fed the model's own best guess instead of the reference",
    )
    tied: Literal["all", "decoder", "none"] = Field(
        "decoder", description="which embeddings are one: source, target and output; target and output; none"
    )

    @model_validator(mode="after")
    def _directions_divide(self) -> Seq2SeqSizes:
        if self.bidirectional and self.width % 2:
            raise ValueError(f"width {self.width} must be even for a two-way encoder")
        return self


@dataclass(frozen=True)
class Seq2SeqState:
    """What the decoder carries between steps."""

    hidden: tuple[HiddenState, ...]  # one a layer
    summary_BW: Tensor  # the encoder's last state: the fixed context
    attentional_BE: Tensor  # Luong's h̃ of the last step
    keys: Tensor  # prepared by the score
    values_BSW: Tensor
    source_mask_BS: Tensor
    source_ids_B: Tensor  # the source each row reads; equal rows need no copy of its keys and values

    def reorder(self, index: Tensor) -> Seq2SeqState:
        hidden = tuple(tuple(select_rows(part, index) for part in layer) for layer in self.hidden)
        source_ids_B = select_rows(self.source_ids_B, index)
        moved = replace(self, hidden=hidden, attentional_BE=select_rows(self.attentional_BE, index))
        if torch.equal(source_ids_B, self.source_ids_B):
            return moved
        fixed = {name: select_rows(getattr(self, name), index) for name in ("summary_BW", "keys", "values_BSW")}
        return replace(
            moved, **fixed, source_mask_BS=select_rows(self.source_mask_BS, index), source_ids_B=source_ids_B
        )

    def concatenate(self, other: Seq2SeqState) -> Seq2SeqState:
        hidden = tuple(
            tuple(torch.cat(parts) for parts in zip(mine, theirs, strict=True))
            for mine, theirs in zip(self.hidden, other.hidden, strict=True)
        )
        return Seq2SeqState(
            hidden,
            torch.cat([self.summary_BW, other.summary_BW]),
            torch.cat([self.attentional_BE, other.attentional_BE]),
            pad_and_concatenate([self.keys, other.keys], 1),
            pad_and_concatenate([self.values_BSW, other.values_BSW], 1),
            pad_and_concatenate([self.source_mask_BS, other.source_mask_BS], 1),
            concatenate_source_ids(self.source_ids_B, other.source_ids_B),
        )


class Seq2Seq(nn.Module):
    """Encoder, bridge, decoder; a `DecoderAttention` reads the source: fixed context, Bahdanau's or Luong's order."""

    context_length = None  # sources and targets of any length are read

    def __init__(self, source_vocab: int, target_vocab: int, sizes: Seq2SeqSizes) -> None:
        super().__init__()
        if sizes.tied == "all" and source_vocab != target_vocab:
            raise ValueError(f'tied = "all" needs one vocabulary, not {source_vocab} and {target_vocab} tokens')
        self.sizes = sizes
        self.target_embedding = LookupTable(torch.randn(target_vocab, sizes.embedding_width) * 0.1)
        self.source_embedding = self.target_embedding
        if sizes.tied != "all":
            self.source_embedding = LookupTable(torch.randn(source_vocab, sizes.embedding_width) * 0.1)
        self.output_weight = self.target_embedding
        if sizes.tied == "none":
            self.output_weight = nn.Parameter(torch.randn(target_vocab, sizes.embedding_width) * 0.1)
        self.output_bias = nn.Parameter(torch.zeros(target_vocab))
        cell = make_cell(sizes.cell, sizes.nonlinearity)
        self.encoder = RecurrentEncoder(
            cell, sizes.embedding_width, sizes.width, sizes.num_layers, 1 + sizes.bidirectional, sizes.dropout
        )
        self.wiring = make_decoder_attention(
            sizes.attention, sizes.order, sizes.input_feeding, sizes.context, sizes.width, sizes.embedding_width
        )
        inputs = [sizes.embedding_width + self.wiring.input_width] + [sizes.width] * (sizes.num_layers - 1)
        self.decoder = nn.ModuleList(RecurrentLayer(cell, width, sizes.width) for width in inputs)
        # h₀ = tanh(V c) for every layer and kind of state (Cho et al. 2014, appendix A)
        self.bridge = nn.ModuleList(
            nn.ModuleList(Linear(sizes.width, sizes.width) for _ in range(cell.states)) for _ in inputs
        )

    def start(self, source_BS: Tensor, source_mask_BS: Tensor, ctx: PassContext = INFERENCE) -> Seq2SeqState:
        """The state before the first step: the source read, nothing written."""
        ctx = ctx.of(self).begin()
        embedded = F.embedding(source_BS, self.source_embedding)
        ctx.at("encoder").record("embedding", embedded)
        embedded = ctx.dropout(embedded, self.sizes.dropout)
        values_BSW, finals = self.encoder(embedded, source_mask_BS.sum(1), ctx.at("encoder"))
        ctx.at("encoder").record("output", values_BSW)
        hidden = tuple(
            tuple(torch.tanh(bridge(part)) for bridge, part in zip(bridges, final, strict=True))  # pyright: ignore
            for bridges, final in zip(self.bridge, finals, strict=True)
        )
        attentional = values_BSW.new_zeros(source_BS.shape[0], self.sizes.embedding_width)
        keys = self.wiring.score.prepare(values_BSW)
        self._record_start(hidden, keys, values_BSW, ctx.at("decoder"))
        source_ids_B = torch.arange(source_BS.shape[0], device=source_BS.device)
        return Seq2SeqState(hidden, finals[-1][0], attentional, keys, values_BSW, source_mask_BS, source_ids_B)

    def _record_start(
        self, hidden: tuple[HiddenState, ...], keys: Tensor, values_BSW: Tensor, ctx: PassContext
    ) -> None:
        """What the decoder begins with; keys as the score prepared them."""
        for number, layer in enumerate(hidden):
            for name, part in zip(("start_hidden", "start_cell"), layer, strict=False):
                ctx.at("layers").at(number).record(name, part)
        if self.sizes.attention != "none":
            ctx.at("attention").record("keys", keys)
            ctx.at("attention").record("values", values_BSW)

    def _recur(self, x_BTI: Tensor, state: Seq2SeqState, ctx: PassContext) -> tuple[Tensor, Seq2SeqState]:
        """The decoder's recurrent layers over T steps whose inputs are known: outputs (B, T, W)."""
        hidden: list[HiddenState] = []
        for number, layer in enumerate(self.decoder):
            inner = ctx.at("layers").at(number)
            x_BTI = x_BTI if number == 0 else ctx.dropout(x_BTI, self.sizes.dropout)
            if x_BTI.shape[1] == 1:
                last = layer.step(x_BTI[:, 0], state.hidden[number], inner)  # pyright: ignore
                x_BTI = last[0][:, None]
            else:
                x_BTI, last = layer(x_BTI, state.hidden[number], None, inner)
            hidden.append(last)
        return x_BTI, replace(state, hidden=tuple(hidden))

    def decode(
        self, tokens_BT: Tensor, state: Seq2SeqState, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, Seq2SeqState]:
        """T more tokens → features (B, T, E) that predict each one's successor, and the state after them.

        One pass of the fused kernel over all steps where no step's input depends on the step before it.
        """
        inner = ctx.of(self).at("decoder")
        x_BTE = F.embedding(tokens_BT, self.target_embedding)
        inner.record("embedding", x_BTE)
        x_BTE = ctx.dropout(x_BTE, self.sizes.dropout)
        features = []
        for x in (x_BTE,) if self.wiring.parallel else x_BTE.split(1, 1):
            extra = self.wiring.extra_inputs(x, state, inner)
            hidden_BTW, state = self._recur(torch.cat([x, *extra], -1), state, inner)
            feature = self.wiring.output_features(hidden_BTW, x, extra, state, inner)
            inner.record("output", feature)
            state = replace(state, attentional_BE=feature[:, -1])
            features.append(feature)
        return ctx.dropout(torch.cat(features, 1), self.sizes.dropout), state

    def features(
        self,
        source_BS: Tensor,
        source_mask_BS: Tensor,
        target_BT: Tensor,
        target_mask_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> Tensor:
        """One pass with teacher forcing: features (B, T, E) whose projection predicts the token after each.

        In training with scheduled sampling (Bengio et al. 2015) some steps are fed the model's own best guess.
        """
        state = self.start(source_BS, source_mask_BS, ctx)
        sampling = self.sizes.scheduled_sampling
        if sampling == 0.0 or ctx.generator is None:
            return self.decode(target_BT, state, ctx)[0]
        features, tokens = [], target_BT[:, :1]
        for position in range(target_BT.shape[1]):
            feature, state = self.decode(tokens, state, ctx)
            features.append(feature)
            if position + 1 < target_BT.shape[1]:
                reference = target_BT[:, position + 1 : position + 2]
                draws = torch.rand(reference.shape, generator=ctx.generator, device=reference.device)
                tokens = torch.where(draws < sampling, self.project(feature).argmax(-1), reference)
        return torch.cat(features, 1)

    def project(self, features: Tensor) -> Tensor:
        """Features (…, E) → logits (…, V)."""
        return project(features, self.output_weight, self.output_bias)

    def step(self, tokens_B: Tensor, state: Seq2SeqState, ctx: PassContext = INFERENCE) -> tuple[Tensor, Seq2SeqState]:
        """One token a row → logits (B, V) of the next one, and the state after it."""
        features_BTE, state = self.decode(tokens_B[:, None], state, ctx)
        return self.project(features_BTE[:, 0]), state
