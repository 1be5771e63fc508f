"""BERT: a Transformer's encoder, pretrained to fill in masked words and to tell what follows (Devlin et al. 2019).

Shapes: B rows, T positions, N masked positions, D d_model, V vocabulary.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sightline.models.sizes import ModelSizes
from sightline.nn.blocks import ACTIVATIONS, Block, BlockOptions
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.masks import over_heads
from sightline.nn.modules import ModuleList
from sightline.nn.norms import make_norm
from sightline.nn.ops import Linear, linear_cross_entropy, project
from sightline.nn.positions import PositionKind, add_positions, make_positional_encoding
from sightline.nn.tables import LookupTable


class BertSizes(BlockOptions, ModelSizes, frozen=True, extra="forbid"):
    """The arguments of `Bert`. Defaults are BERT-base's."""

    kind: Literal["bert"] = "bert"
    d_model: int = Field(768, ge=1, description="width of the residual stream")
    num_layers: int = Field(12, ge=1, description="blocks")
    num_heads: int = Field(12, ge=1, description="attention heads; divides d_model")
    d_ff: int = Field(3072, ge=1, description="width inside the feed-forward network")
    max_length: int = Field(512, ge=4, description="the longest input in tokens, [CLS] and [SEP] included")
    segments: int = Field(2, ge=1, description="how many segments an input can have")
    positions: PositionKind = Field("learned", description="how positions enter")
    norm_epsilon: float = Field(1e-12, gt=0, description="what normalisation adds to the variance")
    activation: Literal["relu", "gelu", "gelu_tanh", "swiglu"] = Field(
        "gelu", description="of the feed-forward network"
    )
    attention_dropout: float = Field(0.1, ge=0, lt=1, description="rate on attention weights")

    @property
    def context_length(self) -> int | None:
        """The most tokens it can look at."""
        return self.max_length

    def activations_per_token(self, span: int) -> int:
        return self.num_layers * self.activations_per_block(span)


class Bert(nn.Module):
    """Token, segment and position embeddings, blocks of self-attention in both directions, a pooler."""

    def __init__(self, vocab_size: int, sizes: BertSizes) -> None:
        super().__init__()
        self.vocab_size, self.sizes = vocab_size, sizes
        self.embedding = LookupTable(torch.empty(vocab_size, sizes.d_model))
        self.segments = LookupTable(torch.empty(sizes.segments, sizes.d_model))
        self.positions = make_positional_encoding(sizes.positions, sizes.d_model, sizes.max_length)
        self.embedding_norm = make_norm(sizes.norm, sizes.d_model, sizes.norm_epsilon)
        self.blocks: ModuleList[Block] = ModuleList(Block(sizes, self.positions) for _ in range(sizes.num_layers))
        # a pre-norm stack leaves its last residual sum unnormalised
        self.norm = make_norm(sizes.norm, sizes.d_model, sizes.norm_epsilon) if sizes.pre_norm else None
        self.pooler = Linear(sizes.d_model, sizes.d_model)
        initialise(self)

    def extra_repr(self) -> str:
        return f"vocab_size={self.vocab_size}"

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return self.embedding.device

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which its attention weights are recorded."""
        return tuple(f"blocks.{number}.self_attention.weights" for number in range(len(self.blocks)))

    def forward(
        self,
        tokens_BT: Tensor,
        real_BT: Tensor | None = None,
        *,
        segment_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> Tensor:
        """What `encode` gives."""
        return self.encode(tokens_BT, real_BT, segment_BT=segment_BT, ctx=ctx)

    def encode(
        self,
        tokens_BT: Tensor,
        real_BT: Tensor | None = None,
        *,
        segment_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> Tensor:
        """Tokens → features (B, T, D).

        Args:
            real_BT: which tokens are no padding, which stands on the right; features at padding mean nothing.
            segment_BT: which segment each token is of; all of the first by default.
        """
        ctx = ctx.begin(self)
        x_BTD = F.embedding(tokens_BT, self.embedding)
        segment_BT = torch.zeros_like(tokens_BT) if segment_BT is None else segment_BT
        x_BTD = add_positions(self.positions, x_BTD + F.embedding(segment_BT, self.segments), ctx)
        x_BTD = self.embedding_norm(x_BTD, real_BT, ctx)
        ctx.record("embedding_norm", x_BTD)
        x_BTD = ctx.dropout(x_BTD, self.sizes.dropout)
        mask = None if real_BT is None or bool(real_BT.all()) else over_heads(real_BT)
        for number, block in enumerate(self.blocks):
            x_BTD, _ = block(x_BTD, mask, real_BT=real_BT, ctx=ctx.at("blocks").at(number))
        if self.norm is not None:
            x_BTD = self.norm(x_BTD, real_BT, ctx)
        ctx.record("output", x_BTD)
        return x_BTD

    def pool(self, features_BTD: Tensor) -> Tensor:
        """What stands for the whole input: tanh(W h + b) of its first token's features, [CLS]'s → (B, D)."""
        return torch.tanh(self.pooler(features_BTD[:, 0]))


class PretrainingLoss(NamedTuple):
    """Losses of a BERT's two heads, summed (nats): over the masked tokens, and over the pairs; None without pairs."""

    masked: Tensor
    next_sentence: Tensor | None


