"""Pairs of sentences: from aligned files, tables and the embedded corpus; encoded as token ids, once, and cached."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from sightline.config import Frozen
from sightline.data import prepared
from sightline.data.encoded import EncodedPairs
from sightline.data.mixing import Mixing
from sightline.data.prepared import SequenceNotes, SequenceWriter, read_sequences
from sightline.data.progress import ENCODING, ProgressReporter, Report, silent
from sightline.data.records import TableSource, first_row, is_keyed
from sightline.data.sources import EMBEDDED, Column, Outline, resolve
from sightline.data.splits import take_split
from sightline.data.text import BadRecord, is_blank, read_numbered_lines, refuse
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, UsageError, nearest
from sightline.jsonio import Json

Pair = tuple[str, str]
_SIDES = ("source", "target")
_EMPTY = "with an empty side"
_EMBEDDED_SPLITS = ("train", "validation", "test", "deep")


class PairSource(TableSource):
    """Where pairs of sentences come from.

    - two line-aligned files: `source` and `target`;
    - a TSV or CSV file: `source` alone, columns counted from 0 (0 and 1 unless given) or named by the first line;
    - a JSON Lines file (.jsonl, .ndjson, .json) or Parquet: `source` alone, columns are keys ("source" and "target"
      unless given); "translation.en" reaches into an object;
    - the embedded grammar: "embedded:ko-en/train" (or validation, test, deep), columns "ko" and "en".

    Any file may be compressed (.gz, .zst) or a catalogue's: "multi30k:train.en.gz".
    """

    source: str = Field(description='source sentences, one file with both sides, or "embedded:ko-en/train"')
    target: str | None = Field(
        default=None, description="target sentences, line by line, where they are a file of their own"
    )
    source_column: Column | None = Field(
        default=None, description="of one file: number (from 0), name or key of the source"
    )
    target_column: Column | None = Field(
        default=None, description="of one file: number (from 0), name or key of the target"
    )
    weight: float = Field(
        default=1.0,
        description="how often each pair comes in an epoch: 2 is twice, 0.25 a new quarter of the source each time",
    )

    unidentifying: ClassVar[frozenset[str]] = frozenset({"source", "target", "weight"})

    @model_validator(mode="after")
    def _fits(self) -> PairSource:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(
                f"{self.source}: weight {self.weight} is not a positive number; leave the source out instead"
            )
        if self.target is not None and (self.source_column, self.target_column) != (None, None):
            raise ValueError(f"{self.source}: columns are for one file that holds both sides; drop them or the target")
        if self.target is not None and EMBEDDED in (self.source[: len(EMBEDDED)], self.target[: len(EMBEDDED)]):
            raise ValueError(f"{self.source}: the embedded corpus holds both sides; give it as the source alone")
        return self

    @property
    def embedded(self) -> bool:
        """Whether it is the corpus that comes with the package."""
        return self.source.startswith(EMBEDDED)

    def files(self) -> list[Path]:
        """The files to be read, none for the embedded corpus; a catalogue's file is fetched where it is not here."""
        if self.embedded:
            return []
        return [resolve(spec) for spec in (self.source, self.target) if spec is not None]

    def columns(self) -> tuple[Column, ...]:
        """Those of both sides; none of aligned files and of the embedded corpus."""
        return () if self.embedded or self.target is not None else self.both_columns(self.files()[0])

    def both_columns(self, path: Path) -> tuple[Column, ...]:
        """The columns of both sides where they are in one file of this name."""
        defaults: tuple[Column, Column] = ("source", "target") if is_keyed(path) else (0, 1)
        given = (self.source_column, self.target_column)
        return tuple(default if one is None else one for one, default in zip(given, defaults, strict=True))

    def notices(self) -> list[str]:
        """As of other tables, and that there are more columns than two where nobody chose any."""
        columns = self.columns()
        if not columns or (self.source_column, self.target_column) != (None, None) or is_keyed(self.files()[0]):
            return super().notices()
        count = len(first_row(self.files()[0]))
        more = f"{self.source}: has {count} columns, of which 0 and 1 are read; choose others with --columns"
        return [*super().notices(), *[more] * (count > 2)]

    def outlines(self, bad: BadRecord = refuse) -> Iterator[Outline]:
        """The pairs, by their sources."""
        return (Outline(pair[0], pair) for _, pair in _all_pairs(self, bad))

    def content_id(self) -> Json:
        """What the pairs depend on; of the embedded corpus those themselves, which the package's version decides."""
        if not self.embedded:
            return super().content_id()
        digest = _embedded_digest(self)
        return digest if self.split is None else [digest, list(self.split)]


