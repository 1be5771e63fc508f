"""Data prepared once and cached: keyed by what it was made from, written whole or not at all, verified when opened."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
from filelock import BaseFileLock, Timeout
from pydantic import ValidationError

from sightline.config import Frozen
from sightline.data.catalogue import CACHE_VARIABLE, default_cache_dir
from sightline.data.encoded import EncodedSequences
from sightline.data.locks import acquire, lock_at
from sightline.data.progress import Report, silent
from sightline.data.sources import file_digest
from sightline.errors import DataError
from sightline.jsonio import Json

T = TypeVar("T")
Notes = TypeVar("Notes", bound=Frozen)

_FORMAT = 2  # To be raised when the files below change their meaning.
_META, _UNFINISHED = "meta.json", ".making-"
_CHUNK_RECORDS = 4096
_CHUNK_CHARACTERS = 1 << 22


class DamagedError(Exception):
    """A cached folder that is not what was written."""


def cached(
    kind: str,
    made_from: Mapping[str, Json],
    notes_type: type[Notes],
    write: Callable[[Path], Notes],
    read: Callable[[Path, Notes], T],
    *,
    cache_dir: str | Path | None = None,
    report: Report = silent,
) -> T:
    """What `write` makes, from the cache where the same was made before and is whole.

    Args:
        kind: the folder below the cache.
        made_from: all that the result depends on, as JSON values. Its SHA-256 is the key.
        write: fills an empty folder with files, and returns notes on them, of `notes_type`.
        read: opens such a folder with its notes.
        cache_dir: SIGHTLINE_CACHE, or else the user's cache directory, unless given.
        report: called with a line where a cached folder is damaged and is made again.

    Every file's size and SHA-256 are recorded when it is written and checked when it is opened. Raises DataError where
    the cache cannot be written.
    """
    recipe = json.dumps({"format": _FORMAT, "kind": kind, **made_from}, sort_keys=True)
    key = hashlib.sha256(recipe.encode()).hexdigest()[:32]
    parent = Path(cache_dir or default_cache_dir()) / kind
    home = parent / key
    try:
        return _opened(home, notes_type, read)
    except FileNotFoundError:
        pass
    except DamagedError as damage:
        report(f"{home}: cached data is damaged ({damage}); it is made again")
    try:
        _make(home, notes_type, write)
        return _opened(home, notes_type, read)
    except OSError as error:
        raise DataError(
            f"{parent}: cannot keep prepared data here ({error.strerror or error}); set {CACHE_VARIABLE} to a "
            "directory with space"
        ) from error
    except DamagedError as damage:
        raise DataError(
            f"{home}: prepared data cannot be read back ({damage}); check the disk, or set {CACHE_VARIABLE} elsewhere"
        ) from None


def _opened(home: Path, notes_type: type[Notes], read: Callable[[Path, Notes], T]) -> T:
    """Raises FileNotFoundError where there is no such folder, DamagedError where it is not as it was written."""
    if not home.is_dir():
        raise FileNotFoundError(home)
    return read(home, _verified(home, notes_type))


def _verified(home: Path, notes_type: type[Notes]) -> Notes:
    try:
        digest, _, text = (home / _META).read_text(encoding="utf-8").partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise DamagedError(f"{_META} is not as it was written")
        meta = json.loads(text)
        notes = notes_type.model_validate(meta["notes"])
        files: dict[str, list[int | str]] = meta["files"]
        for name, recorded in files.items():
            if [(home / name).stat().st_size, file_digest(home / name)] != recorded:
                raise DamagedError(f"{name} is not as it was written")
    except (OSError, ValueError, KeyError, ValidationError, DataError) as error:
        raise DamagedError(" ".join(str(error).split())[:120]) from error
    return notes


def _make(home: Path, notes_type: type[Notes], write: Callable[[Path], Notes]) -> None:
    """Writes everything beside `home` and renames it: nobody ever sees half of it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    _sweep(home.parent)
    folder = home.parent / f"{_UNFINISHED}{secrets.token_hex(8)}"
    lock = _lock_of(folder)
    # held before there is a folder, so that no folder of a living process is ever without its lock
    acquire(lock)
    try:
        folder.mkdir()
        notes = write(folder)
        recorded = {path.name: [path.stat().st_size, file_digest(path)] for path in sorted(folder.iterdir())}
        text = json.dumps({"files": recorded, "notes": notes.model_dump(mode="json")})
        with (folder / _META).open("w", encoding="utf-8") as file:
            file.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
            file.flush()
            os.fsync(file.fileno())
        _put(folder, home, notes_type)
    finally:
        _remove(folder, lock)


