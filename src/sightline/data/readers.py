"""Parallel and plain text from what users have: line-aligned files, TSV, JSON Lines, catalogue sets, the grammar."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sightline.data import catalogue
from sightline.data.text import read_text_lines
from sightline.errors import DataError, UsageError, nearest

EMBEDDED = "embedded:ko-en/"
_EMBEDDED_SPLITS = ("train", "validation", "test", "deep")
_JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
Column = int | str
T = TypeVar("T")


@dataclass(frozen=True)
class PairSource:
    """Where pairs of sentences come from.

    - two line-aligned files: `source` and `target`;
    - a TSV file: `source` alone, columns counted from 0 (0 and 1 unless given) or named by the first line;
    - a JSON Lines file (.jsonl, .ndjson, .json): `source` alone, columns are keys ("source" and "target" unless
      given); "translation.en" reaches into an object;
    - the embedded grammar: "embedded:ko-en/train" (or validation, test, deep), columns "ko" and "en".

    Any file may be compressed (.gz, .zst) or a catalogue's: "multi30k:train.en.gz". `weight` is how often each pair
    comes in an epoch when sources are mixed: 2 is twice, 0.25 is a new quarter of the source each epoch.
    Raises UsageError where the fields do not go together.
    """

    source: str
    target: str | None = None
    source_column: Column | None = None
    target_column: Column | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise UsageError(
                f"{self.source}: weight {self.weight} is not a positive number; leave the source out instead"
            )
        if self.target is not None and (self.source_column, self.target_column) != (None, None):
            raise UsageError(f"{self.source}: columns are for one file that holds both sides; drop them or the target")
        if self.target is not None and EMBEDDED in (self.source[: len(EMBEDDED)], self.target[: len(EMBEDDED)]):
            raise UsageError(f"{self.source}: the embedded corpus holds both sides; give it as the source alone")

    def files(self) -> list[Path]:
        """The files to be read, none for the embedded corpus; a catalogue's file is fetched where it is not here."""
        if self.source.startswith(EMBEDDED):
            return []
        return [resolve(spec) for spec in (self.source, self.target) if spec is not None]


def resolve(spec: str) -> Path:
    """The file behind a path or a catalogue name with a file ("multi30k:train.en.gz").

    Raises UsageError for an unknown set or file name in the catalogue, DataError where it cannot be had.
    """
    name, colon, file = spec.partition(":")
    # One letter before a colon is a Windows drive.
    if not colon or len(name) < 2 or "/" in name or "\\" in name or Path(spec).exists():
        return Path(spec)
    return catalogue.get_file(name, file)


def read_lines(spec: str | Path) -> Iterator[str]:
    """The lines of one plain text file, as `read_text_lines`; `spec` may name a catalogue file."""
    return read_text_lines(resolve(str(spec)))


def read_pairs(source: PairSource) -> Iterator[tuple[str, str]]:
    """The pairs of one source, in order, empty ones included; holds a few lines in memory at a time.

    An empty line of a TSV or JSON Lines file is an empty pair. Raises DataError (file:line) where a line is not what
    the source says, or, at the end, where two files have different numbers of lines.
    """
    return (pair for _, pair in read_numbered_pairs(source))


def read_numbered_pairs(source: PairSource) -> Iterator[tuple[int, tuple[str, str]]]:
    """`read_pairs` with the number of each pair's line, from 1."""
    if source.source.startswith(EMBEDDED):
        yield from enumerate(_embedded(source), start=1)
        return
    files = source.files()
    if len(files) == 2:
        yield from _aligned(*files)
    else:
        usual = ("source", "target") if _format_suffix(files[0]) in _JSON_SUFFIXES else (0, 1)
        given = (source.source_column, source.target_column)
        columns = [default if column is None else column for column, default in zip(given, usual, strict=True)]
        yield from read_records(files[0], columns)  # pyright: ignore[reportReturnType]


def read_mixed(sources: Sequence[PairSource]) -> Iterator[tuple[str, str]]:
    """The pairs of all sources, one source after the other, each pair once whatever the weights."""
    for source in sources:
        yield from read_pairs(source)


def _format_suffix(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix not in (".gz", ".zst")]
    return suffixes[-1] if suffixes else ""


