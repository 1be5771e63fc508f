"""What encoder–decoders have in common: three tables of embeddings that may be one, the projection, the loss.

Shapes: B rows, S source positions, T target positions, D feature width, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.ops import linear_cross_entropy, project
from sightline.nn.state import State
from sightline.nn.tables import LookupTable

S = TypeVar("S", bound=State)


class NeuralEncoderDecoder(nn.Module, ABC, Generic[S]):
    """An `EncoderDecoder` with parameters. One is written by its `start` and its `decode`.

    Args:
        source_vocab, target_vocab: tokens of either side. tied: which embeddings are one; "all", "decoder" or "none".
        width: of embeddings and of features (D). scale: the standard deviation that embeddings begin with.

    Raises ValueError where all embeddings are to be one and the vocabularies are not.
    """

    def __init__(self, source_vocab: int, target_vocab: int, tied: str, width: int, scale: float) -> None:
        super().__init__()
        if tied == "all" and source_vocab != target_vocab:
            raise ValueError(f'tied = "all" needs one vocabulary, not {source_vocab} and {target_vocab} tokens')
        self.target_embedding = LookupTable(torch.randn(target_vocab, width) * scale)
        self.source_embedding = self.target_embedding
        if tied != "all":
            self.source_embedding = LookupTable(torch.randn(source_vocab, width) * scale)
        self.output_weight: nn.Parameter = self.target_embedding
        if tied == "none":
            self.output_weight = nn.Parameter(torch.randn(target_vocab, width) * scale)
        self.output_bias = nn.Parameter(torch.zeros(target_vocab))

    def extra_repr(self) -> str:
        return f"source_vocab={len(self.source_embedding)}, target_vocab={len(self.target_embedding)}"

    @property
    def context_length(self) -> int | None:
        """The longest source, and the longest target, that it can read; None where any will do."""
        return None

    @property
    def device(self) -> torch.device:
        """Where its parameters are, and its inputs are to be."""
        return self.output_weight.device

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which attention of either side to itself is recorded; none where there is none."""
        return ()

    @property
    @abstractmethod
    def cross_attention_sites(self) -> tuple[str, ...]:
        """The names under which the weights of the decoder over the source are recorded; none where it has none."""

    @abstractmethod
    def start(self, source_BS: Tensor, source_mask_BS: Tensor, *, ctx: PassContext = INFERENCE) -> S:
        """The state before the first step: the source read, nothing written. Begins with `ctx.begin(self)`."""

    @abstractmethod
    def decode(
        self, tokens_BT: Tensor, state: S, *, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, S]:
        """T more tokens → features (B, T, D) that predict each one's successor, and the state after them.

        `real_BT` says which tokens are no padding, which stands on the right; only batch norm asks.
        """

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
        return self.decode(target_BT, self.start(source_BS, source_mask_BS, ctx=ctx), real_BT=target_mask_BT, ctx=ctx)[
            0
        ]

    def forward(
        self,
        source_BS: Tensor,
        source_mask_BS: Tensor,
        target_in_BT: Tensor,
        target_out_BT: Tensor,
        target_mask_BT: Tensor,
        *,
        label_smoothing: float = 0.0,
        consistency: float = 0.0,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, Tensor]:
        """The loss of predicting `target_out_BT` after `target_in_BT`, and -ln p without smoothing; sums (nats).

        Only the first carries a gradient. See `sightline.nn.ops.linear_cross_entropy`.

        Args:
            target_mask_BT: which target tokens are real; others count for nothing.
            consistency: with it the batch holds everything twice, one copy after the other, and the two passes'
                divergence is added (R-Drop, Liang et al. 2021).
        """
        features_BTD = self.features(source_BS, source_mask_BS, target_in_BT, target_mask_BT, ctx=ctx)
        features_ND, targets_N = features_BTD[target_mask_BT], target_out_BT[target_mask_BT]
        if consistency:
            features_ND, targets_N = features_ND.view(2, -1, features_ND.shape[-1]), targets_N[: len(targets_N) // 2]
        return linear_cross_entropy(
            features_ND, self.output_weight, self.output_bias, targets_N, label_smoothing, consistency
        )

    def project(self, features: Tensor) -> Tensor:
        """Features (…, D) → logits (…, V) in fp32."""
        return project(features, self.output_weight, self.output_bias)

    def step(self, tokens_B: Tensor, state: S, *, ctx: PassContext = INFERENCE) -> tuple[Tensor, S]:
        """One token a row → logits (B, V) of the next one, and the state after it."""
        features_BTD, state = self.decode(tokens_B[:, None], state, ctx=ctx)
        return self.project(features_BTD[:, 0]), state
