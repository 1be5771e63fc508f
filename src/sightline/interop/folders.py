"""Hugging Face directories: what reading and writing them has in common. Nothing outside the directory is ever read."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from torch import Tensor

from sightline.errors import DataError, UsageError
from sightline.nn.blocks import BlockOptions
from sightline.train import storage

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
LARGEST_JSON = 256 << 20  # bytes; the largest tokenizer.json in use has some 35 MB
Record = TypeVar("Record", bound=BaseModel)
_OBJECT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])
# Hugging Face's names of activations, and ours.
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"}
# What the blocks of all models that are written fix and Sightline lets one choose, beside heads of one width for
# queries, keys and values.
FIXED_BLOCKS = {"positions": "learned", "norm": "layer", "residual": True, "attention_scale": "sqrt_d_k"}


class ForeignRecord(BaseModel):
    """What is read of a JSON file of another toolkit; keys that are not named are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


def present(path: Path) -> bool:
    """Whether a folder has something of that name, be it a link that leads nowhere."""
    return path.exists() or path.is_symlink()


def regular_file(path: Path) -> Path:
    """`path`, where it is a regular file of its folder.

    A link may lead to another file of the folder or, as in Hugging Face's cache, from snapshots/REVISION into blobs.

    Raises DataError for a missing file, a device, a pipe and a link out of the folder.
    """
    try:
        real, folder = path.resolve(strict=True), path.parent.resolve()
        regular = stat.S_ISREG(real.stat().st_mode)
    except FileNotFoundError:
        raise DataError(f"{path}: cannot be read (no such file); name a folder with a model in it") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); name a folder with a model in it") from None
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    if not (real.is_relative_to(folder) or real.is_relative_to(blobs)):
        raise DataError(f"{path}: is a link out of the folder; put the file itself there")
    if not regular:
        raise DataError(f"{path}: is not a regular file; name a folder with a model in it")
    return real


def read_text(path: Path) -> str:
    """A small UTF-8 file of a folder. Raises DataError where it is missing, too large or not UTF-8."""
    real = regular_file(path)
    try:
        if real.stat().st_size > LARGEST_JSON:
            raise DataError(f"{path}: larger than {LARGEST_JSON >> 20} MiB; this is not what the name says")
        # as bytes: no line end is to be changed
        return real.read_bytes().decode()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a folder with a model in it") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; fetch it again") from None


def read_json(path: Path) -> dict[str, JsonValue]:
    """A JSON object. Raises DataError where there is none; NaN and Infinity are no JSON."""
    return parse_json(read_text(path), path)


def parse_json(text: str | bytes, where: Path) -> dict[str, JsonValue]:
    """The object that a JSON text is. Raises DataError naming `where`."""
    try:
        return _OBJECT.validate_python(json.loads(text, parse_constant=_no_number))
    except RecursionError:
        raise DataError(f"{where}: nested too deeply; fetch it again") from None
    except ValidationError:
        raise DataError(f"{where}: not a JSON object; fetch it again") from None
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}); fetch it again") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def read_record(schema: type[Record], path: Path) -> Record:
    """A JSON file as a typed record. Raises DataError naming the first key that is missing or wrong."""
    return as_record(schema, read_json(path), path)


def as_record(schema: type[Record], values: Mapping[str, object], where: Path) -> Record:
    """`values` as a typed record. Raises DataError naming `where` and the first key that is missing or wrong."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(map(str, problem["loc"]))[:80]
        if problem["type"] == "missing":
            raise DataError(f"{where}: has no {name!r}; it is another kind of model") from None
        if problem["type"] == "value_error":
            message = str(problem.get("ctx", {}).get("error"))
        else:
            message = f"{problem['msg'][0].lower()}{problem['msg'][1:]}, not {repr(problem['input'])[:40]}"
        raise DataError(f"{where}: {name}: {message}" if name else f"{where}: {message}") from None


def read_activation(name: str, key: str, where: Path) -> str:
    """Our name of the activation that a config.json names under `key`. Raises DataError for one that there is not."""
    if name not in ACTIVATIONS:
        raise DataError(f"{where}: {key} {name!r} is not supported; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def activation_name(name: str, model: str) -> str:
    """Our activation as a config.json names it. Raises UsageError where `model` has no such."""
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    if name not in names:
        raise UsageError(f"model.activation: {name!r} has no place in {model}")
    return names[name]


def require_fixed(sizes: BlockOptions, fixed: Mapping[str, object], model: str) -> None:
    """Raises UsageError where another toolkit's `model` has something else than an option of blocks, or one of the
    sizes in `fixed`, says."""
    # what these mean where they are not set, which may as well be said
    unset = {"num_kv_heads": sizes.num_heads, "value_width": sizes.d_model}
    values = sizes.model_dump()
    for name, value in {**FIXED_BLOCKS, **unset, **fixed}.items():
        found = unset.get(name) if values[name] is None else values[name]
        if found != value:
            raise UsageError(f"model.{name}: {found!r} has no place in {model}, which has {value!r}")


def write_folder(folder: Path, files: Mapping[str, Mapping[str, object] | str], tensors: Mapping[str, Tensor]) -> None:
    """Writes a directory: JSON objects and texts by file name, and model.safetensors.

    Raises UsageError where the file system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        blocks = storage.safetensors_blocks(dict(tensors), {"format": "pt"})
        storage.write_file(folder / "model.safetensors", blocks)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from None