def _aligned(source: Path, target: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    sources, targets = read_text_lines(source), read_text_lines(target)
    number = 0
    for source_line in sources:
        target_line = next(targets, None)
        if target_line is None:
            raise _unequal(source, target, number + 1 + sum(1 for _ in sources), number)
        number += 1
        yield number, (source_line, target_line)
    rest = sum(1 for _ in targets)
    if rest:
        raise _unequal(source, target, number, number + rest)


def _unequal(source: Path, target: Path, source_count: int, target_count: int) -> DataError:
    return DataError(
        f"{source}: has {source_count} lines but {target} has {target_count}; "
        "line n of one must translate line n of the other"
    )


def check_part(source: str, part: tuple[float, float]) -> None:
    """Raises UsageError where these are no two fractions of a source between which something lies."""
    if not 0 <= part[0] < part[1] <= 1:
        raise UsageError(f"{source}: part {list(part)} must be two rising fractions between 0 and 1")


def part_of(records: Iterable[T], part: tuple[float, float]) -> list[T]:
    """The records between two fractions of their number."""
    whole = list(records)
    low, high = (int(len(whole) * fraction) for fraction in part)
    return whole[low:high]


def read_records(
    path: Path, columns: Sequence[Column], *, numeric: Column | None = None
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(number, the wanted columns) of each record of a TSV, JSON Lines or JSON file; an empty line has empty columns.

    Numbers are those of lines; of a JSON file that is one list, those of its items. The column `numeric` may hold
    numbers in JSON, which are given as it spells them, whole ones without a fraction.

    Raises DataError (file:line) where a line is not a record with these columns.
    """
    if _format_suffix(path) not in _JSON_SUFFIXES:
        return _table(path, columns)
    return _json_records(path, columns, numeric)


def _table(path: Path, columns: Sequence[Column]) -> Iterator[tuple[int, tuple[str, ...]]]:
    numbered = enumerate(read_text_lines(path), start=1)
    wanted = list(columns)
    if any(type(column) is str for column in wanted):
        header = next(numbered)[1].split("\t")
        wanted = [_place_of(column, header, path) for column in wanted]
    places = [int(column) for column in wanted]
    if min(places) < 0:
        raise UsageError(f"{path}: column {min(places)} is negative; columns count from 0")
    needed = max(places) + 1
    for number, line in numbered:
        fields = line.split("\t")
        if len(fields) >= needed:
            yield number, tuple(fields[place] for place in places)
        elif not line:
            yield number, ("",) * len(places)
        else:
            raise DataError(
                f"{path}:{number}: {len(fields)} tab-separated columns, column {needed - 1} wanted (counted from 0); "
                "mend the line or choose other columns"
            )


def _place_of(column: Column, header: list[str], path: Path) -> Column:
    if type(column) is int:
        return column
    if column not in header:
        raise UsageError(f'{path}:1: no column is named "{column}"{nearest(str(column), header)}')
    return header.index(str(column))


def _json_records(
    path: Path, columns: Sequence[Column], numeric: Column | None
) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, record in _json_values(path):
        if record is None:
            yield number, ("",) * len(columns)
        else:
            where = f"{path}:{number}"
            yield number, tuple(_text_at(record, str(column), where, column == numeric) for column in columns)


def _json_values(path: Path) -> Iterator[tuple[int, Any]]:
    """The values of JSON Lines, None for an empty line; or the items of one list, which may take many lines."""
    for number, line in enumerate(read_text_lines(path), start=1):
        if number == 1 and line.lstrip().startswith("["):
            try:
                yield from enumerate(json.loads("\n".join(read_text_lines(path))), start=1)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}: not JSON ({error}); it begins like one list") from error
            return
        try:
            yield number, json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: not JSON ({error}); each line must be one object") from error


def _text_at(record: Any, key: str, where: str, numeric: bool) -> str:
    found = record
    for part in [key] if type(record) is dict and key in record else key.split("."):
        if type(found) is not dict:
            raise DataError(f'{where}: not an object with the key "{key}"; each line must be one object')
        if part not in found:
            raise DataError(f'{where}: no key "{key}"{nearest(part, found)}')
        found = found[part]
    if numeric and type(found) is float and not math.isfinite(found):
        raise DataError(f'{where}: the value of "{key}" is {found}, which is no number; mend the line')
    if numeric and type(found) in (int, float, bool):
        # 1.0 is 1; beyond this size a float has no fraction to lose
        return (
            str(int(found))
            if type(found) is float and found == int(found) and abs(found) < 2**53
            else json.dumps(found)
        )
    if type(found) is not str:
        raise DataError(f'{where}: the value of "{key}" is not a string; choose another key')
    # Escapes can spell what no UTF-8 file can hold.
    if "\0" in found or any("\ud800" <= char <= "\udfff" for char in found):
        raise DataError(f'{where}: "{key}" holds a NUL or half a surrogate pair, spelled as an escape; remove it')
    return unicodedata.normalize("NFC", found)


def _embedded(source: PairSource) -> Iterator[tuple[str, str]]:
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
