"""Vision Transformers as Hugging Face directories hold them, read and written: config.json, preprocessor_config.json
and model.safetensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import Field, JsonValue, PositiveFloat

from sightline.data.pixels import Fit
from sightline.errors import DataError, UsageError
from sightline.interop.folders import (
    CONFIG,
    ForeignRecord,
    activation_name,
    as_record,
    present,
    read_activation,
    read_record,
    require_fixed,
    write_folder,
)
from sightline.interop.weights import (
    Ignored,
    Shape,
    TensorFiles,
    WeightRow,
    for_layers,
    lay_out,
    linear,
    read_weights,
)
from sightline.models.vit import ViT, ViTSizes
from sightline.tasks.exchange import ExchangedModel, Pixels

PREPROCESSOR = "preprocessor_config.json"
HEAD_BIAS = "classifier.bias"
WEIGHTS: tuple[WeightRow, ...] = (
    WeightRow("class_token", ("vit.embeddings.cls_token",)),
    WeightRow("positions", ("vit.embeddings.position_embeddings",)),
    *linear("patches", "vit.embeddings.patch_embeddings.projection"),
    *linear(
        "blocks.#.self_attention",
        *(f"vit.encoder.layer.#.attention.attention.{one}" for one in ("query", "key", "value")),
    ),
    *linear("blocks.#.self_attention.output", "vit.encoder.layer.#.attention.output.dense"),
    *linear("blocks.#.self_norm", "vit.encoder.layer.#.layernorm_before"),
    *linear("blocks.#.feed_forward_norm", "vit.encoder.layer.#.layernorm_after"),
    *linear("blocks.#.feed_forward.inner", "vit.encoder.layer.#.intermediate.dense"),
    *linear("blocks.#.feed_forward.outer", "vit.encoder.layer.#.output.dense"),
    *linear("norm", "vit.layernorm"),
    *linear("head", "classifier"),
)
IGNORED = (Ignored(r"vit\.pooler\.dense\.(weight|bias)", "the classifier reads the class token itself, not pooled"),)
# How the other toolkit says what becomes of images that are not square; only some of its processors cut.
FITTING: dict[Fit, Callable[[int], dict[str, JsonValue]]] = {
    "squash": lambda side: {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}},
    "crop": lambda side: {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side},
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
    },
}
BILINEAR, BICUBIC = 2, 3  # of PIL's ways to scale; images are scaled in the first one here
# What ViT fixes and Sightline lets one choose, beside what all blocks have.
FIXED = {"pre_norm": True}


class ViTConfig(ForeignRecord):
    """What is read of a Vision Transformer's config.json."""

    model_type: str
    architectures: list[str] | None = None
    image_size: int = Field(224, ge=1, lt=1 << 20)
    num_channels: int = Field(3, ge=1, lt=1 << 20)
    patch_size: int = Field(16, ge=1, lt=1 << 20)
    hidden_size: int = Field(ge=1, lt=1 << 31)
    num_hidden_layers: int = Field(ge=1, lt=1 << 31)
    num_attention_heads: int = Field(ge=1, lt=1 << 31)
    intermediate_size: int = Field(ge=1, lt=1 << 31)
    layer_norm_eps: float = Field(1e-12, gt=0)
    hidden_dropout_prob: float = Field(0.0, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.0, ge=0, lt=1)
    hidden_act: str = "gelu"
    qkv_bias: bool = True
    id2label: dict[int, str | int | float] | None = None

    def sizes(self, where: Path) -> ViTSizes:
        """Raises DataError for what a Vision Transformer cannot be here."""
        if self.model_type != "vit" or not self.qkv_bias:
            raise DataError(f"{where}: not a ViT with biases, which is what can be read")
        values = {
            "image_size": self.image_size,
            "channels": self.num_channels,
            "patch_size": self.patch_size,
            "d_model": self.hidden_size,
            "num_layers": self.num_hidden_layers,
            "num_heads": self.num_attention_heads,
            "d_ff": self.intermediate_size,
            "norm_epsilon": self.layer_norm_eps,
            "dropout": self.hidden_dropout_prob,
            "attention_dropout": self.attention_probs_dropout_prob,
            "activation": read_activation(self.hidden_act, "hidden_act", where),
        }
        return as_record(ViTSizes, values, where)


class Side(ForeignRecord):
    """A size in pixels."""

    height: int | None = None
    width: int | None = None
    shortest_edge: int | None = None


