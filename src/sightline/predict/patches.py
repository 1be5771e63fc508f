"""What a Vision Transformer's class token attends to: in every layer and head, and rolled out through all layers.

Shapes: L layers, B batch, H heads, T positions (the class token and the patches), P patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sightline.errors import UsageError
from sightline.models.vit import rollout
from sightline.nn.context import PassContext, Recorder
from sightline.predict.brief import BriefRepr
from sightline.predict.reading import Reading


@dataclass(frozen=True, repr=False)
class PatchAttention(BriefRepr):
    """What a Vision Transformer's class token attends to in one image.

    Attributes:
        pixels: the image as it was read, (Y, X, C) bytes. weights: of the class token over the patches, by layer and
            head: (L, H, rows, columns). rollout: how much of the class token comes from each patch by attention through
            all layers (rows, columns), scaled to sum to 1.
    """

    pixels: np.ndarray
    weights: np.ndarray
    rollout: np.ndarray


@torch.inference_mode()
def patch_attention(reading: Reading) -> PatchAttention:
    """What the class token attends to in one pass over an image.

    Raises UsageError for what is no image, and for a model that attends to nothing.
    """
    if reading.image is None:
        raise UsageError("patches are of images; this model reads text")
    if not reading.attention_sites:
        raise UsageError("this model attends to nothing, so no patch was looked at")
    recorder = Recorder(reading.attention_sites)
    reading.run(PassContext(recorder=recorder))
    weights_LBHTT = torch.stack([one.float().cpu() for (one,) in recorder.tensors.values()])
    side = round((len(reading.sides["position"]) - 1) ** 0.5)
    flow_P = rollout(weights_LBHTT, residual=reading.residual)[0, 0, 1:]
    over_patches = weights_LBHTT[:, 0, :, 0, 1:].unflatten(-1, (side, side))
    return PatchAttention(reading.image, over_patches.numpy(), (flow_P / flow_P.sum()).view(side, side).numpy())
