"""Hugging Face directories: what reading and writing them has in common."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from sightline.errors import CheckpointError, DataError, UsageError
from sightline.train import storage

Sizes = TypeVar("Sizes", bound=BaseModel)
# Their names of activations, and ours.
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"}


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a folder with a model in it") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); fetch it again") from None
    if type(found) is not dict:
        raise DataError(f"{path}: not a JSON object; fetch it again")
    return found


def read_tensors(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    files = ["model.safetensors"]
    if index.exists():
        listed = read_json(index).get("weight_map")
        if type(listed) is not dict or not listed:
            raise DataError(f"{index}: has no weight_map; fetch it again")
        files = sorted(set(map(str, listed.values())))
    if any(not re.fullmatch(r"[\w.-]+\.safetensors", name) for name in files):
        raise DataError(f"{index}: names a file outside the folder; do not trust it")
    if not (folder / files[0]).exists() and (folder / "pytorch_model.bin").exists():
        raise DataError(f"{folder}: only a pickle of weights, which is never read; fetch model.safetensors")
    tensors: dict[str, Tensor] = {}
    for name in files:
        tensors |= storage.read_tensors(folder / name)
    return tensors


def our_activation(config: Mapping[str, Any], key: str, usual: str, where: Path) -> str:
    """The activation that a config.json names under `key`. Raises DataError for one that there is not here."""
    name = str(config.get(key, usual))
    if name not in ACTIVATIONS:
        raise DataError(f"{where}: {key} {name!r} is not supported")
    return ACTIVATIONS[name]


def their_activation(name: str, model: str) -> str:
    """The activation as a config.json names it. Raises UsageError where `model` has no such."""
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    if name not in names:
        raise UsageError(f"model.activation: {name!r} has no place in {model}")
    return names[name]


def require(sizes: BaseModel, fixed: Mapping[str, Any], model: str) -> None:
    """Raises UsageError where a size that another `model` fixes is something else."""
    for name, value in fixed.items():
        if getattr(sizes, name) != value:
            raise UsageError(f"model.{name}: {getattr(sizes, name)!r} has no place in {model}, which has {value!r}")


def read_sizes(
    schema: type[Sizes],
    values: Mapping[str, tuple[str, Any]],
    config: Mapping[str, Any],
    where: Path,
    own: Mapping[str, Any],
) -> Sizes:
    """Sizes from a config.json: for each of our names theirs and what stands where theirs is missing; and `own` ones.

    Raises DataError for one that is needed (its default is ...) and missing, or out of range.
    """
    found = dict(own)
    for ours, (theirs, usual) in values.items():
        if theirs not in config and usual is ...:
            raise DataError(f"{where}: has no {theirs!r}; it is another kind of model")
        found[ours] = config.get(theirs, usual)
    try:
        return schema.model_validate(found)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(map(str, problem["loc"])) or "sizes"
        raise DataError(f"{where}: {name}: {problem['msg']}") from None


def check_shapes(folder: Path, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError where weights are not of the shapes that a model (on the meta device) wants."""
    wanted = dict(model.named_parameters())
    for name, tensor in weights.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{folder}: {name} is {list(tensor.shape)}, and config.json and the tokenizer make it "
                f"{list(wanted[name].shape)}; they do not belong together"
            )


def write_folder(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes config.json and model.safetensors. Raises OSError."""
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    storage.write_file(folder / "model.safetensors", storage.safetensors_blocks(dict(tensors), {"format": "pt"}))
