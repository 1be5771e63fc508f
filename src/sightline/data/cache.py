"""Pairs tokenised once, kept on disk under the content they were made from, and mapped into memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sightline.data.catalogue import CACHE_VARIABLE, default_cache_dir
from sightline.data.encoded import EncodedPairs, EncodedSide
from sightline.data.mixing import Mixing
from sightline.data.readers import PairSource, read_pairs
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError

_LAYOUT = 1  # To be raised when the files below change their meaning.
_CHUNK_PAIRS = 4096
_CHUNK_CHARACTERS = 1 << 22
_STALE_SECONDS = 86_400
_SIDES = ("source", "target")


def encode_pairs(
    sources: Sequence[PairSource],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    *,
    max_source_tokens: int,
    max_target_tokens: int,
    cache_dir: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> EncodedPairs:
    """All pairs of `sources` as token ids, from the cache where the same work was done before.

    Pairs with an empty side and pairs over a limit (in tokens, specials not counted) are left out and counted in
    `skipped`. The cache is keyed by the content of the files, the columns, the tokenizers and the limits; it lies in
    `cache_dir`, or else SIGHTLINE_CACHE, or else the user's cache directory. Memory does not grow with the corpus.
    `progress` is called with the number of pairs read so far.

    Raises DataError where a source cannot be read, no pair is left, or the cache cannot be written.
    """
    limits = {"source": max_source_tokens, "target": max_target_tokens}
    recipe = {
        "layout": _LAYOUT,
        "sources": [_identity(source) for source in sources],
        "tokenizers": [source_tokenizer.fingerprint, target_tokenizer.fingerprint],
        "limits": limits,
    }
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]
    parent = Path(cache_dir or default_cache_dir()) / "pairs"
    home = parent / key
    weights = tuple(source.weight for source in sources)
    encoded = _opened(home, weights)
    if encoded is None:
        tokenizers = (source_tokenizer, target_tokenizer)
        try:
            _make(home, sources, tokenizers, limits, progress)
        except OSError as error:
            raise DataError(
                f"{parent}: cannot keep prepared data here ({error.strerror or error}); set {CACHE_VARIABLE} to a "
                "directory with space"
            ) from error
        encoded = _opened(home, weights)
    if encoded is None:
        raise DataError(f"{home}: prepared data cannot be read back; check the disk, or set {CACHE_VARIABLE} elsewhere")
    if len(encoded) == 0:
        raise DataError(f"{_names(sources)}: no pair is left to use: {encoded.summary()}; check files and limits")
    return encoded


def _names(sources: Sequence[PairSource]) -> str:
    return ", ".join(source.source for source in sources) or "data"


def _identity(source: PairSource) -> list[Any]:
    """What the pairs of a source depend on: content, not names, times or weights."""
    files = source.files()
    digests = [_file_digest(path) for path in files] or [_pairs_digest(source)]
    # The suffix chooses the reader.
    return [digests, [path.suffixes[-2:] for path in files], source.source_column, source.target_column]


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a directory; name a file in it") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def _pairs_digest(source: PairSource) -> str:
    digest = hashlib.sha256()
    for pair in read_pairs(source):
        digest.update("\0".join((*pair, "")).encode())
    return digest.hexdigest()


def _opened(home: Path, weights: tuple[float, ...]) -> EncodedPairs | None:
    """What lies in `home`, or None where there is nothing whole."""
    try:
        notes = json.loads((home / "meta.json").read_text(encoding="utf-8"))
        source, target = (_opened_side(home, side, notes) for side in _SIDES)
        return EncodedPairs(source, target, Mixing(tuple(notes["bounds"]), weights), notes["read"], notes["skipped"])
    except (OSError, ValueError, KeyError):
        return None


def _opened_side(home: Path, side: str, notes: dict[str, Any]) -> EncodedSide:
    offsets = _mapped(home / f"{side}.offsets", "int64", notes["bounds"][-1] + 1)
    return EncodedSide(_mapped(home / f"{side}.tokens", notes["dtype"][side], notes["tokens"][side]), offsets)


def _mapped(path: Path, dtype: str, size: int) -> np.ndarray:
    if path.stat().st_size != size * np.dtype(dtype).itemsize:
        raise ValueError(f"{path}: wrong size")
    return np.memmap(path, dtype=dtype, mode="r", shape=(size,)) if size else np.zeros(0, dtype)


class _SideWriter:
    """Appends sentences to the two files of one side."""

    def __init__(self, folder: Path, side: str, vocab_size: int) -> None:
        self.dtype = "uint16" if vocab_size < 1 << 16 else "uint32"
        self.written = 0
        self._tokens = (folder / f"{side}.tokens").open("wb")
        self._offsets = (folder / f"{side}.offsets").open("wb")
        np.zeros(1, np.int64).tofile(self._offsets)

    def write(self, sentences: list[list[int]]) -> None:
        ends = self.written + np.cumsum([len(ids) for ids in sentences], dtype=np.int64)
        total = sum(map(len, sentences))
        np.fromiter(chain.from_iterable(sentences), self.dtype, total).tofile(self._tokens)
        ends.tofile(self._offsets)
        self.written += total

    def __enter__(self) -> _SideWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in (self._tokens, self._offsets):
            file.flush()
            os.fsync(file.fileno())
            file.close()


def _make(
    home: Path,
    sources: Sequence[PairSource],
    tokenizers: tuple[Tokenizer, Tokenizer],
    limits: dict[str, int],
    progress: Callable[[int], None] | None,
) -> None:
    """Writes everything beside `home` and renames it: nobody ever sees half of it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    _sweep(home.parent)
    folder = Path(tempfile.mkdtemp(prefix=".making-", dir=home.parent))
    try:
        notes = _write(folder, sources, tokenizers, limits, progress)
        with (folder / "meta.json").open("w", encoding="utf-8") as file:
            json.dump(notes, file)
            file.flush()
            os.fsync(file.fileno())
        if home.exists() and _opened(home, ()) is None:
            shutil.rmtree(home)
        try:
            folder.rename(home)
        except OSError:
            if _opened(home, ()) is None:  # Otherwise another process was first, with the same content.
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


