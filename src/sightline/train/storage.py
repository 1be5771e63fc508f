"""Directories of files that are written whole or not at all, and proved by size and SHA-256 when they are read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sightline.errors import CheckpointError

MANIFEST = "manifest.json"
TEMPORARY = ".tmp-"

# The names of dtypes in a safetensors header.
DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def safetensors_blocks(
    tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, one tensor at a time; `notes` go into its header.

    The library's own writer wants all bytes of all tensors in memory first, on top of the tensors themselves.
    """
    header: dict[str, Any] = {"__metadata__": dict(notes)} if notes else {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        dtype = DTYPE_NAMES[tensor.dtype]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for tensor in tensors.values():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            yield flat.view(torch.uint8).numpy().data


def json_blocks(value: Any) -> Iterator[bytes]:
    """The bytes of a JSON file. Floats are written so that the same float is read again."""
    yield json.dumps(value, indent=1).encode() + b"\n"


def write_directory(target: Path, files: Mapping[str, Iterable[bytes | memoryview]]) -> None:
    """Writes `files` and their manifest as the directory `target`, in one step as seen from outside.

    Everything goes to a temporary sibling first, is flushed to the device and read back; then the sibling is renamed
    and its parent flushed. At every instant `target` is what it was, or absent, or complete.

    Raises:
        CheckpointError: where the file system refuses; the temporary directory is removed then.
    """
    temporary = target.with_name(TEMPORARY + target.name)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        manifest = {name: write_file(temporary / name, blocks) for name, blocks in files.items()}
        write_file(temporary / MANIFEST, json_blocks({"format": 1, "files": manifest}))
        _sync_directory(temporary)
        verify_directory(temporary)
        aside = _set_aside(target) if target.exists() else None
        os.rename(temporary, target)
        _sync_directory(target.parent)
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"{target}: cannot be written ({error.strerror or error}); make room or mend the permissions and run the "
            "same command again, which goes on from the checkpoint before"
        ) from error
    except CheckpointError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_directory(target: Path) -> None:
    """Removes a directory so that an interruption leaves none that looks complete."""
    shutil.rmtree(_set_aside(target), ignore_errors=True)


def clean(parent: Path) -> None:
    """Removes what interrupted writes and removals left in `parent`."""
    for leftover in parent.glob(TEMPORARY + "*"):
        shutil.rmtree(leftover, ignore_errors=True)


def verify_directory(directory: Path) -> None:
    """Checks the size and SHA-256 of every file.

    Raises:
        CheckpointError: naming the first file that is missing, of another size or of other content.
    """
    manifest = read_json(directory / MANIFEST)
    try:
        expected = {str(name): (int(entry["size"]), str(entry["sha256"])) for name, entry in manifest["files"].items()}
    except (TypeError, KeyError, ValueError, AttributeError):
        raise CheckpointError(f"{directory / MANIFEST}: damaged (not a manifest)") from None
    for name, (size, digest) in expected.items():
        path = directory / name
        try:
            found = path.stat().st_size
            if found != size:
                raise CheckpointError(f"{path}: damaged ({found:,} bytes, not {size:,})")
            if _digest(path) != digest:
                raise CheckpointError(f"{path}: damaged (its content is not what was written)")
        except FileNotFoundError:
            raise CheckpointError(f"{path}: missing") from None
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path: Path) -> Any:
    """A JSON file. Raises CheckpointError where there is none or it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise CheckpointError(f"{path}: damaged (not JSON)") from None


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Tensors of a safetensors file, all or those named. Raises CheckpointError where the file is damaged."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}


def tensor_names(path: Path) -> set[str]:
    """Names of the tensors in a safetensors file. Raises CheckpointError where the file is damaged."""
    with _opened(path) as file:
        return set(file.keys())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged ({error})") from None


@torch.no_grad()
def copy_tensors(source: Mapping[str, Tensor], target: Mapping[str, Tensor], where: Path | str) -> None:
    """Copies every tensor of `source` into the one of the same name, once all are known to fit.

    Raises:
        CheckpointError: where a tensor is missing, superfluous or of another shape or dtype; nothing is copied then.
    """
    if source.keys() != target.keys():
        missing, superfluous = sorted(target.keys() - source.keys()), sorted(source.keys() - target.keys())
        what = f"has no {missing[0]}" if missing else f"has {superfluous[0]}, which the model has not"
        raise CheckpointError(f"{where}: {what}; the checkpoint belongs to another model")
    for name, tensor in target.items():
        found = source[name]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise CheckpointError(
                f"{where}: {name} is {found.dtype} {list(found.shape)}, not {tensor.dtype} {list(tensor.shape)}; "
                "the checkpoint belongs to another model"
            )
    for name, tensor in target.items():
        tensor.copy_(source[name])


def persistent_tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers of a model by name; tied ones once. Not copies."""
    persistent = model.state_dict(keep_vars=True).keys()
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in persistent}
    return {**dict(model.named_parameters()), **buffers}


def write_file(path: Path, blocks: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Writes and flushes a file; returns its entry in the manifest, computed from what was meant to be written."""
    digest = hashlib.sha256()
    size = 0
    with open(path, "wb", buffering=0) as file:
        for block in blocks:
            rest = memoryview(block)
            digest.update(rest)
            size += len(rest)
            while rest:
                rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    return {"size": size, "sha256": digest.hexdigest()}


def entry(path: Path) -> dict[str, Any]:
    """A file's entry in a manifest: its size in bytes and its SHA-256."""
    return {"size": path.stat().st_size, "sha256": _digest(path)}


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _set_aside(target: Path) -> Path:
    aside = target.with_name(f"{TEMPORARY}old-{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(target, aside)
    return aside


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":  # directories cannot be opened there, and NTFS journals the rename
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
