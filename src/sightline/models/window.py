"""The neural language model of a fixed window (Bengio et al. 2003): an autoregressive model with a fixed past.

Shapes: B rows, T positions, N tokens of the window, E embedding width, W hidden width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sightline.models.language_model import NeuralLanguageModel, refuse_documents
from sightline.models.sizes import NeuralLanguageSizes
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.ops import Linear
from sightline.nn.output import make_clusters
from sightline.nn.padding import left_align, undo_left_align
from sightline.nn.state import TensorState
from sightline.nn.tables import LookupTable
from sightline.special_tokens import EOS_ID


class WindowSizes(NeuralLanguageSizes, frozen=True, extra="forbid"):
    """The arguments of `WindowLM`."""

    kind: Literal["window"] = "window"
    window: int = Field(4, ge=1, description="tokens that the next one is predicted from")
    embedding_width: int = Field(256, ge=1, description="width of token embeddings, and of the output where tied")
    width: int = Field(512, ge=1, description="width of the hidden layer")
    dropout: float = Field(0.2, ge=0, lt=1, description="rate on embeddings and on the hidden layer")

    def activations_per_token(self, span: int) -> int:
        return (self.window + 2) * self.embedding_width + 3 * self.width


@dataclass(frozen=True)
class WindowState(TensorState):
    """The tokens of the past that are still in sight (B, N - 1); together with the next one they fill the window."""

    tokens_BN: Tensor

    def tensors(self) -> list[Tensor]:
        """All it holds, batch rows first."""
        return [self.tokens_BN]

    def with_tensors(self, tensors: Sequence[Tensor]) -> WindowState:
        """A state of this form that holds others."""
        return WindowState(tensors[0])


class WindowLM(NeuralLanguageModel[WindowState]):
    """y = U tanh(d + H x) + b over x, the embeddings of the window's tokens side by side (eq. 1, without the direct
    connections). Where tied the hidden layer is projected to the width of the embeddings first."""

    carries_state = True

    def __init__(self, vocab_size: int, sizes: WindowSizes) -> None:
        super().__init__()
        self.vocab_size, self.sizes = vocab_size, sizes
        self.embedding = LookupTable(torch.empty(vocab_size, sizes.embedding_width).uniform_(-0.1, 0.1))
        self.hidden = Linear(sizes.window * sizes.embedding_width, sizes.width)
        self.bridge = Linear(sizes.width, sizes.embedding_width, bias=False) if sizes.tied else None
        self.output_weight: nn.Parameter = self.embedding
        if not sizes.tied:
            self.output_weight = nn.Parameter(torch.empty(vocab_size, sizes.width).uniform_(-0.1, 0.1))
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        self.clusters = make_clusters(sizes.embedding_width if sizes.tied else sizes.width, sizes.cutoffs, vocab_size)

    @property
    def logit_bias(self) -> Tensor:
        """What is added to the logits (V)."""
        return self.output_bias

    def start(self, batch_size: int) -> WindowState:
        """The state before the first token: there is the end of what came before."""
        INFERENCE.begin(self)
        device = self.embedding.device
        return WindowState(torch.full((batch_size, self.sizes.window - 1), EOS_ID, dtype=torch.int64, device=device))

    def decode(
        self,
        tokens_BT: Tensor,
        state: WindowState,
        *,
        real_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, WindowState]:
        """T more tokens → features (B, T, E or W) that predict each one's successor, and the state after them."""
        refuse_documents(document_BT)
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
