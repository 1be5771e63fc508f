"""The Vision Transformer: an encoder over the patches of an image (Dosovitskiy et al. 2021).

Shapes: B images, C channels, Y and X pixels, P patches, T = P + 1 positions, D d_model.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sightline.models.sizes import ModelSizes
from sightline.nn.blocks import Block, BlockOptions
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.modules import ModuleList
from sightline.nn.norms import make_norm
from sightline.nn.ops import Linear
from sightline.nn.positions import WAVES, wave_table
from sightline.nn.tables import LookupTable


class ViTSizes(BlockOptions, ModelSizes, frozen=True, extra="forbid"):
    """The arguments of `ViT`. Defaults are ViT-Base's, of 16 × 16 pixels."""

    kind: Literal["vit"] = "vit"
    image_size: int = Field(224, ge=1, description="height and width of an image in pixels")
    channels: int = Field(3, ge=1, description="of an image: 1 grey, 3 colours")
    patch_size: int = Field(16, ge=1, description="height and width of a patch in pixels; divides image_size")
    d_model: int = Field(768, ge=1, description="width of the residual stream")
    num_layers: int = Field(12, ge=1, description="blocks")
    num_heads: int = Field(12, ge=1, description="attention heads; divides d_model")
    d_ff: int = Field(3072, ge=1, description="width inside the feed-forward network")
    positions: Literal["learned", "sinusoidal", "triangle", "square", "binary", "none"] = Field(
        "learned",
        description="how positions enter: learned, waves (half of the width a row's, half a column's) or none",
    )
    norm_epsilon: float = Field(1e-12, gt=0, description="what normalisation adds to the variance")
    pre_norm: bool = Field(True, description="normalise before each sublayer instead of after it")
    activation: Literal["relu", "gelu", "gelu_tanh", "swiglu"] = Field(
        "gelu", description="of the feed-forward network"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="rate on embeddings and on every sublayer's output")

    @model_validator(mode="after")
    def _patches_divide(self) -> ViTSizes:
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} must divide image_size {self.image_size}")
        if self.positions in WAVES and self.d_model % 4:
            raise ValueError(f"{self.positions} positions need a d_model that 4 divides, not {self.d_model}")
        return self

    @property
    def side(self) -> int:
        """Patches in a row, and rows of them."""
        return self.image_size // self.patch_size

    def activations_per_token(self, span: int) -> int:
        return self.num_layers * self.activations_per_block(span)


class ViT(nn.Module):
    """Patches through a linear map, a class token before them, blocks of self-attention, a head on the class token."""

    position_table_TD: Tensor

    def __init__(self, sizes: ViTSizes, outputs: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.patches = Linear(sizes.channels * sizes.patch_size**2, sizes.d_model)
        self.class_token = nn.Parameter(torch.zeros(sizes.d_model))
        length = sizes.side**2 + 1
        learned = sizes.positions == "learned"
        self.positions = LookupTable(torch.randn(length, sizes.d_model) * 0.02) if learned else None
        fixed_TD = torch.zeros(length, sizes.d_model)
        if sizes.positions in WAVES:
            fixed_TD[1:] = waves(sizes.side, sizes.d_model, sizes.positions)
        self.register_buffer("position_table_TD", fixed_TD, persistent=False)
        self.blocks: ModuleList[Block] = ModuleList(Block(sizes) for _ in range(sizes.num_layers))
        self.norm = make_norm(sizes.norm, sizes.d_model, sizes.norm_epsilon) if sizes.pre_norm else None
        self.head = Linear(sizes.d_model, outputs)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2 and name != "positions":
                nn.init.normal_(parameter, std=0.02)

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return self.class_token.device

    @property
    def attention_sites(self) -> tuple[str, ...]:
        """The names under which its attention weights are recorded."""
        return tuple(f"blocks.{number}.self_attention.weights" for number in range(len(self.blocks)))

    def encode(self, images_BCYX: Tensor, *, ctx: PassContext = INFERENCE) -> Tensor:
        """Images → features (B, T, D), those of the class token first."""
        ctx = ctx.begin(self)
        x_BPD = self.patches(patchify(images_BCYX, self.sizes.patch_size))
        x_BTD = torch.cat([self.class_token.expand(len(x_BPD), 1, -1), x_BPD], 1)
        position_table_TD = self.position_table_TD.to(x_BTD.dtype) if self.positions is None else self.positions
        ctx.record("positions", position_table_TD.expand_as(x_BTD))
        x_BTD = x_BTD + position_table_TD
        ctx.record("embedding", x_BTD)
        x_BTD = ctx.dropout(x_BTD, self.sizes.dropout)
        for number, block in enumerate(self.blocks):
            x_BTD, _ = block(x_BTD, None, ctx=ctx.at("blocks").at(number))
        if self.norm is not None:
            x_BTD = self.norm(x_BTD, None, ctx)
        ctx.record("output", x_BTD)
        return x_BTD

    def forward(self, images_BCYX: Tensor, *, ctx: PassContext = INFERENCE) -> Tensor:
        """Images (B, C, Y, X) → the head's outputs (B, classes), which a loss is made from elsewhere."""
        return self.head(self.encode(images_BCYX, ctx=ctx)[:, 0])


def patchify(images_BCYX: Tensor, size: int) -> Tensor:
    """Images as flattened patches (B, P, C · size²), row by row; in each the channels one after the other."""
    count, channels, height, width = images_BCYX.shape
    rows, columns = height // size, width // size
    grid = images_BCYX.reshape(count, channels, rows, size, columns, size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, channels * size**2)


def waves(side: int, width: int, kind: str = "sinusoidal") -> Tensor:
    """(side², width): waves of the patch's row in the first half of the width, of its column in the second."""
    table = wave_table(kind, side, width // 2)
    rows, columns = table[:, None].expand(side, side, -1), table[None].expand(side, side, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)


def rollout(weights_LBHTT: Tensor, *, residual: bool = True) -> Tensor:
    """How much of each position's output comes from each input, by attention alone (Abnar & Zuidema 2020, eq. 1).

    The mean of the heads' weights, half of it the residual connection where there is one, multiplied through the
    layers: (B, T, T).
    """
    length = weights_LBHTT.shape[-1]
    identity = torch.eye(length, dtype=weights_LBHTT.dtype, device=weights_LBHTT.device)
    flow = identity.expand(weights_LBHTT.shape[1], -1, -1)
    for weights_BHTT in weights_LBHTT:
        mixed = weights_BHTT.mean(1)
        if residual:
            mixed = (mixed + identity) / 2
        flow = mixed / mixed.sum(-1, keepdim=True) @ flow
    return flow
