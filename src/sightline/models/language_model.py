"""What language models that are trained have in common: from features to the next token, and the loss.

Shapes: B rows, T positions, N predictions, D feature width, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.output import Clusters, output_logits, output_loss
from sightline.nn.state import State
from sightline.special_tokens import EOS_ID

S = TypeVar("S", bound=State)


class NeuralLanguageModel(nn.Module, ABC, Generic[S]):
    """A `LanguageModel` with parameters. One is written by its `start` and its `decode`.

    Attributes:
        vocab_size: V. output_weight: the projection of features to the vocabulary (V, D).
        clusters: of an adaptive softmax; None of a plain one.
        begin_id: the id after which a document begins.
        carries_state: training reads a text from end to end, each batch going on from the states of the one before, of
            which no gradient goes back (truncated back-propagation through time); the state is then a `CarriedState`.
            Otherwise each block of text is read on its own.
    """

    vocab_size: int
    output_weight: nn.Parameter
    clusters: Clusters | None = None
    begin_id: int = EOS_ID
    carries_state: bool = False

    def extra_repr(self) -> str:
        return f"vocab_size={self.vocab_size}"

    @property
    def context_length(self) -> int | None:
        """The most tokens it can look at; None where there is no such limit."""
        return None

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which its attention weights are recorded; none without attention."""
        return ()

    @property
    def device(self) -> torch.device:
        """Where its parameters are, and its states are to be."""
        return self.output_weight.device

    @property
    @abstractmethod
    def logit_bias(self) -> Tensor:
        """What is added to the logits (V)."""

    @abstractmethod
    def start(self, batch_size: int) -> S:
        """The state before the first token. Begins with `INFERENCE.begin(self)`, so that recorders know."""

    @abstractmethod
    def decode(
        self,
        tokens_BT: Tensor,
        state: S,
        *,
        real_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, S]:
        """T more tokens → features (B, T, D) that predict each one's successor, and the state after them.

        Args:
            real_BT: which tokens are no padding, wherever it stands, at least one a row; features at padding mean
                nothing.
            document_BT: a number for each token's document, nothing of which is read in another; of models whose sizes
                say `separates_documents`, others raise ValueError.
        """

    def forward(
        self,
        tokens_BT: Tensor,
        targets_BT: Tensor,
        state: S | None = None,
        *,
        scored_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, S]:
        """The loss of predicting each token's successor, summed (nats), and the state after the last token.

        Args:
            targets_BT: the successors. scored_BT: which of them count; all by default.
            state: what was read before; nothing by default.
        """
        before = self.start(len(tokens_BT)) if state is None else state
        features_BTD, after = self.decode(tokens_BT, before, document_BT=document_BT, ctx=ctx)
        if scored_BT is None:  # most batches: choosing all rows would copy them
            return self.loss(features_BTD.flatten(0, 1), targets_BT.flatten()), after
        return self.loss(features_BTD[scored_BT], targets_BT[scored_BT]), after

    def loss(self, features_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Cross-entropy (nats) of the tokens that features predict, summed."""
        return output_loss(features_ND, self.output_weight, self.logit_bias, targets_N, self.clusters)

    def project(self, features: Tensor) -> Tensor:
        """Features (…, D) → logits (…, V) in fp32."""
        return output_logits(features, self.output_weight, self.logit_bias, self.clusters)

    def step(self, tokens_B: Tensor, state: S, *, ctx: PassContext = INFERENCE) -> tuple[Tensor, S]:
        """One token a row → logits (B, V) of the next one, and the state after it."""
        features_BTD, state = self.decode(tokens_B[:, None], state, ctx=ctx)
        return self.project(features_BTD[:, 0]), state

    def read_out(self, residual_BTD: Tensor) -> Tensor | None:
        """The residual stream after any layer as logits of what comes next; None of a model without one."""
        return None


def refuse_documents(document_BT: Tensor | None) -> None:
    """Raises ValueError where documents are to be kept apart by a model that reads them in a row."""
    if document_BT is not None:
        raise ValueError("document_BT: this model reads documents in a row and cannot keep them apart")
