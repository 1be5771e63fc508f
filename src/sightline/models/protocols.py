"""What models are to those who use them: language models, encoder–decoders, encoders.

One order of arguments everywhere: what is read, the state, then options by name, the pass's context last.
Shapes: B rows, S source positions, T positions, D feature width, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import torch
from torch import Tensor

from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.state import State

S = TypeVar("S", bound=State)


class Model(Protocol):
    """What is known of every model."""

    @property
    def device(self) -> torch.device:
        """Where its parameters are, and its inputs are to be."""
        ...

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which its attention weights over its own positions are recorded; none without attention."""
        ...


class Decoder(Model, Protocol[S]):
    """What writes tokens one after the other."""

    @property
    def context_length(self) -> int | None:
        """The most tokens it can look at; None where there is no such limit."""
        ...

    def project(self, features: Tensor) -> Tensor:
        """Features (…, D) → logits (…, V) in fp32."""
        ...

    def step(self, tokens_B: Tensor, state: S, *, ctx: PassContext = INFERENCE) -> tuple[Tensor, S]:
        """One token a row → logits (B, V) of the next one, and the state after it."""
        ...


class LanguageModel(Decoder[S], Protocol[S]):
    """What predicts the next token of a text."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def begin_id(self) -> int:
        """The id after which a document begins."""
        ...

    @property
    def carries_state(self) -> bool:
        """Whether a text is read from end to end with a state that goes on, instead of in blocks on their own."""
        ...

    def start(self, batch_size: int) -> S:
        """The state before the first token."""
        ...

    def decode(
        self, tokens_BT: Tensor, state: S, *, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, S]:
        """T more tokens → features (B, T, D) that predict each one's successor, and the state after them.

        `real_BT` says which tokens are no padding, wherever it stands; features at padding mean nothing.
        """
        ...

    def read_out(self, residual_BTD: Tensor) -> Tensor | None:
        """The residual stream after any layer as logits of what comes next; None of a model without one."""
        ...


class EncoderDecoder(Decoder[S], Protocol[S]):
    """What writes a target from a source."""

    @property
    def cross_attention_sites(self) -> tuple[str, ...]:
        """The names under which the weights of its decoder over its source are recorded; none where it has none."""
        ...

    def start(self, source_BS: Tensor, source_mask_BS: Tensor, *, ctx: PassContext = INFERENCE) -> S:
        """The state before the first step: the source read, nothing written."""
        ...

    def decode(
        self, tokens_BT: Tensor, state: S, *, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, S]:
        """T more tokens → features (B, T, D) that predict each one's successor, and the state after them."""
        ...

    def features(
        self,
        source_BS: Tensor,
        source_mask_BS: Tensor,
        target_BT: Tensor,
        target_mask_BT: Tensor | None = None,
        *,
        ctx: PassContext = INFERENCE,
    ) -> Tensor:
        """One pass with the target given (teacher forcing): features (B, T, D) that predict the token after each."""
        ...


class Encoder(Model, Protocol):
    """What reads a whole input at once: tokens (B, T), or images (B, C, Y, X)."""

    def encode(self, inputs: Tensor, /, *, ctx: PassContext = INFERENCE) -> Tensor:
        """Features (B, T, D) of every position."""
        ...