class Preprocessor(ForeignRecord):
    """What is read of a preprocessor_config.json: how images become numbers."""

    image_processor_type: str | None = None
    feature_extractor_type: str | None = None
    do_resize: bool | None = True
    size: Side | int | None = None
    resample: int | None = None
    do_center_crop: bool | None = False
    crop_size: Side | int | None = None
    do_rescale: bool | None = True
    rescale_factor: PositiveFloat = 1 / 255
    do_normalize: bool | None = True
    image_mean: tuple[float, ...] | float | None = None
    image_std: tuple[float, ...] | float | None = None

    def pixels(self, sizes: ViTSizes, where: Path) -> Pixels:
        """How images are prepared. Raises DataError for a step that cannot be done the same here."""
        side, channels = sizes.image_size, sizes.channels
        named = f"{self.image_processor_type} {self.feature_extractor_type}"
        resample = (BICUBIC if "CLIP" in named else BILINEAR) if self.resample is None else self.resample
        if resample != BILINEAR:
            raise DataError(f"{where}: resample {resample}; images are scaled bilinearly here, which is {BILINEAR}")
        if self.do_resize is False:
            raise DataError(f"{where}: do_resize false; images are scaled to the model's size here")
        # where a size names the shortest edge alone, what is longer is cut off
        crops = bool(self.do_center_crop) and not (isinstance(self.size, Side) and self.size.shortest_edge is None)
        cut = self.crop_size if crops else None
        for size in filter(None, (self.size, cut)):
            edges = _edges(size)
            if edges != {side} or (isinstance(size, Side) and size.shortest_edge and not crops):
                raise DataError(f"{where}: images become {sorted(edges)} pixels wide, not image_size {side} each way")
        mean, std = (_by_channel(one, channels, where) for one in (self.image_mean, self.image_std))
        if not self.do_normalize:
            mean, std = (0.0,) * channels, (1.0,) * channels
        if min(std) <= 0:
            raise DataError(f"{where}: image_std {list(std)} must be above 0")
        # theirs are of pixels times a factor, ours of pixels over 255
        largest = 255 * (self.rescale_factor if self.do_rescale is not False else 1.0)
        mean, std = (tuple(value / largest for value in one) for one in (mean, std))
        return Pixels(mean, std, "crop" if crops else "squash")


def _edges(size: Side | int) -> set[int]:
    """The lengths of edges that a size names."""
    named = (size.height, size.width, size.shortest_edge) if isinstance(size, Side) else (size,)
    return {edge for edge in named if edge is not None}


def _by_channel(values: tuple[float, ...] | float | None, channels: int, where: Path) -> tuple[float, ...]:
    if isinstance(values, tuple) and len(values) != channels:
        raise DataError(f"{where}: {len(values)} means or deviations for {channels} channels")
    return values if isinstance(values, tuple) else (0.5 if values is None else values,) * channels


def _shapes(sizes: ViTSizes) -> dict[str, Shape]:
    """The other toolkit's shapes where they have axes of length one, or the axes of a patch."""
    return {
        "class_token": (1, 1, sizes.d_model),
        "positions": (1, sizes.side**2 + 1, sizes.d_model),
        "patches.weight": (sizes.d_model, sizes.channels, sizes.patch_size, sizes.patch_size),
    }


def read_vit(folder: str | Path) -> ExchangedModel:
    """A Vision Transformer with a classifier, of Hugging Face's layout.

    Several classes of one name have their number in it: "crane", "crane (517)".

    Raises:
        DataError, CheckpointError: naming the file or the tensor that is missing, damaged or of another kind of model.
    """
    folder = Path(folder)
    where = folder / CONFIG
    config = read_record(ViTConfig, where)
    sizes = config.sizes(where)
    files = TensorFiles(folder, "vit.", ("classifier.",))
    if HEAD_BIAS not in files:
        raise DataError(f"{folder}: the weights lack {HEAD_BIAS}; a classifier is what can be read")
    outputs = files.rows(HEAD_BIAS)
    rows, make = for_layers(WEIGHTS, sizes.num_layers), partial(ViT, sizes, outputs)
    weights = read_weights(files, rows, make, (), ignored=IGNORED, shapes=_shapes(sizes))
    classes: dict[str, int] = {}
    for number in range(outputs):
        name = str((config.id2label or {}).get(number, f"LABEL_{number}"))
        classes[f"{name} ({number})" if name in classes else name] = number
    notes = folder / PREPROCESSOR
    prepared = (read_record(Preprocessor, notes) if present(notes) else Preprocessor()).pixels(sizes, notes)
    architecture = (config.architectures or ["ViTForImageClassification"])[0]
    return ExchangedModel(
        "image_classes", sizes, weights, architecture=architecture, labels=tuple(classes), pixels=prepared
    )


def write_vit(folder: str | Path, model: ExchangedModel) -> str:
    """Writes what `read_vit` and the transformers library read.

    Raises UsageError where the model is not of ViT's kind, naming what is not.
    """
    folder, sizes, pixels = Path(folder), model.sizes, model.pixels
    if not isinstance(sizes, ViTSizes) or pixels is None:
        raise UsageError(f"{folder}: a {sizes.kind} model has no place in ViT")
    require_fixed(sizes, FIXED, "ViT")
    config: dict[str, JsonValue] = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "image_size": sizes.image_size,
        "num_channels": sizes.channels,
        "patch_size": sizes.patch_size,
        "hidden_size": sizes.d_model,
        "num_hidden_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_heads,
        "intermediate_size": sizes.d_ff,
        "hidden_act": activation_name(sizes.activation, "ViT"),
        "layer_norm_eps": sizes.norm_epsilon,
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": sizes.attention_dropout,
        "qkv_bias": True,
        "id2label": {str(i): name for i, name in enumerate(model.labels)},
        "label2id": {name: i for i, name in enumerate(model.labels)},
        "torch_dtype": "float32",
    }
    scaling: dict[str, JsonValue] = {
        **FITTING[pixels.fit](sizes.image_size),
        "do_resize": True,
        "resample": BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(pixels.mean),
        "image_std": list(pixels.std),
    }
    tensors = lay_out(model.weights, for_layers(WEIGHTS, sizes.num_layers), (), shapes=_shapes(sizes))
    write_folder(folder, {CONFIG: config, PREPROCESSOR: scaling}, tensors)
    return ""
