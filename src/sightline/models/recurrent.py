"""Recurrent language models: a latent state that sums up the past; RNN, LSTM and GRU (Mikolov et al. 2010).

Shapes: B rows, T positions, E embedding width, W hidden width, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sightline.models.language_model import NeuralLanguageModel, refuse_documents
from sightline.models.sizes import NeuralLanguageSizes
from sightline.nn.cells import HiddenState, make_cell
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.modules import ModuleList
from sightline.nn.output import make_clusters
from sightline.nn.padding import left_align, undo_left_align
from sightline.nn.recurrent import RecurrentLayer, RecurrentOptions
from sightline.nn.state import TensorState
from sightline.nn.tables import LookupTable


class RecurrentSizes(RecurrentOptions, NeuralLanguageSizes, frozen=True, extra="forbid"):
    """The arguments of `RecurrentLM`. Defaults follow the medium LSTM of Zaremba et al. 2014, tied."""

    kind: Literal["recurrent"] = "recurrent"
    cell: Literal["rnn", "gru", "lstm"] = Field("lstm", description="recurrent cell")
    embedding_width: int = Field(650, ge=1, description="width of token embeddings, and of the last layer where tied")
    width: int = Field(650, ge=1, description="width of hidden states")
    num_layers: int = Field(2, ge=1, description="recurrent layers")
    dropout: float = Field(0.5, ge=0, lt=1, description="rate between layers and before the output")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="rate on the embeddings")
    variational: bool = Field(
        False, description="drop the same units at every position (Gal & Ghahramani 2016) instead of others at each"
    )
    weight_dropout: float = Field(
        0.0, ge=0, lt=1, description="rate on the matrices from state to state (Merity et al. 2018)"
    )

    def activations_per_token(self, span: int) -> int:
        return self.num_layers * 10 * self.width + 3 * self.embedding_width


@dataclass(frozen=True)
class RecurrentState(TensorState):
    """The hidden state of each layer."""

    hidden: tuple[HiddenState, ...]

    def tensors(self) -> list[Tensor]:
        """All it holds, batch rows first."""
        return [part for layer in self.hidden for part in layer]

    def with_tensors(self, tensors: Sequence[Tensor]) -> RecurrentState:
        """A state of this form that holds others."""
        given = iter(tensors)
        return RecurrentState(tuple(tuple(next(given) for _ in layer) for layer in self.hidden))


class RecurrentLM(NeuralLanguageModel[RecurrentState]):
    """Embeddings, recurrent layers, a projection to the vocabulary."""

    carries_state = True

    def __init__(self, vocab_size: int, sizes: RecurrentSizes) -> None:
        super().__init__()
        self.vocab_size, self.sizes = vocab_size, sizes
        last = sizes.embedding_width if sizes.tied else sizes.width
        self.embedding = LookupTable(torch.empty(vocab_size, sizes.embedding_width).uniform_(-0.1, 0.1))
        self.output_weight: nn.Parameter = self.embedding
        if not sizes.tied:
            self.output_weight = nn.Parameter(torch.empty(vocab_size, last).uniform_(-0.1, 0.1))
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        self.clusters = make_clusters(last, sizes.cutoffs, vocab_size)
        widths = [sizes.embedding_width, *[sizes.width] * (sizes.num_layers - 1), last]
        cell = make_cell(sizes.cell, sizes.nonlinearity)
        self.layers: ModuleList[RecurrentLayer] = ModuleList(
            RecurrentLayer(cell, inner, outer, sizes.weight_dropout, sizes.initialization)
            for inner, outer in itertools.pairwise(widths)
        )

    @property
    def logit_bias(self) -> Tensor:
        """What is added to the logits (V)."""
        return self.output_bias

    def start(self, batch_size: int) -> RecurrentState:
        """The state before the first token: zeros."""
        INFERENCE.begin(self)
        like = self.embedding.new_zeros(batch_size, 1)
        return RecurrentState(tuple(layer.start(like) for layer in self.layers))

    def _dropout(self, x_BTW: Tensor, rate: float, ctx: PassContext) -> Tensor:
        if not self.sizes.variational or not ctx.training:
            return ctx.dropout(x_BTW, rate)
        return x_BTW * ctx.dropout(torch.ones_like(x_BTW[:, :1]), rate)

    def decode(
        self,
        tokens_BT: Tensor,
        state: RecurrentState,
        *,
        real_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, RecurrentState]:
        """T more tokens → features (B, T, W) that predict each one's successor, and the state after them."""
        refuse_documents(document_BT)
        ctx, lengths_B, index_BT = ctx.of(self), None, None
        if real_BT is not None:
            tokens_BT, lengths_B, index_BT = left_align(tokens_BT, real_BT)
        x_BTW = F.embedding(tokens_BT, self.embedding)
        ctx.record("embedding", x_BTW)
        x_BTW = self._dropout(x_BTW, self.sizes.input_dropout, ctx)
        hidden: list[HiddenState] = []
        for number, layer in enumerate(self.layers):
            x_BTW, last = layer(x_BTW, state.hidden[number], lengths_B, ctx.at("layers").at(number))
            x_BTW = self._dropout(x_BTW, self.sizes.dropout, ctx)
            hidden.append(last)
        if index_BT is not None:
            x_BTW = undo_left_align(x_BTW, index_BT)
        return x_BTW, RecurrentState(tuple(hidden))
