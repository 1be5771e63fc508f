"""Vision Transformers as Hugging Face directories hold them: two files of settings, model.safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.data.pixels import Fit
from sightline.errors import CheckpointError, DataError, UsageError
from sightline.interop.folders import (
    check_shapes,
    our_activation,
    read_json,
    read_sizes,
    read_tensors,
    require,
    their_activation,
    write_folder,
)
from sightline.models.vit import ViT, ViTSizes

# The weight map: our names, theirs. "#" is the number of a block. Where there are several of theirs, ours is those one
# below the other. Their shapes differ where they have axes of length one, or the axes of a patch.
_LINEAR = ("weight", "bias")
WEIGHTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("class_token", ("vit.embeddings.cls_token",)),
    ("positions", ("vit.embeddings.position_embeddings",)),
    *((f"patches.{part}", (f"vit.embeddings.patch_embeddings.projection.{part}",)) for part in _LINEAR),
    *(
        (f"blocks.#.self_attention.{part}",
         tuple(f"vit.encoder.layer.#.attention.attention.{one}.{part}" for one in ("query", "key", "value")))
        for part in _LINEAR
    ),
    *(
        (f"blocks.#.{ours}.{part}", (f"vit.encoder.layer.#.{theirs}.{part}",))
        for ours, theirs in (
            ("self_attention.output", "attention.output.dense"),
            ("self_norm", "layernorm_before"),
            ("feed_forward_norm", "layernorm_after"),
            ("feed_forward.inner", "intermediate.dense"),
            ("feed_forward.outer", "output.dense"),
        )
        for part in _LINEAR
    ),
    *((f"norm.{part}", (f"vit.layernorm.{part}",)) for part in _LINEAR),
    *((f"head.{part}", (f"classifier.{part}",)) for part in _LINEAR),
)  # fmt: skip
# How they say what becomes of images that are not square; only some of their processors cut.
_FITTING: dict[Fit, Callable[[int], dict[str, Any]]] = {
    "squash": lambda side: {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}},
    "crop": lambda side: {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side},
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
    },
}
# What ViT fixes and Sightline lets one choose.
FIXED = {"positions": "learned", "norm": "layer", "pre_norm": True}


@dataclass(frozen=True)
class Imported:
    """A Vision Transformer in Sightline's terms; `mean` and `std` are of pixels of 0 to 1, by channel.

    Several classes of one name have their number in it: "crane", "crane (517)".
    """

    sizes: ViTSizes
    weights: dict[str, Tensor]  # by our names
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit


def names(layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(our name, theirs) of every tensor."""
    for ours, theirs in WEIGHTS:
        for number in range(layers) if "#" in ours else (0,):
            yield ours.replace("#", str(number)), tuple(one.replace("#", str(number)) for one in theirs)


def read_vit(folder: str | Path) -> Imported:
    """A Vision Transformer with a classifier, of Hugging Face's layout.

    Raises:
        DataError, CheckpointError: naming the file that is missing, damaged or of another kind of model.
    """
    folder = Path(folder)
    where = folder / "config.json"
    config = read_json(where)
    if config.get("model_type") != "vit" or not config.get("qkv_bias", True):
        raise DataError(f"{where}: not a ViT with biases, which is what can be read")
    values = {
        "image_size": ("image_size", 224),
        "channels": ("num_channels", 3),
        "patch_size": ("patch_size", 16),
        "d_model": ("hidden_size", ...),
        "num_layers": ("num_hidden_layers", ...),
        "num_heads": ("num_attention_heads", ...),
        "d_ff": ("intermediate_size", ...),
        "norm_epsilon": ("layer_norm_eps", 1e-12),
        "dropout": ("hidden_dropout_prob", 0.0),
        "attention_dropout": ("attention_probs_dropout_prob", 0.0),
    }
    own = {"activation": our_activation(config, "hidden_act", "gelu", where)}
    sizes = read_sizes(ViTSizes, values, config, where, own)
    found = read_tensors(folder)
    with torch.device("meta"):
        model = ViT(sizes, len(found.get("classifier.bias", ())))
    wanted = dict(model.named_parameters())
    weights: dict[str, Tensor] = {}
    for ours, theirs in names(sizes.num_layers):
        missing = next((name for name in theirs if name not in found), None)
        if missing is not None:
            raise CheckpointError(f"{folder}: the weights lack {missing}; a classifier is what can be read")
        whole = torch.cat([found[name] for name in theirs]).float()
        same = whole.numel() == wanted[ours].numel()
        weights[ours] = whole.reshape(wanted[ours].shape) if same else whole
    check_shapes(folder, model, weights)
    named = config.get("id2label") or {}
    classes: dict[str, int] = {}
    for number in range(len(weights["head.bias"])):
        name = str(named.get(str(number), f"LABEL_{number}"))
        classes[f"{name} ({number})" if name in classes else name] = number
    notes = folder / "preprocessor_config.json"
    mean, std = _scaling(read_json(notes) if notes.exists() else {}, sizes.channels)
    return Imported(sizes, weights, tuple(classes), mean, std, "squash")


def _scaling(notes: dict[str, Any], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What is subtracted from pixels of 0 to 1, and what they are divided by then."""
    if notes.get("do_normalize", True):
        mean, std = (np.array(notes.get(key, [0.5] * channels), float) for key in ("image_mean", "image_std"))
    else:
        mean, std = np.zeros(channels), np.ones(channels)
    # theirs are of pixels times a factor, ours of pixels over 255
    largest = 255 * float(notes.get("rescale_factor", 1 / 255) if notes.get("do_rescale", True) else 1)
    return tuple((mean / largest).tolist()), tuple((std / largest).tolist())


def write_vit(
    folder: str | Path,
    sizes: ViTSizes,
    weights: Mapping[str, Tensor],
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    fit: Fit,
) -> None:
    """Writes what `read_vit` and the transformers library read.

    Raises UsageError where the model is not of ViT's kind, naming what is not.
    """
    folder = Path(folder)
    require(sizes, FIXED, "ViT")
    config = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "image_size": sizes.image_size,
        "num_channels": sizes.channels,
        "patch_size": sizes.patch_size,
        "hidden_size": sizes.d_model,
        "num_hidden_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_heads,
        "intermediate_size": sizes.d_ff,
        "hidden_act": their_activation(sizes.activation, "ViT"),
        "layer_norm_eps": sizes.norm_epsilon,
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": sizes.attention_dropout,
        "qkv_bias": True,
        "id2label": {str(i): name for i, name in enumerate(classes)},
        "label2id": {name: i for i, name in enumerate(classes)},
        "torch_dtype": "float32",
    }
    shapes = {
        "class_token": (1, 1, sizes.d_model),
        "positions": (1, sizes.side**2 + 1, sizes.d_model),
        "patches.weight": (sizes.d_model, sizes.channels, sizes.patch_size, sizes.patch_size),
    }
    tensors: dict[str, Tensor] = {}
    for ours, theirs in names(sizes.num_layers):
        parts = weights[ours].reshape(shapes.get(ours, weights[ours].shape)).chunk(len(theirs))
        tensors |= {name: part.contiguous() for name, part in zip(theirs, parts, strict=True)}
    scaling = {
        **_FITTING[fit](sizes.image_size),
        "do_resize": True,
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(scaling, indent=2), encoding="utf-8")
        write_folder(folder, config, tensors)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from None
