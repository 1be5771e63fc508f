"""Recurrent sequence to sequence: a fixed context vector, or attention in Bahdanau's or Luong's order.

Shapes: B rows, S source positions, T target positions, E embedding width, W hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from sightline.models.encoder_decoder import NeuralEncoderDecoder
from sightline.models.sizes import SourceTargetSizes
from sightline.nn.cells import HiddenState, make_cell
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.decoder_attention import make_decoder_attention
from sightline.nn.modules import ModuleList
from sightline.nn.ops import Linear
from sightline.nn.recurrent import RecurrentEncoder, RecurrentLayer, RecurrentOptions
from sightline.nn.state import concatenate_source_ids, pad_and_concatenate, select_rows


class Seq2SeqSizes(RecurrentOptions, SourceTargetSizes, frozen=True, extra="forbid"):
    """The arguments of `Seq2Seq`. Defaults follow Bahdanau et al. 2015, smaller."""

    kind: Literal["seq2seq"] = "seq2seq"
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
    previous_token_in_readout: bool = Field(
        False, description="without attention: the last token, too, enters the prediction (Cho et al. 2014)"
    )
    decoder_start: Literal["tanh", "last", "zero"] = Field(
        "tanh",
        description="what the decoder begins with: tanh of a linear map of the encoder's last state; that state as it "
        "is; or zeros",
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
        if self.decoder_start == "zero" and self.attention == "none" and self.context == "start":
            raise ValueError("decoder_start zero without attention: nothing of the source would reach the decoder")
        return self

    def activations_per_token(self, span: int) -> int:
        return (self.num_layers * 2 * 10 + 8) * self.width + 4 * self.embedding_width


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
        return replace(
            moved,
            summary_BW=select_rows(self.summary_BW, index),
            keys=select_rows(self.keys, index),
            values_BSW=select_rows(self.values_BSW, index),
            source_mask_BS=select_rows(self.source_mask_BS, index),
            source_ids_B=source_ids_B,
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


class Seq2Seq(NeuralEncoderDecoder[Seq2SeqState]):
    """Encoder, bridge, decoder; a `DecoderAttention` reads the source: fixed context, Bahdanau's or Luong's order."""

    def __init__(self, source_vocab: int, target_vocab: int, sizes: Seq2SeqSizes) -> None:
        super().__init__(source_vocab, target_vocab, sizes.tied, sizes.embedding_width, 0.1)
        self.sizes = sizes
        cell = make_cell(sizes.cell, sizes.nonlinearity)
        self.encoder = RecurrentEncoder(
            cell,
            sizes.embedding_width,
            sizes.width,
            sizes.num_layers,
            1 + sizes.bidirectional,
            sizes.dropout,
            sizes.initialization,
        )
        # "wiring" is what weights of version 0.1.0 call it
        self.wiring = make_decoder_attention(
            sizes.attention,
            sizes.order,
            sizes.context,
            sizes.width,
            sizes.embedding_width,
            input_feeding=sizes.input_feeding,
            previous_token=sizes.previous_token_in_readout,
        )
        inputs = [sizes.embedding_width + self.wiring.input_width] + [sizes.width] * (sizes.num_layers - 1)
        self.decoder: ModuleList[RecurrentLayer] = ModuleList(
            RecurrentLayer(cell, width, sizes.width, initialization=sizes.initialization) for width in inputs
        )
        # h₀ = tanh(V c) for every layer and kind of state (Cho et al. 2014, appendix A)
        bridges: list[ModuleList[Linear]] = [
            ModuleList(Linear(sizes.width, sizes.width) for _ in range(cell.states))
            for _ in (inputs if sizes.decoder_start == "tanh" else ())
        ]
        self.bridge: ModuleList[ModuleList[Linear]] = ModuleList(bridges)

    @property
    def cross_attention_sites(self) -> tuple[str, ...]:
        """The name under which the weights of the decoder over the source are recorded; none without attention."""
        return ("decoder.attention.weights",) if self.wiring.attends else ()

    def start(self, source_BS: Tensor, source_mask_BS: Tensor, *, ctx: PassContext = INFERENCE) -> Seq2SeqState:
        """The state before the first step: the source read, nothing written."""
        ctx = ctx.begin(self)
        embedded = F.embedding(source_BS, self.source_embedding)
        ctx.at("encoder").record("embedding", embedded)
        embedded = ctx.dropout(embedded, self.sizes.dropout)
        values_BSW, finals = self.encoder(embedded, source_mask_BS.sum(1), ctx.at("encoder"))
        ctx.at("encoder").record("output", values_BSW)
        hidden = self._start_hidden(finals)
        attentional = values_BSW.new_zeros(source_BS.shape[0], self.sizes.embedding_width)
        keys = self.wiring.score.prepare(values_BSW)
        self._record_start(hidden, keys, values_BSW, ctx.at("decoder"))
        source_ids_B = torch.arange(source_BS.shape[0], device=source_BS.device)
        return Seq2SeqState(hidden, finals[-1][0], attentional, keys, values_BSW, source_mask_BS, source_ids_B)

    def _start_hidden(self, finals: list[HiddenState]) -> tuple[HiddenState, ...]:
        """What each layer of the decoder begins with, from the last states of the encoder's."""
        if self.sizes.decoder_start == "last":
            return tuple(finals)
        if self.sizes.decoder_start == "zero":
            return tuple(tuple(torch.zeros_like(part) for part in final) for final in finals)
        return tuple(
            tuple(torch.tanh(bridge(part)) for bridge, part in zip(bridges, final, strict=True))
            for bridges, final in zip(self.bridge, finals, strict=True)
        )

    def _record_start(
        self, hidden: tuple[HiddenState, ...], keys: Tensor, values_BSW: Tensor, ctx: PassContext
    ) -> None:
        """What the decoder begins with; keys as the score prepared them."""
        for number, layer in enumerate(hidden):
            for name, part in zip(("start_hidden", "start_cell"), layer, strict=False):
                ctx.at("layers").at(number).record(name, part)
        if self.wiring.attends:
            ctx.at("attention").record("keys", keys)
            ctx.at("attention").record("values", values_BSW)

    def _recur(self, x_BTI: Tensor, state: Seq2SeqState, ctx: PassContext) -> tuple[Tensor, Seq2SeqState]:
        """The decoder's recurrent layers over T steps whose inputs are known: outputs (B, T, W)."""
        hidden: list[HiddenState] = []
        for number, layer in enumerate(self.decoder):
            inner = ctx.at("layers").at(number)
            x_BTI = x_BTI if number == 0 else ctx.dropout(x_BTI, self.sizes.dropout)
            if x_BTI.shape[1] == 1:
                last = layer.step(x_BTI[:, 0], state.hidden[number], inner)
                x_BTI = last[0][:, None]
            else:
                x_BTI, last = layer(x_BTI, state.hidden[number], None, inner)
            hidden.append(last)
        return x_BTI, replace(state, hidden=tuple(hidden))

    def decode(
        self, tokens_BT: Tensor, state: Seq2SeqState, *, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, Seq2SeqState]:
        """T more tokens → features (B, T, E) that predict each one's successor, and the state after them.

        One pass of the fused kernel over all steps where no step's input depends on the step before it.
        """
        inner = ctx.of(self).at("decoder")
        x_BTE = F.embedding(tokens_BT, self.target_embedding)
        inner.record("embedding", x_BTE)
        x_BTE = ctx.dropout(x_BTE, self.sizes.dropout)
        features: list[Tensor] = []
        for x in (x_BTE,) if self.wiring.parallel else torch.split(x_BTE, 1, 1):
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
        *,
        ctx: PassContext = INFERENCE,
    ) -> Tensor:
        """One pass with teacher forcing: features (B, T, E) whose projection predicts the token after each.

        In training with scheduled sampling (Bengio et al. 2015) some steps are fed the model's own best guess.
        """
        state = self.start(source_BS, source_mask_BS, ctx=ctx)
        sampling = self.sizes.scheduled_sampling
        if sampling == 0.0 or ctx.generator is None:
            return self.decode(target_BT, state, ctx=ctx)[0]
        features: list[Tensor] = []
        tokens = target_BT[:, :1]
        for position in range(target_BT.shape[1]):
            feature, state = self.decode(tokens, state, ctx=ctx)
            features.append(feature)
            if position + 1 < target_BT.shape[1]:
                reference = target_BT[:, position + 1 : position + 2]
                draws = torch.rand(reference.shape, generator=ctx.generator, device=reference.device)
                tokens = torch.where(draws < sampling, self.project(feature).argmax(-1), reference)
        return torch.cat(features, 1)
