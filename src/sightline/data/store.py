"""What is made once from files and kept on disk: under the content it was made from, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from sightline.data.catalogue import CACHE_VARIABLE, default_cache_dir
from sightline.data.encoded import EncodedSide
from sightline.errors import DataError

Kept = TypeVar("Kept")
_STALE_SECONDS = 86_400


def keep(
    kind: str,
    recipe: dict[str, Any],
    write: Callable[[Path], dict[str, Any]],
    read: Callable[[Path, dict[str, Any]], Kept],
    cache_dir: str | Path | None = None,
) -> Kept:
    """What `write` once made by this recipe, from the cache where the same work was done before.

    Args:
        kind: the folder below the cache. recipe: all that the work depends on, as JSON values.
        write: fills an empty folder, and returns notes (JSON values).
        read: opens such a folder with its notes. It raises OSError, ValueError or KeyError where that is not whole.
        cache_dir: SIGHTLINE_CACHE, or else the user's cache directory, unless given.

    Raises DataError where the cache cannot be written.
    """
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]
    parent = Path(cache_dir or default_cache_dir()) / kind
    home = parent / key
    found = _opened(home, read)
    if found is None:
        try:
            _make(home, write, lambda: _opened(home, read) is not None)
        except OSError as error:
            raise DataError(
                f"{parent}: cannot keep prepared data here ({error.strerror or error}); set {CACHE_VARIABLE} to a "
                "directory with space"
            ) from error
        found = _opened(home, read)
    if found is None:
        raise DataError(f"{home}: prepared data cannot be read back; check the disk, or set {CACHE_VARIABLE} elsewhere")
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a directory; name a file in it") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def _opened(home: Path, read: Callable[[Path, dict[str, Any]], Kept]) -> Kept | None:
    """What lies in `home`, or None where there is nothing whole."""
    try:
        return read(home, json.loads((home / "meta.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError):
        return None


def _make(home: Path, write: Callable[[Path], dict[str, Any]], whole: Callable[[], bool]) -> None:
    """Writes everything beside `home` and renames it: nobody ever sees half of it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    _sweep(home.parent)
    folder = Path(tempfile.mkdtemp(prefix=".making-", dir=home.parent))
    try:
        notes = write(folder)
        with (folder / "meta.json").open("w", encoding="utf-8") as file:
            json.dump(notes, file)
            file.flush()
            os.fsync(file.fileno())
        if home.exists() and not whole():
            shutil.rmtree(home)
        try:
            folder.rename(home)
        except OSError:
            if not whole():  # Otherwise another process was first, with the same content.
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Removes what processes killed long ago have left."""
    for leftover in parent.glob(".making-*"):
        try:
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        except FileNotFoundError:
            continue


class SequenceWriter:
    """Appends sequences of token ids to the two files `read_sequences` maps: flat tokens, and offsets.

    With `whole` they are one sequence, of which only the end is kept as an offset.
    """

    def __init__(self, folder: Path, name: str, vocab_size: int, whole: bool = False) -> None:
        self.dtype = "uint16" if vocab_size < 1 << 16 else "uint32"
        self.written = 0  # tokens
        self._tokens = (folder / f"{name}.tokens").open("wb")
        self._offsets = (folder / f"{name}.offsets").open("wb")
        self._whole = whole
        np.zeros(1, np.int64).tofile(self._offsets)

    def write(self, sequences: Sequence[Sequence[int]]) -> None:
        ends = self.written + np.cumsum([len(ids) for ids in sequences], dtype=np.int64)
        total = sum(map(len, sequences))
        np.fromiter(chain.from_iterable(sequences), self.dtype, total).tofile(self._tokens)
        if not self._whole:
            ends.tofile(self._offsets)
        self.written += total

    def __enter__(self) -> SequenceWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._whole:
            np.array([self.written], np.int64).tofile(self._offsets)
        for file in (self._tokens, self._offsets):
            file.flush()
            os.fsync(file.fileno())
            file.close()


def read_sequences(home: Path, name: str, dtype: str, tokens: int, count: int) -> EncodedSide:
    """The `count` sequences, `tokens` ids in all, that a `SequenceWriter` wrote, mapped into memory."""
    return EncodedSide(
        _mapped(home / f"{name}.tokens", dtype, tokens), _mapped(home / f"{name}.offsets", "int64", count + 1)
    )


def read_numbers(path: Path, count: int) -> np.ndarray:
    """A file of `count` int64 numbers, mapped into memory."""
    return _mapped(path, "int64", count)


def _mapped(path: Path, dtype: str, size: int) -> np.ndarray:
    if path.stat().st_size != size * np.dtype(dtype).itemsize:
        raise ValueError(f"{path}: wrong size")
    return np.memmap(path, dtype=dtype, mode="r", shape=(size,)) if size else np.zeros(0, dtype)
