"""Pairs tokenised once, kept on disk under the content they were made from, and mapped into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sightline.data import store
from sightline.data.encoded import EncodedPairs
from sightline.data.mixing import Mixing
from sightline.data.readers import PairSource, read_pairs
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError

_LAYOUT = 1  # To be raised when the files below change their meaning.
_CHUNK_PAIRS = 4096
_CHUNK_CHARACTERS = 1 << 22
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
    tokenizers = (source_tokenizer, target_tokenizer)
    recipe = {
        "layout": _LAYOUT,
        "sources": [_identity(source) for source in sources],
        "tokenizers": [tokenizer.fingerprint for tokenizer in tokenizers],
        "limits": limits,
    }
    weights = tuple(source.weight for source in sources)

    def read(home: Path, notes: dict[str, Any]) -> EncodedPairs:
        source, target = (
            store.read_sequences(home, side, notes["dtype"][side], notes["tokens"][side], notes["bounds"][-1])
            for side in _SIDES
        )
        return EncodedPairs(source, target, Mixing(tuple(notes["bounds"]), weights), notes["read"], notes["skipped"])

    encoded = store.keep(
        "pairs", recipe, lambda folder: _write(folder, sources, tokenizers, limits, progress), read, cache_dir
    )
    if len(encoded) == 0:
        names = ", ".join(source.source for source in sources) or "data"
        raise DataError(f"{names}: no pair is left to use: {encoded.summary()}; check files and limits")
    return encoded


def _identity(source: PairSource) -> list[Any]:
    """What the pairs of a source depend on: content, not names, times or weights."""
    files = source.files()
    digests = [store.file_digest(path) for path in files] or [_pairs_digest(source)]
    # The suffix chooses the reader.
    return [digests, [path.suffixes[-2:] for path in files], source.source_column, source.target_column]


def _pairs_digest(source: PairSource) -> str:
    digest = hashlib.sha256()
    for pair in read_pairs(source):
        digest.update("\0".join((*pair, "")).encode())
    return digest.hexdigest()


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
        store.SequenceWriter(folder, "source", tokenizers[0].vocab_size) as source_writer,
        store.SequenceWriter(folder, "target", tokenizers[1].vocab_size) as target_writer,
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