def _write(
    folder: Path,
    sources: Sequence[PairSource],
    tokenizers: tuple[Tokenizer, Tokenizer],
    limits: dict[str, int],
    progress: Callable[[int], None] | None,
) -> dict[str, Any]:
    too_long = [f"with a {side} over {limits[side]} tokens" for side in _SIDES]
    skipped = dict.fromkeys(["with an empty side", *too_long], 0)
    bounds, read = [0], 0
    with (
        _SideWriter(folder, "source", tokenizers[0].vocab_size) as source_writer,
        _SideWriter(folder, "target", tokenizers[1].vocab_size) as target_writer,
    ):
        for source in sources:
            kept_here = 0
            for texts in _chunks(read_pairs(source)):
                read += len(texts)
                kept = _encoded_chunk(texts, tokenizers, tuple(limits.values()), too_long, skipped)
                source_writer.write([ids for ids, _ in kept])
                target_writer.write([ids for _, ids in kept])
                kept_here += len(kept)
                if progress is not None:
                    progress(read)
            bounds.append(bounds[-1] + kept_here)
    writers = dict(zip(_SIDES, (source_writer, target_writer), strict=True))
    return {
        "bounds": bounds,
        "read": read,
        "skipped": skipped,
        "dtype": {side: writer.dtype for side, writer in writers.items()},
        "tokens": {side: writer.written for side, writer in writers.items()},
    }


def _chunks(pairs: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    chunk: list[tuple[str, str]] = []
    characters = 0
    for pair in pairs:
        chunk.append(pair)
        characters += len(pair[0]) + len(pair[1])
        if len(chunk) >= _CHUNK_PAIRS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _encoded_chunk(
    texts: list[tuple[str, str]],
    tokenizers: tuple[Tokenizer, Tokenizer],
    limits: tuple[int, ...],
    too_long: list[str],
    skipped: dict[str, int],
) -> list[tuple[list[int], list[int]]]:
    """The pairs of `texts` within the limits; the others are counted in `skipped`, each once."""
    candidates = []
    for pair in texts:
        side = next((k for k in (0, 1) if tokenizers[k].surely_longer(pair[k], limits[k])), None)
        if not (pair[0].strip() and pair[1].strip()):
            skipped["with an empty side"] += 1
        elif side is not None:
            skipped[too_long[side]] += 1
        else:
            candidates.append(pair)
    encoded = [tokenizers[k].encode_batch([pair[k] for pair in candidates]) for k in (0, 1)]
    kept = []
    for source_ids, target_ids in zip(*encoded, strict=True):
        if not (source_ids and target_ids):
            skipped["with an empty side"] += 1
        elif len(source_ids) > limits[0]:
            skipped[too_long[0]] += 1
        elif len(target_ids) > limits[1]:
            skipped[too_long[1]] += 1
        else:
            kept.append((source_ids, target_ids))
    return kept