def _put(folder: Path, home: Path, notes_type: type[Notes]) -> None:
    """Renames a finished folder to `home`, unless another process was first, with the same content."""
    try:
        folder.rename(home)
    except OSError:
        try:
            _verified(home, notes_type)
        except DamagedError:
            shutil.rmtree(home)
            folder.rename(home)


def _sweep(parent: Path) -> None:
    """Removes what killed processes left: folders whose lock nobody holds, whatever their age.

    A folder without a lock file is of no process that can be asked, and is left alone.
    """
    for folder in parent.glob(f"{_UNFINISHED}*/"):
        lock = _lock_of(folder)
        if Path(lock.lock_file).exists():
            with suppress(Timeout, OSError):
                if acquire(lock, blocking=False):
                    _remove(folder, lock)


def _lock_of(folder: Path) -> BaseFileLock:
    return lock_at(folder.with_name(folder.name + ".lock"))


def _remove(folder: Path, lock: BaseFileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def chunked(records: Iterable[T], characters: Callable[[T], int]) -> Iterator[list[T]]:
    """Records to be encoded together: a few thousand of them, or fewer that hold a few million characters."""
    chunk: list[T] = []
    held = 0
    for record in records:
        chunk.append(record)
        held += characters(record)
        if len(chunk) >= _CHUNK_RECORDS or held >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


class SequenceNotes(Frozen):
    """What is needed to map written sequences: the type and number of their tokens, and how many they are."""

    dtype: str
    tokens: int
    sequences: int


class SequenceWriter:
    """Appends sequences of token ids to the two files `read_sequences` maps: flat tokens, and offsets.

    With `whole` they are one sequence, of which only the end is kept as an offset.
    """

    def __init__(self, folder: Path, name: str, vocab_size: int, whole: bool = False) -> None:
        self._dtype = "uint16" if vocab_size < 1 << 16 else "uint32"
        self.tokens = 0  # written so far
        self.sequences = 0
        self._tokens = (folder / f"{name}.tokens").open("wb")
        self._offsets = (folder / f"{name}.offsets").open("wb")
        self._whole = whole
        np.zeros(1, np.int64).tofile(self._offsets)

    @property
    def notes(self) -> SequenceNotes:
        """What `read_sequences` needs."""
        return SequenceNotes(dtype=self._dtype, tokens=self.tokens, sequences=1 if self._whole else self.sequences)

    def write(self, sequences: Sequence[Sequence[int]]) -> None:
        """Appends these."""
        ends = self.tokens + np.cumsum([len(ids) for ids in sequences], dtype=np.int64)
        total = sum(map(len, sequences))
        np.fromiter(chain.from_iterable(sequences), self._dtype, total).tofile(self._tokens)
        if not self._whole:
            ends.tofile(self._offsets)
        self.tokens += total
        self.sequences += len(sequences)

    def __enter__(self) -> SequenceWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._whole:
            np.array([self.tokens], np.int64).tofile(self._offsets)
        for file in (self._tokens, self._offsets):
            file.flush()
            os.fsync(file.fileno())
            file.close()


def read_sequences(home: Path, name: str, notes: SequenceNotes) -> EncodedSequences:
    """The sequences that a `SequenceWriter` wrote, mapped into memory."""
    return EncodedSequences(
        _mapped(home / f"{name}.tokens", notes.dtype, notes.tokens),
        read_numbers(home / f"{name}.offsets", notes.sequences + 1),
    )


def write_numbers(path: Path, numbers: Sequence[int]) -> None:
    """Writes whole numbers as `read_numbers` maps them."""
    np.array(numbers, np.int64).tofile(path)


def read_numbers(path: Path, count: int) -> np.ndarray:
    """A file of `count` int64 numbers, mapped into memory."""
    return _mapped(path, "int64", count)


def _mapped(path: Path, dtype: str, size: int) -> np.ndarray:
    return np.memmap(path, dtype=dtype, mode="r", shape=(size,)) if size else np.zeros(0, dtype)
