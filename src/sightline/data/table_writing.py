"""Records written as tables: CSV, TSV, JSON Lines, Parquet or lines of text, compressed where the name says so."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import zstandard

from sightline.data.parquet import require_pyarrow
from sightline.data.records import JSON_SUFFIXES, PARQUET_SUFFIXES
from sightline.data.sources import format_suffix
from sightline.errors import DataError, UsageError
from sightline.jsonio import Json, dumps

Values = Mapping[str, Json]
_BATCH = 1024


def require_writable(path: Path, lines: bool) -> None:
    """Raises UsageError for a name whose suffix says no form that can be written, before anything is read.

    Args:
        lines: whether records can be written as lines of plain text, too.
    """
    suffix = format_suffix(path)
    known = [".csv", ".tsv", ".jsonl", ".parquet", *([".txt"] if lines else [])]
    if suffix in PARQUET_SUFFIXES:
        require_pyarrow(path)
    elif suffix not in (*known, ".ndjson"):
        raise UsageError(f'{path}: nothing can be written as "{suffix}"; choose {", ".join(known)}, or one with .gz')


def table_blocks(
    path: Path, records: Iterable[Values], lines: Callable[[Values], str] | None = None
) -> Iterator[bytes]:
    """The bytes of a file of records, all with the same names, in the form that its suffix says.

    Args:
        lines: a record as lines of text, for .txt, and for .tsv where its values are lists.

    Raises DataError for a record that the form cannot hold.
    """
    suffix = format_suffix(path)
    if suffix in PARQUET_SUFFIXES:
        blocks = _parquet(records)
    elif suffix in JSON_SUFFIXES:
        blocks = (f"{dumps(dict(one))}\n".encode() for one in records)
    else:
        blocks = _text(path, suffix, records, lines)
    packed = {".gz": _gzip, ".zst": _zstd}.get(path.suffix.lower())
    return packed(blocks) if packed else blocks


def _text(path: Path, suffix: str, records: Iterable[Values], lines: Callable[[Values], str] | None) -> Iterator[bytes]:
    waiting = iter(records)
    first = next(waiting, None)
    if first is None:
        return
    listed = any(isinstance(value, (list, dict)) for value in first.values())
    every = chain([first], waiting)
    if lines is not None and (suffix == ".txt" or (listed and suffix == ".tsv")):
        yield from (lines(one).encode() for one in every)
        return
    if listed:
        raise DataError(f"{path}: cells hold no lists; choose .jsonl or .parquet")
    names = list(first)
    rows = chain([names], ([str(one[name]) for name in names] for one in every))
    yield from (table_line(cells, tabs=suffix == ".tsv").encode() for cells in rows)


def table_line(cells: Sequence[str], *, tabs: bool) -> str:
    """One line of a TSV, in which a tab or line break in a cell becomes a space, or of a CSV (RFC 4180)."""
    if tabs:
        return "\t".join(" ".join(cell.split()) if _breaks(cell) else cell for cell in cells) + "\n"
    held = io.StringIO()
    csv.writer(held, lineterminator="\r\n").writerow(cells)  # so that cells with either of both are quoted
    return held.getvalue()[:-2] + "\n"


def _breaks(cell: str) -> bool:
    return any(char in cell for char in "\t\r\n")


def _parquet(records: Iterable[Values]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    held, writer, schema = io.BytesIO(), None, None
    for batch in _batches(records):
        table: Any = pa.Table.from_pylist(batch, schema=schema)
        if writer is None:
            schema = table.schema
            writer = ParquetWriter(held, schema)
        writer.write_table(table)
        yield held.getvalue()
        held.seek(0)
        held.truncate()
    if writer is not None:
        writer.close()
        yield held.getvalue()


def _batches(records: Iterable[Values]) -> Iterator[list[dict[str, Json]]]:
    batch: list[dict[str, Json]] = []
    for one in records:
        batch.append(dict(one))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _gzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()


def _zstd(blocks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor().compressobj()
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()
