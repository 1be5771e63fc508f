"""The neural language model of a fixed window (Bengio et al. 2003): an autoregressive model with a fixed past.

Shapes: B rows, T positions, N tokens of the window, E embedding width, W hidden width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.ops import Linear
from sightline.nn.output import make_clusters, output_logits, output_loss
from sightline.nn.padding import left_align, undo_left_align
from sightline.nn.state import EOS, select_rows
from sightline.nn.tables import LookupTable


class WindowSizes(BaseModel):
    """The arguments of `WindowLM`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["window"] = "window"
    window: int = Field(4, ge=1, description="tokens that the next one is predicted from")
    embedding_width: int = Field(256, ge=1, description="width of token embeddings, and of the output where tied")
    width: int = Field(512, ge=1, description="width of the hidden layer")
    dropout: float = Field(0.2, ge=0, lt=1, description="rate on embeddings and on the hidden layer")
    tied: bool = Field(True, description="one matrix for embeddings and output")
    cutoffs: tuple[int, ...] = Field(
        (), description="adaptive softmax: the first ids of clusters of rarer tokens, as 4000, 12000; words only"
    )


@dataclass(frozen=True)
class WindowState:
    """The tokens of the past that are still in sight (B, N - 1); together with the next one they fill the window."""

    tokens_BN: Tensor

    def reorder(self, index: Tensor) -> WindowState:
        return WindowState(select_rows(self.tokens_BN, index))

    def concatenate(self, other: WindowState) -> WindowState:
        return WindowState(torch.cat([self.tokens_BN, other.tokens_BN]))

    def tensors(self) -> list[Tensor]:
        """All it holds, rows first."""
        return [self.tokens_BN]

    def with_tensors(self, tensors: Sequence[Tensor]) -> WindowState:
        """A state of this shape that holds others."""
        return WindowState(tensors[0])


class WindowLM(nn.Module):
    """y = U tanh(d + H x) + b over x, the embeddings of the window's tokens side by side (eq. 1, without the direct
    connections). Where tied the hidden layer is projected to the width of the embeddings first."""

    begin_id = EOS
    carries_state = True
    context_length = None

    def __init__(self, vocab_size: int, sizes: WindowSizes) -> None:
        super().__init__()
        self.vocab_size, self.sizes = vocab_size, sizes
        self.embedding = LookupTable(torch.empty(vocab_size, sizes.embedding_width).uniform_(-0.1, 0.1))
        self.hidden = Linear(sizes.window * sizes.embedding_width, sizes.width)
        self.bridge = Linear(sizes.width, sizes.embedding_width, bias=False) if sizes.tied else None
        self.output_weight = self.embedding
        if not sizes.tied:
            self.output_weight = nn.Parameter(torch.empty(vocab_size, sizes.width).uniform_(-0.1, 0.1))
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        self.clusters = make_clusters(sizes.embedding_width if sizes.tied else sizes.width, sizes.cutoffs, vocab_size)

    @property
    def device(self) -> torch.device:
        """Where its parameters are, and its states are to be."""
        return self.output_weight.device

    def start(self, batch_size: int) -> WindowState:
        """The state before the first token: there is the end of what came before."""
        INFERENCE.of(self).begin()
        device = self.embedding.device
        return WindowState(torch.full((batch_size, self.sizes.window - 1), EOS, dtype=torch.int64, device=device))

    def decode(
        self, tokens_BT: Tensor, state: WindowState, ctx: PassContext = INFERENCE, real_BT: Tensor | None = None
    ) -> tuple[Tensor, WindowState]:
        """T more tokens → features (B, T, E or W) that predict each one's successor, and the state after them.

        Args:
            real_BT: which tokens are no padding, wherever it stands; features at padding mean nothing.
        """
        ctx = ctx.of(self)
        lengths_B, index_BT = tokens_BT.new_full(tokens_BT.shape[:1], tokens_BT.shape[1]), None
        if real_BT is not None:
            tokens_BT, lengths_B, index_BT = left_align(tokens_BT, real_BT)
        past = self.sizes.window - 1
        seen_BS = torch.cat([state.tokens_BN, tokens_BT], 1)
        new_BTE = F.embedding(tokens_BT, self.embedding)
        ctx.record("embedding", new_BTE)
        x_BSE = torch.cat([F.embedding(state.tokens_BN, self.embedding), new_BTE], 1)
        x_BSE = ctx.dropout(x_BSE, self.sizes.dropout)
        window_BTX = x_BSE.unfold(1, self.sizes.window, 1).transpose(2, 3).flatten(2)
        hidden_BTW = torch.tanh(self.hidden(window_BTX))
        ctx.record("hidden", hidden_BTW)
        features = ctx.dropout(hidden_BTW, self.sizes.dropout)
        features = features if self.bridge is None else self.bridge(features)
        last_BN = lengths_B[:, None] + torch.arange(past, device=tokens_BT.device)
        return (
            features if index_BT is None else undo_left_align(features, index_BT),
            WindowState(seen_BS.gather(1, last_BN)),
        )

    def loss(self, features_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Cross-entropy (nats) of the tokens that features predict, summed."""
        return output_loss(features_ND, self.output_weight, self.output_bias, targets_N, self.clusters)

    def project(self, features: Tensor) -> Tensor:
        """Features (…, E or W) → logits (…, V)."""
        return output_logits(features, self.output_weight, self.output_bias, self.clusters)

    def step(self, tokens_B: Tensor, state: WindowState, ctx: PassContext = INFERENCE) -> tuple[Tensor, WindowState]:
        """One token a row → logits (B, V) of the next one, and the state after it."""
        features_BTE, state = self.decode(tokens_B[:, None], state, ctx)
        return self.project(features_BTE[:, 0]), state
