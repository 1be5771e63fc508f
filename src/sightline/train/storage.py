"""Files that are written whole or not at all and read within bounds; safetensors files among them."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sightline.errors import CheckpointError, SightlineError

# Whatever begins like this is unfinished or being removed, and belongs to nobody once its process is gone.
TEMPORARY = ".tmp-"
# Bytes of a configuration, a manifest or a state file; the largest that was ever written had a few thousand.
LARGEST_TEXT = 1 << 20
# A network file system or a worn disk may fail once and read well the next time.
READ_ATTEMPTS = 3

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


@dataclass(frozen=True)
class FileDigest:
    """Size in bytes and SHA-256 (hexadecimal) of a file's content."""

    size: int
    sha256: str


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


def write_file(path: Path, blocks: Iterable[bytes | memoryview]) -> FileDigest:
    """Writes a file and flushes it to the device; its digest, computed from what was meant to be written."""
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
    return FileDigest(size, digest.hexdigest())


def write_temporary(path: Path, blocks: Iterable[bytes | memoryview]) -> FileDigest:
    """Writes what is to replace `path` beside it, for `move_into_place`. Raises OSError, and leaves nothing then."""
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        temporary.unlink(missing_ok=True)
        return write_file(temporary, blocks)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def move_into_place(path: Path) -> None:
    """Makes what `write_temporary` wrote the file `path`, durably. Raises OSError."""
    os.replace(path.with_name(TEMPORARY + path.name), path)
    sync_directory(path.parent)


def replace_file(path: Path, blocks: Iterable[bytes | memoryview]) -> FileDigest:
    """Writes a file in one step as seen from outside: at every instant it is what it was, or absent, or complete.

    Raises SightlineError where the file system refuses; the file is what it was then.
    """
    with writing(path):
        digest = write_temporary(path, blocks)
        move_into_place(path)
    return digest


def replace_text(path: Path, text: str) -> FileDigest:
    """The same of UTF-8 text."""
    return replace_file(path, [text.encode()])


@contextmanager
def writing(path: Path) -> Generator[None, None, None]:
    """Turns a refusal of the file system into one line that names `path`."""
    try:
        yield
    except OSError as error:
        raise SightlineError(
            f"{path}: cannot be written ({error.strerror or error}); make room or mend the permissions and run the "
            "same command again"
        ) from error


class Presence:
    """Whether a directory is still the one it was: not removed, nor removed and made anew by somebody else."""

    def __init__(self, directory: Path, marker: str = "config.toml") -> None:
        """`marker` names a file that, where it is there now, is there as long as the directory is."""
        self._directory, self._marker = directory, directory / marker
        self._marked = self._marker.exists()
        self._identity = self._found()

    def _found(self) -> tuple[int, int] | None:
        try:
            status = self._directory.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @property
    def there(self) -> bool:
        return self._found() == self._identity and (not self._marked or self._marker.exists())

    def require(self) -> None:
        """Raises SightlineError where it is not."""
        if not self.there:
            raise SightlineError(
                f"{self._directory}: was removed while it was trained; training has ended, and nothing is written there"
            )


def sync_directory(directory: Path) -> None:
    """Flushes the names in a directory to the device."""
    if os.name == "nt":  # directories cannot be opened there, and NTFS journals the rename
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> FileDigest:
    """Size and SHA-256 of a file; a read that fails is tried again. Raises OSError."""
    for attempt in range(READ_ATTEMPTS):
        try:
            with open(path, "rb") as file:
                return FileDigest(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())
        except FileNotFoundError:
            raise
        except OSError:
            if attempt + 1 == READ_ATTEMPTS:
                raise
    raise AssertionError