class BertForPretraining(nn.Module):
    """A BERT with its two heads: masked words and next sentence (Devlin et al. 2019, section 3.1)."""

    def __init__(self, vocab_size: int, sizes: BertSizes) -> None:
        super().__init__()
        self.bert = Bert(vocab_size, sizes)
        self.transform = Linear(sizes.d_model, sizes.d_model)
        # a gated activation has no form for one product alone
        self.activation = ACTIVATIONS.get(sizes.activation, F.silu)
        self.transform_norm = make_norm(sizes.norm, sizes.d_model, sizes.norm_epsilon)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        self.next_sentence = Linear(sizes.d_model, 2)
        for head in (self.transform, self.next_sentence):
            initialise(head)

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return self.bert.device

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which its attention weights are recorded."""
        return self.bert.attention_sites

    def encode(
        self,
        tokens_BT: Tensor,
        real_BT: Tensor | None = None,
        *,
        segment_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> Tensor:
        """Tokens → features (B, T, D); see `Bert.encode`."""
        return self.bert.encode(tokens_BT, real_BT, segment_BT=segment_BT, ctx=ctx)

    def forward(
        self,
        tokens_BT: Tensor,
        real_BT: Tensor,
        segment_BT: Tensor,
        chosen_BT: Tensor,
        targets_N: Tensor,
        pairs_B: Tensor | None = None,
        follows_B: Tensor | None = None,
        *,
        ctx: PassContext = INFERENCE,
    ) -> PretrainingLoss:
        """The losses of filling in the tokens that were chosen and, where pairs are told, of what follows.

        Args:
            chosen_BT: which tokens are predicted; targets_N: what they were, in order.
            pairs_B: which rows are pairs of segments; follows_B: for each row 0 where the second segment follows the
                first, 1 where it is from elsewhere.
        """
        features_BTD = self.encode(tokens_BT, real_BT, segment_BT=segment_BT, ctx=ctx)
        # only what was masked is projected to the vocabulary
        ready_ND = self.transform_masked(features_BTD[chosen_BT], ctx=ctx)
        masked, _ = linear_cross_entropy(ready_ND, self.output_weight, self.output_bias, targets_N)
        if pairs_B is None or follows_B is None:
            return PretrainingLoss(masked, None)
        logits = self.next_sentence_logits(features_BTD)[pairs_B].float()
        return PretrainingLoss(masked, F.cross_entropy(logits, follows_B[pairs_B], reduction="sum"))

    @property
    def output_weight(self) -> Tensor:
        """The projection to the vocabulary (V, D), which is the embedding."""
        return self.bert.embedding

    def transform_masked(self, features_ND: Tensor, *, ctx: PassContext = INFERENCE) -> Tensor:
        """Features at masked positions, made ready for the projection: norm(f(W h + b))."""
        return self.transform_norm(self.activation(self.transform(features_ND)), None, ctx)

    def project(self, masked_ND: Tensor) -> Tensor:
        """What `transform_masked` gave → logits (N, V)."""
        return project(masked_ND, self.output_weight, self.output_bias)

    def next_sentence_logits(self, features_BTD: Tensor) -> Tensor:
        """Features → logits (B, 2): the second segment follows the first, or is from elsewhere."""
        return self.next_sentence(self.bert.pool(features_BTD))


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """N(0, 0.02) for matrices, zero for biases, as BERT has it."""
    for parameter in module.parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.02)
