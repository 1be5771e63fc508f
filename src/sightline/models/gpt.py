"""GPT: a Transformer's decoder alone. GPT-1 (Radford et al. 2018) and GPT-2 (Radford et al. 2019) are sizes of it.

Shapes: B rows, T positions, S positions seen so far (the past and the present), D d_model, V vocabulary, H heads.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sightline.models.language_model import NeuralLanguageModel
from sightline.models.sizes import NeuralLanguageSizes
from sightline.nn.attention import KeyValues
from sightline.nn.blocks import Block, BlockOptions
from sightline.nn.cache import KeyValueCache
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.masks import causal_mask
from sightline.nn.modules import ModuleList
from sightline.nn.norms import make_norm
from sightline.nn.output import make_clusters
from sightline.nn.positions import PositionIds, PositionKind, add_positions, make_positional_encoding
from sightline.nn.tables import LookupTable
from sightline.special_tokens import BOS_ID, PAD_ID

NEVER = (PAD_ID, BOS_ID)
IMPOSSIBLE = -1e4  # a logit so low that its probability is 0, in any precision


class GPTSizes(BlockOptions, NeuralLanguageSizes, frozen=True, extra="forbid"):
    """The arguments of `GPT`. Defaults are the smallest GPT-2's."""

    separates_documents: ClassVar[bool] = True

    kind: Literal["gpt"] = "gpt"
    d_model: int = Field(768, ge=1, description="width of the residual stream")
    num_layers: int = Field(12, ge=1, description="blocks")
    num_heads: int = Field(12, ge=1, description="attention heads; divides d_model")
    d_ff: int = Field(3072, ge=1, description="width inside the feed-forward network")
    max_length: int = Field(1024, ge=2, description="the longest context in tokens")
    positions: PositionKind = Field("learned", description="how positions enter")
    pre_norm: bool = Field(True, description="normalise before each sublayer (GPT-2) instead of after it (GPT-1)")
    activation: Literal["relu", "gelu", "gelu_tanh", "swiglu"] = Field(
        "gelu_tanh", description="of the feed-forward network"
    )
    attention_dropout: float = Field(0.1, ge=0, lt=1, description="rate on attention weights")

    @property
    def context_length(self) -> int | None:
        """The most tokens it can look at."""
        return self.max_length

    def activations_per_token(self, span: int) -> int:
        return self.num_layers * self.activations_per_block(span)


class GPT(NeuralLanguageModel[KeyValueCache]):
    """Embeddings, blocks of causal self-attention, a projection to the vocabulary."""

    never_V: Tensor

    def __init__(self, vocab_size: int, sizes: GPTSizes) -> None:
        super().__init__()
        self.vocab_size, self.sizes = vocab_size, sizes
        self.embedding = LookupTable(torch.empty(vocab_size, sizes.d_model))
        self.output_weight: nn.Parameter = (
            self.embedding if sizes.tied else nn.Parameter(torch.empty(vocab_size, sizes.d_model))
        )
        self.clusters = make_clusters(sizes.d_model, sizes.cutoffs, vocab_size)
        # padding and beginning-of-sentence are never predicted: GPT-2 does not know them
        never_V = torch.zeros(vocab_size).index_fill(0, torch.tensor(NEVER), IMPOSSIBLE)
        self.register_buffer("never_V", never_V, persistent=False)
        self.positions = make_positional_encoding(sizes.positions, sizes.d_model, sizes.max_length)
        self.blocks: ModuleList[Block] = ModuleList(Block(sizes, self.positions) for _ in range(sizes.num_layers))
        # a pre-norm stack leaves its last residual sum unnormalised
        self.norm = make_norm(sizes.norm, sizes.d_model, sizes.norm_epsilon) if sizes.pre_norm else None
        self._initialise()

    def _initialise(self) -> None:
        """N(0, 0.02) for matrices, zero for biases; in a pre-norm stack what each sublayer adds to the residual, where
        there is one, is scaled by 1 / √(number of sublayers) (Radford et al. 2019, section 2.3)."""
        accumulates = self.sizes.pre_norm and self.sizes.residual
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                adds = accumulates and name.endswith(("output.weight", "outer.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.sizes.num_layers) if adds else 0.02)

    @property
    def logit_bias(self) -> Tensor:
        """Nothing, but for what is never predicted. Not learned."""
        return self.never_V.to(self.output_weight.dtype)

    @property
    def context_length(self) -> int | None:
        """The most tokens it can look at."""
        return self.sizes.max_length

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which its attention weights are recorded."""
        return tuple(f"blocks.{number}.self_attention.weights" for number in range(len(self.blocks)))

    def start(self, batch_size: int) -> KeyValueCache:
        """The state before the first token."""
        INFERENCE.begin(self)
        return KeyValueCache.empty(len(self.blocks), batch_size, self.device)

    def decode(
        self,
        tokens_BT: Tensor,
        state: KeyValueCache,
        *,
        real_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        extra_embeddings_KD: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, KeyValueCache]:
        """T more tokens → features (B, T, D) that predict each one's successor, and the state after them.

        Args:
            real_BT: which tokens are no padding, wherever it stands; features at padding mean nothing.
            document_BT: a number for each token's document: nothing is seen of another one, and each begins at
                position 0. Only with an empty cache and without padding.
            extra_embeddings_KD: embeddings of tokens beyond the vocabulary, V … V + K - 1, which are read and never
                predicted.

        Raises ValueError where documents are to be kept apart after others were read, or among padding.
        """
        if document_BT is not None and (real_BT is not None or state.length):
            raise ValueError("document_BT: documents are kept apart in an empty cache and without real_BT")
        ctx = ctx.of(self)
        table = self.embedding if extra_embeddings_KD is None else torch.cat([self.embedding, extra_embeddings_KD])
        position_ids, mask, after = state.extend(tokens_BT, real_BT)
        if document_BT is not None:
            position_ids, mask = _document_positions(document_BT)
        x_BTD = add_positions(self.positions, F.embedding(tokens_BT, table), ctx, position_ids)
        x_BTD = ctx.dropout(x_BTD, self.sizes.dropout)
        layers: list[KeyValues] = []
        for number, block in enumerate(self.blocks):
            inner = ctx.at("blocks").at(number)
            past = state.layers[number]
            x_BTD, keys_values = block(x_BTD, mask, real_BT=real_BT, past=past, position_ids=position_ids, ctx=inner)
            layers.append(keys_values)
        if self.norm is not None:
            x_BTD = self.norm(x_BTD, real_BT, ctx)
        ctx.record("output", x_BTD)
        return x_BTD, after.with_layers(layers)

    def read_out(self, residual_BTD: Tensor) -> Tensor | None:
        """The residual stream after any layer as logits of what comes next (nostalgebraist 2020, the logit lens)."""
        return self.project(residual_BTD if self.norm is None else self.norm(residual_BTD))


def _document_positions(document_BT: Tensor) -> tuple[PositionIds, Tensor]:
    """Positions within documents, and which earlier tokens of its own each token may attend to (B, 1, T, T)."""
    same_BTT = document_BT[:, :, None] == document_BT[:, None, :]
    begins_BT = torch.ones_like(document_BT, dtype=torch.bool)
    begins_BT[:, 1:] = document_BT[:, 1:] != document_BT[:, :-1]
    length, device = document_BT.shape[1], document_BT.device
    column = torch.arange(length, device=device).expand_as(document_BT)
    position_ids = column - column.masked_fill(~begins_BT, 0).cummax(1).values
    return position_ids, (same_BTT & causal_mask(length, length, device))[:, None]
