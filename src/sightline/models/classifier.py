"""A pretrained model with one small linear head: classes, numbers or a choice for sequences.

Of a GPT (Radford et al. 2018, section 3.2) or a BERT (Devlin et al. 2019, section 3.2).
Shapes: N sequences, T positions, D d_model, V vocabulary, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sightline.models.bert import Bert, BertSizes
from sightline.models.gpt import GPT, GPTSizes
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.lora import adapt
from sightline.nn.ops import Linear
from sightline.nn.state import BOS, EOS
from sightline.nn.tables import LookupTable


class Tuning(BaseModel):
    """What of a pretrained model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Literal["full", "head", "lora"] = Field(
        "full",
        description="all weights; the head (of a GPT also the three added tokens) alone; or that and low-rank adapters "
        "(Hu et al. 2022)",
    )
    rank: int = Field(8, ge=1, description="lora only: the rank of what is added to each matrix")
    alpha: float = Field(16.0, gt=0, description="lora only: what is added is scaled by alpha / rank")
    head_dropout: float = Field(0.1, ge=0, lt=1, description="rate before the head")


# The matrices of a block that low-rank adapters are added to.
ADAPTED = ("self_attention", "self_attention.output", "feed_forward.inner", "feed_forward.outer")


class _Classifier(nn.Module):
    """What the two share: a body, of which `tuning` says what is trained, and the head."""

    def __init__(self, body: Any, outputs: int, tuning: Tuning) -> None:
        super().__init__()
        self.tuning, self.body = tuning, body
        self.head = Linear(body.sizes.d_model, outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        if tuning.weights != "full":
            body.requires_grad_(False)
        if tuning.weights == "lora":
            adapt([block.get_submodule(name) for block in body.blocks for name in ADAPTED], tuning.rank, tuning.alpha)

    def outputs(self, features_ND: Tensor, ctx: PassContext = INFERENCE) -> Tensor:
        """What stands for each sequence → the head's outputs (N, C)."""
        return self.head(ctx.dropout(features_ND, self.tuning.head_dropout))


class GPTClassifier(_Classifier):
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

    def read(self, tokens_NT: Tensor, real_NT: Tensor, ctx: PassContext = INFERENCE) -> tuple[Tensor, Tensor]:
        """Tokens → (features at every position (N, T, D), features at each row's last real token (N, D))."""
        state = self.body.start(len(tokens_NT))
        features_NTD, _ = self.body.decode(tokens_NT, state, ctx, real_BT=real_NT, extra_embeddings_KD=self.special)
        last_N = real_NT.shape[1] - 1 - real_NT.flip(1).int().argmax(1)
        return features_NTD, features_NTD[torch.arange(len(last_N), device=last_N.device), last_N]

    def language_loss(self, features_NTD: Tensor, tokens_NT: Tensor, real_NT: Tensor) -> tuple[Tensor, int]:
        """The language model's loss (nats) summed over the tokens that are no added ones, and how many those are."""
        targets_NT = tokens_NT[:, 1:]
        spoken = real_NT[:, 1:] & (targets_NT < self.body.vocab_size)
        features_KD, targets_K = features_NTD[:, :-1][spoken], targets_NT[spoken]
        return self.body.loss(features_KD, targets_K), len(targets_K)


class BertClassifier(_Classifier):
    """What stands for a sequence is what the BERT pools of its first token, [CLS]. [MASK] follows the vocabulary."""

    def __init__(self, vocab_size: int, sizes: BertSizes, outputs: int, tuning: Tuning) -> None:
        super().__init__(Bert(vocab_size + 1, sizes), outputs, tuning)

    @staticmethod
    def build_inputs(parts: Sequence[list[int]], vocab_size: int) -> list[int]:
        """[CLS], then each part and [SEP] (Devlin et al. 2019, figure 4)."""
        return [BOS, *(token for part in parts for token in (*part, EOS))]

    def read(self, tokens_NT: Tensor, real_NT: Tensor, ctx: PassContext = INFERENCE) -> tuple[Tensor, Tensor]:
        """Tokens → (features at every position (N, T, D), pooled features (N, D))."""
        features_NTD = self.body.encode(tokens_NT, real_NT, segments(tokens_NT, self.body.sizes.segments), ctx)
        return features_NTD, self.body.pool(features_NTD)


class BertTokenClassifier(_Classifier):
    """A BERT with the head at every token: of tags, or of where an answer begins and ends."""

    def __init__(self, vocab_size: int, sizes: BertSizes, outputs: int, tuning: Tuning) -> None:
        super().__init__(Bert(vocab_size + 1, sizes), outputs, tuning)

    def read(self, tokens_NT: Tensor, real_NT: Tensor, ctx: PassContext = INFERENCE) -> Tensor:
        """Tokens → features at every position (N, T, D)."""
        return self.body.encode(tokens_NT, real_NT, segments(tokens_NT, self.body.sizes.segments), ctx)


def segments(tokens_NT: Tensor, count: int) -> Tensor:
    """The segment of each token: how many [SEP] stand before it, at most `count` - 1."""
    ends = (tokens_NT == EOS).long()
    return (ends.cumsum(1) - ends).clamp(max=count - 1)


CLASSIFIERS = {"gpt": GPTClassifier, "bert": BertClassifier}


def make_classifier(vocab_size: int, sizes: GPTSizes | BertSizes, outputs: int, tuning: Tuning) -> nn.Module:
    """The classifier over the model that `sizes.kind` names, freshly initialised from the global generator."""
    return CLASSIFIERS[sizes.kind](vocab_size, sizes, outputs, tuning)  # pyright: ignore[reportArgumentType]