def read_pairs(source: PairSource) -> Iterator[Pair]:
    """The pairs of one source, in order, empty ones included; holds a few lines in memory at a time.

    An empty line of a table is an empty pair. Raises DataError (file:line) where a line is not what the source says,
    or, at the end, where two files have different numbers of lines.
    """
    return (pair for _, pair in read_numbered_pairs(source))


def read_numbered_pairs(source: PairSource, bad: BadRecord = refuse) -> Iterator[tuple[int, Pair]]:
    """`read_pairs` with the number of each pair's line, from 1; `bad` is told of lines that are no pair.

    Pairs of one source are on one side of a split, whatever their targets are.
    """
    return take_split(_all_pairs(source, bad), source.split, lambda numbered: numbered[1][0])


def _all_pairs(source: PairSource, bad: BadRecord) -> Iterator[tuple[int, Pair]]:
    if source.embedded:
        yield from enumerate(_embedded(source), start=1)
    elif source.target is not None:
        one, other = source.files()
        yield from _aligned(one, other, bad)
    else:
        yield from ((number, (one, other)) for number, (one, other) in source.records(bad))


def read_mixed(sources: Sequence[PairSource]) -> Iterator[Pair]:
    """The pairs of all sources, one source after the other, each pair once whatever the weights."""
    for source in sources:
        yield from read_pairs(source)


def _aligned(source: Path, target: Path, bad: BadRecord) -> Iterator[tuple[int, Pair]]:
    sources, targets = _all_lines(source, bad), _all_lines(target, bad)
    number, end = 0, object()
    for source_line in sources:
        target_line = next(targets, end)
        if target_line is end:
            raise _unequal(source, target, number + 1 + sum(1 for _ in sources), number)
        number += 1
        if isinstance(source_line, str) and isinstance(target_line, str):
            yield number, (source_line, target_line)
    rest = sum(1 for _ in targets)
    if rest:
        raise _unequal(source, target, number, number + rest)


def _all_lines(path: Path, bad: BadRecord) -> Iterator[str | None]:
    """Every line, None in place of one that is no text, of which `bad` is told."""
    told: list[None] = []

    def note(error: DataError) -> None:
        bad(error)
        told.append(None)

    for _, line in read_numbered_lines(path, note):
        yield from told
        told.clear()
        yield line
    yield from told


def _unequal(source: Path, target: Path, source_count: int, target_count: int) -> DataError:
    return DataError(
        f"{source}: has {source_count} lines but {target} has {target_count}; "
        "line n of one must translate line n of the other"
    )


def _embedded(source: PairSource) -> Iterator[Pair]:
    split_name = source.source.removeprefix(EMBEDDED)
    if split_name not in _EMBEDDED_SPLITS:
        raise UsageError(f'{EMBEDDED}: no split "{split_name}"{nearest(split_name, _EMBEDDED_SPLITS)}')
    sides = ("ko", "en")
    columns = (str(source.source_column or "ko"), str(source.target_column or "en"))
    for column in columns:
        if column not in sides:
            raise UsageError(f'{source.source}: no column "{column}"{nearest(column, sides)}')
    from sightline.data.grammar import split  # Here, not above: only those who ask for the grammar load it.

    for pair in split(split_name):
        texts = {"ko": pair.korean, "en": pair.english}
        yield texts[columns[0]], texts[columns[1]]


def _embedded_digest(source: PairSource) -> str:
    digest = hashlib.sha256()
    for pair in _embedded(source):
        digest.update("\0".join((*pair, "")).encode())
    return digest.hexdigest()


class _PairNotes(Frozen):
    """What is in a cached folder of pairs: of each source where it begins and ends, and what was left out."""

    source: SequenceNotes
    target: SequenceNotes
    bounds: tuple[int, ...]
    read: int
    skipped: dict[str, int]


