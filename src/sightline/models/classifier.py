"""A pretrained model with one small linear head: classes, numbers or a choice for sequences, or tags for tokens.

Of a GPT (Radford et al. 2018, section 3.2) or a BERT (Devlin et al. 2019, section 3.2).
Shapes: N sequences, T positions, D d_model, V vocabulary, C outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sightline.models.bert import Bert, BertSizes
from sightline.models.gpt import GPT, GPTSizes
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.lora import adapt
from sightline.nn.ops import Linear
from sightline.nn.tables import LookupTable
from sightline.special_tokens import BOS_ID, EOS_ID


class Tuning(BaseModel, frozen=True, extra="forbid"):
    """What of a pretrained model is trained."""

    weights: Literal["full", "head", "lora"] = Field(
        "full",
        description="all weights; the head (of a GPT also the three added tokens) alone; or that and low-rank adapters "
        "(Hu et al. 2022)",
    )
    rank: int = Field(8, ge=1, description="lora only: the rank of what is added to each matrix")
    alpha: float = Field(16.0, gt=0, description="lora only: what is added is scaled by alpha / rank")
    head_dropout: float = Field(0.1, ge=0, lt=1, description="rate before the head")


Body = TypeVar("Body", GPT, Bert)


class _Tuned(nn.Module, Generic[Body]):
    """A body, of which `tuning` says what is trained, and the head."""

    def __init__(self, body: Body, outputs: int, tuning: Tuning) -> None:
        super().__init__()
        self.tuning = tuning
        self.body: Body = body
        self.head = Linear(body.sizes.d_model, outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        if tuning.weights != "full":
            body.requires_grad_(False)
        if tuning.weights == "lora":
            adapt([module for block in body.blocks for module in block.matrices()], tuning.rank, tuning.alpha)

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return self.head.weight.device

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which its attention weights are recorded."""
        return self.body.attention_sites

    def outputs(self, features: Tensor, *, ctx: PassContext = INFERENCE) -> Tensor:
        """Features (…, D) → the head's outputs (…, C)."""
        return self.head(ctx.dropout(features, self.tuning.head_dropout))


class Classified(NamedTuple):
    """The outputs of the head (B, C), and the features of the body at every position (N, T, D)."""

    outputs_BC: Tensor
    features_NTD: Tensor


class SequenceClassifier(_Tuned[Body], ABC):
    """A body with a head on what stands for a sequence."""

    @abstractmethod
    def read(self, tokens_NT: Tensor, real_NT: Tensor, *, ctx: PassContext = INFERENCE) -> tuple[Tensor, Tensor]:
        """Tokens → (features at every position (N, T, D), what stands for each sequence (N, D))."""

    def language_loss(self, features_NTD: Tensor, tokens_NT: Tensor, real_NT: Tensor) -> tuple[Tensor, int]:
        """The body's own loss (nats) as a language model, summed, and over how many tokens; 0 of 0 where it is none."""
        return features_NTD.new_zeros(()), 0

    def forward(
        self, tokens_NT: Tensor, real_NT: Tensor, *, orders: int = 1, ctx: PassContext = INFERENCE
    ) -> Classified:
        """Tokens → the head's outputs, which a loss is made from elsewhere.

        `orders` sequences one after the other are one input, such as two texts in either order: what stands for them is
        added (Radford et al. 2018, figure 1).
        """
        features_NTD, pooled_ND = self.read(tokens_NT, real_NT, ctx=ctx)
        pooled_BD = pooled_ND if orders == 1 else pooled_ND.view(-1, orders, pooled_ND.shape[-1]).sum(1)
        return Classified(self.outputs(pooled_BD, ctx=ctx), features_NTD)