def require_inside(root: Path, name: str) -> Path:
    """The path of a regular file that is named in a directory from elsewhere.

    Raises CheckpointError where the name or a link leads out of the directory, and for pipes and devices.
    """
    path = root / name
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise CheckpointError(f"{root}: {name!r} is no name of a file inside it; the directory is damaged")
    try:
        status = path.stat()
        if not path.resolve().is_relative_to(root.resolve()):
            raise CheckpointError(f"{path}: is a link out of {root}; put the file itself there")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:  # half a surrogate pair
        raise CheckpointError(f"{root}: {name!r} is no name of a file inside it; the directory is damaged") from None
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path}: is not a regular file; restore it from a copy")
    return path


def read_bytes(root: Path, name: str, limit: int = LARGEST_TEXT) -> bytes:
    """All of a file inside the directory `root`.

    Raises CheckpointError where it is missing, no regular file inside of `root`, or larger than `limit` bytes.
    """
    path = require_inside(root, name)
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > limit:
        raise CheckpointError(f"{path}: is larger than {limit:,} bytes; restore it from a copy")
    return content


def read_json(root: Path, name: str) -> Any:
    """A JSON file inside the directory `root`. Raises CheckpointError where there is none or it is damaged."""
    content = read_bytes(root, name)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # the latter of brackets in brackets
        raise CheckpointError(f"{root / name}: damaged (not JSON)") from None


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Tensors of a safetensors file, all or those named. Raises CheckpointError where the file is damaged."""
    with opened(path) as file:
        return {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}


def tensor_names(path: Path) -> set[str]:
    """Names of the tensors in a safetensors file. Raises CheckpointError where the file is damaged."""
    with opened(path) as file:
        return set(file.keys())


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a safetensors file, from its head. Raises CheckpointError where the file is damaged."""
    with opened(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@contextmanager
def opened(path: Path) -> Generator[Any, None, None]:
    """The tensors of a safetensors file, read as needed. Raises CheckpointError where it is missing or damaged."""
    try:
        file: Any = safe_open(path, framework="pt")
        with file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged ({error})") from None


def require_fit(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: Path | str) -> None:
    """Raises CheckpointError where a tensor is missing, superfluous or of another shape or dtype than expected."""
    if found.keys() != expected.keys():
        missing, superfluous = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        what = f"has no {missing[0]}" if missing else f"has {superfluous[0]}, which the model has not"
        raise CheckpointError(f"{where}: {what}; the checkpoint belongs to another model")
    for name, tensor in expected.items():
        other = found[name]
        if other.shape != tensor.shape or other.dtype != tensor.dtype:
            raise CheckpointError(
                f"{where}: {name} is {other.dtype} {list(other.shape)}, not {tensor.dtype} {list(tensor.shape)}; "
                "the checkpoint belongs to another model"
            )


def require_finite(tensors: Mapping[str, Tensor], where: Path | str) -> None:
    """Raises CheckpointError where a tensor holds nan or infinity: nothing that such weights say is a number."""
    for name, tensor in tensors.items():
        # nan and infinity stay in a sum, which is read off ten times as fast; a sum may overflow by itself
        suspect = tensor.is_floating_point() and not math.isfinite(float(tensor.detach().sum()))
        if suspect and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{where}: {name} holds nan or infinity; train the run anew, or restore it from a copy"
            )


@torch.no_grad()
def copy_tensors(source: Mapping[str, Tensor], target: Mapping[str, Tensor], where: Path | str) -> None:
    """Copies every tensor of `source` into the one of the same name, once all are known to fit.

    Raises:
        CheckpointError: where a tensor is missing, superfluous or of another shape or dtype; nothing is copied then.
    """
    require_fit(source, target, where)
    for name, tensor in target.items():
        tensor.copy_(source[name])


def persistent_tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers of a model by name; tied ones once. Not copies."""
    return {**dict(model.named_parameters()), **persistent_buffers(model)}


def persistent_buffers(model: torch.nn.Module) -> dict[str, Tensor]:
    """What a model keeps beside its parameters, such as running statistics, by name. Not copies."""
    persistent = model.state_dict(keep_vars=True).keys()
    return {name: buffer for name, buffer in model.named_buffers() if name in persistent}
