"""A GPT with one small linear head (Radford et al. 2018, section 3.2): classes, numbers or a choice for sequences.

Shapes: N sequences, T positions, D d_model, V vocabulary, C outputs.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sightline.models.gpt import GPT, GPTSizes
from sightline.nn.forward import INFERENCE, Forward
from sightline.nn.lora import adapt
from sightline.nn.ops import Linear


class Tuning(BaseModel):
    """What of a pretrained model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Literal["full", "head", "lora"] = Field(
        "full", description="all weights; the head alone; or the head and low-rank adapters (Hu et al. 2022)"
    )
    rank: int = Field(8, ge=1, description="lora only: the rank of what is added to each matrix")
    alpha: float = Field(16.0, gt=0, description="lora only: what is added is scaled by alpha / rank")
    head_dropout: float = Field(0.1, ge=0, lt=1, description="rate before the head")


class GPTClassifier(nn.Module):
    """Features of a sequence are the GPT's at its last token, the extract token; a linear head reads them.

    Three tokens are added to the vocabulary: start V, delimiter V + 1 and extract V + 2.
    """

    def __init__(self, vocab_size: int, sizes: GPTSizes, outputs: int, tuning: Tuning) -> None:
        super().__init__()
        self.tuning, self.vocab_size = tuning, vocab_size
        self.gpt = GPT(vocab_size, sizes)
        self.special = nn.Parameter(torch.randn(3, sizes.d_model) * 0.02)
        self.head = Linear(sizes.d_model, outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        if tuning.weights != "full":
            self.gpt.requires_grad_(False)
        if tuning.weights == "lora":
            names = ("self_attention", "self_attention.output", "feed_forward.inner", "feed_forward.outer")
            adapt([block.get_submodule(name) for block in self.gpt.blocks for name in names], tuning.rank, tuning.alpha)

    @property
    def start(self) -> int:
        """The id of the start token; the delimiter and the extract token follow."""
        return self.vocab_size

    def read(self, tokens_NT: Tensor, real_NT: Tensor, forward: Forward = INFERENCE) -> tuple[Tensor, Tensor]:
        """Tokens → (features at every position (N, T, D), features at each row's last real token (N, D))."""
        state = self.gpt.start(len(tokens_NT))
        features_NTD, _ = self.gpt.decode(tokens_NT, state, forward, real_BT=real_NT, more_KD=self.special)
        last_N = real_NT.shape[1] - 1 - real_NT.flip(1).int().argmax(1)
        return features_NTD, features_NTD[torch.arange(len(last_N), device=last_N.device), last_N]

    def outputs(self, features_ND: Tensor, forward: Forward = INFERENCE) -> Tensor:
        """Features at extract tokens → the head's outputs (N, C)."""
        return self.head(forward.dropout(features_ND, self.tuning.head_dropout))