class GPTClassifier(SequenceClassifier[GPT]):
    """What stands for a sequence are the GPT's features at its last token, the extract token.

    Three tokens are added to the vocabulary: start V, delimiter V + 1 and extract V + 2.
    """

    def __init__(self, vocab_size: int, sizes: GPTSizes, outputs: int, tuning: Tuning) -> None:
        super().__init__(GPT(vocab_size, sizes), outputs, tuning)
        self.special = LookupTable(torch.randn(3, sizes.d_model) * 0.02)

    @staticmethod
    def build_inputs(parts: Sequence[list[int]], vocab_size: int) -> list[int]:
        """Start, the parts with delimiters between them, extract (Radford et al. 2018, figure 1)."""
        ids = [vocab_size]
        for number, part in enumerate(parts):
            ids += [vocab_size + 1] * (number > 0) + part
        return [*ids, vocab_size + 2]

    def read(self, tokens_NT: Tensor, real_NT: Tensor, *, ctx: PassContext = INFERENCE) -> tuple[Tensor, Tensor]:
        """Tokens → (features at every position (N, T, D), features at each row's last real token (N, D))."""
        state = self.body.start(len(tokens_NT))
        features_NTD, _ = self.body.decode(tokens_NT, state, real_BT=real_NT, extra_embeddings_KD=self.special, ctx=ctx)
        last_N = real_NT.shape[1] - 1 - real_NT.flip(1).int().argmax(1)
        return features_NTD, features_NTD[torch.arange(len(last_N), device=last_N.device), last_N]

    def language_loss(self, features_NTD: Tensor, tokens_NT: Tensor, real_NT: Tensor) -> tuple[Tensor, int]:
        """The language model's loss (nats) summed over the tokens that are no added ones, and how many those are."""
        targets_NT = tokens_NT[:, 1:]
        spoken = real_NT[:, 1:] & (targets_NT < self.body.vocab_size)
        features_KD, targets_K = features_NTD[:, :-1][spoken], targets_NT[spoken]
        return self.body.loss(features_KD, targets_K), len(targets_K)


class BertClassifier(SequenceClassifier[Bert]):
    """What stands for a sequence is what the BERT pools of its first token, [CLS]. [MASK] follows the vocabulary."""

    def __init__(self, vocab_size: int, sizes: BertSizes, outputs: int, tuning: Tuning) -> None:
        super().__init__(Bert(vocab_size + 1, sizes), outputs, tuning)

    @staticmethod
    def build_inputs(parts: Sequence[list[int]], vocab_size: int) -> list[int]:
        """[CLS], then each part and [SEP] (Devlin et al. 2019, figure 4)."""
        return [BOS_ID, *(token for part in parts for token in (*part, EOS_ID))]

    def read(self, tokens_NT: Tensor, real_NT: Tensor, *, ctx: PassContext = INFERENCE) -> tuple[Tensor, Tensor]:
        """Tokens → (features at every position (N, T, D), pooled features (N, D))."""
        segment_NT = segments(tokens_NT, self.body.sizes.segments)
        features_NTD = self.body.encode(tokens_NT, real_NT, segment_BT=segment_NT, ctx=ctx)
        return features_NTD, self.body.pool(features_NTD)


class BertTokenClassifier(_Tuned[Bert]):
    """A BERT with the head at every token: of tags, or of where an answer begins and ends."""

    def __init__(self, vocab_size: int, sizes: BertSizes, outputs: int, tuning: Tuning) -> None:
        super().__init__(Bert(vocab_size + 1, sizes), outputs, tuning)

    def read(self, tokens_NT: Tensor, real_NT: Tensor, *, ctx: PassContext = INFERENCE) -> Tensor:
        """Tokens → features at every position (N, T, D)."""
        segment_NT = segments(tokens_NT, self.body.sizes.segments)
        return self.body.encode(tokens_NT, real_NT, segment_BT=segment_NT, ctx=ctx)

    def forward(
        self, tokens_NT: Tensor, real_NT: Tensor, *, chosen_NT: Tensor | None = None, ctx: PassContext = INFERENCE
    ) -> Tensor:
        """Tokens → the head's outputs at every position (N, T, C), or at the K chosen ones (K, C); a loss is made from
        them elsewhere."""
        features_NTD = self.read(tokens_NT, real_NT, ctx=ctx)
        return self.outputs(features_NTD if chosen_NT is None else features_NTD[chosen_NT], ctx=ctx)


def segments(tokens_NT: Tensor, count: int) -> Tensor:
    """The segment of each token: how many [SEP] stand before it, at most `count` - 1."""
    ends = (tokens_NT == EOS_ID).long()
    return (ends.cumsum(1) - ends).clamp(max=count - 1)


AnyClassifier = GPTClassifier | BertClassifier


def make_classifier(vocab_size: int, sizes: GPTSizes | BertSizes, outputs: int, tuning: Tuning) -> AnyClassifier:
    """The classifier over a GPT or a BERT of these sizes, freshly initialised from the global generator."""
    if isinstance(sizes, GPTSizes):
        return GPTClassifier(vocab_size, sizes, outputs, tuning)
    return BertClassifier(vocab_size, sizes, outputs, tuning)


def build_inputs(parts: Sequence[list[int]], vocab_size: int, sizes: GPTSizes | BertSizes) -> list[int]:
    """Texts as one sequence of a classifier over a model of these sizes."""
    classifier = GPTClassifier if isinstance(sizes, GPTSizes) else BertClassifier
    return classifier.build_inputs(parts, vocab_size)