def encode_pairs(
    sources: Sequence[PairSource],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    *,
    max_source_tokens: int,
    max_target_tokens: int,
    cache_dir: str | Path | None = None,
    report: Report = silent,
) -> EncodedPairs:
    """All pairs of `sources` as token ids, from the cache where the same work was done before.

    Pairs with a blank side and pairs over a limit (in tokens, specials not counted) are left out and counted in
    `skipped`. The cache is keyed by the content of the files, the columns, the tokenizers and the limits; it lies in
    `cache_dir`, or else SIGHTLINE_CACHE, or else the user's cache directory. Memory does not grow with the corpus.
    `report` is told how far it is, and of what the user should see.

    Raises DataError where a source cannot be read, no pair is left, or the cache cannot be written.
    """
    limits = (max_source_tokens, max_target_tokens)
    tokenizers = (source_tokenizer, target_tokenizer)
    weights = tuple(source.weight for source in sources)
    for line in (line for source in sources for line in source.notices()):
        report(line)

    def read(home: Path, notes: _PairNotes) -> EncodedPairs:
        return EncodedPairs(
            read_sequences(home, "source", notes.source),
            read_sequences(home, "target", notes.target),
            Mixing(notes.bounds, weights),
            notes.read,
            notes.skipped,
        )

    encoded = prepared.cached(
        "pairs",
        {
            "sources": [source.content_id() for source in sources],
            "tokenizers": [tokenizer.fingerprint for tokenizer in tokenizers],
            "limits": list(limits),
        },
        _PairNotes,
        lambda folder: _write(
            folder, sources, tokenizers, limits, ProgressReporter(report, ENCODING, "pairs", sources)
        ),
        read,
        cache_dir=cache_dir,
        report=report,
    )
    if len(encoded) == 0:
        names = ", ".join(source.source for source in sources) or "data"
        raise DataError(f"{names}: no pair is left to use: {encoded.summary()}; check files and limits")
    return encoded


def _write(
    folder: Path,
    sources: Sequence[PairSource],
    tokenizers: tuple[Tokenizer, Tokenizer],
    limits: tuple[int, int],
    progress: ProgressReporter,
) -> _PairNotes:
    skipped = dict.fromkeys([_EMPTY, *(_too_long(side, limits) for side in (0, 1))], 0)
    bounds, read = [0], 0
    with (
        SequenceWriter(folder, "source", tokenizers[0].vocab_size) as source_writer,
        SequenceWriter(folder, "target", tokenizers[1].vocab_size) as target_writer,
    ):
        for source in sources:
            for pairs in prepared.chunked(read_pairs(source), lambda pair: len(pair[0]) + len(pair[1])):
                read += len(pairs)
                kept = _encode(pairs, tokenizers, limits, skipped)
                source_writer.write([ids for ids, _ in kept])
                target_writer.write([ids for _, ids in kept])
                progress(read)
            bounds.append(source_writer.sequences)
    return _PairNotes(
        source=source_writer.notes, target=target_writer.notes, bounds=tuple(bounds), read=read, skipped=skipped
    )


def _too_long(side: int, limits: tuple[int, int]) -> str:
    return f"with a {_SIDES[side]} over {limits[side]} tokens"


def _encode(
    pairs: Sequence[Pair], tokenizers: tuple[Tokenizer, Tokenizer], limits: tuple[int, int], skipped: dict[str, int]
) -> list[tuple[list[int], list[int]]]:
    """The pairs within the limits; the others are counted in `skipped`, each once."""
    candidates: list[Pair] = []
    for pair in pairs:
        side = next((k for k in (0, 1) if tokenizers[k].must_exceed(pair[k], limits[k])), None)
        if is_blank(pair[0]) or is_blank(pair[1]):
            skipped[_EMPTY] += 1
        elif side is not None:
            skipped[_too_long(side, limits)] += 1
        else:
            candidates.append(pair)
    encoded = [tokenizers[k].encode_batch([pair[k] for pair in candidates]) for k in (0, 1)]
    kept: list[tuple[list[int], list[int]]] = []
    for ids in zip(*encoded, strict=True):
        side = next((k for k in (0, 1) if len(ids[k]) > limits[k]), None)
        if not (ids[0] and ids[1]):
            skipped[_EMPTY] += 1
        elif side is not None:
            skipped[_too_long(side, limits)] += 1
        else:
            kept.append((ids[0], ids[1]))
    return kept
