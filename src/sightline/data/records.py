"""Records of tables: TSV, CSV, JSON Lines and JSON files, their columns, and whether a first line names these."""

from __future__ import annotations

import csv
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sightline.data.sources import Column, Source
from sightline.data.text import MAX_LINE_BYTES, first_character, read_text, read_text_lines
from sightline.errors import DataError, UsageError, nearest
from sightline.jsonio import Json, parse_json

JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
MAX_JSON_BYTES = 1 << 30  # of a file that is one JSON value

Record = tuple[int, tuple[str, ...]]  # its number, and its values in the columns that were asked for
BadRecord = Callable[[DataError], None]  # is told of a line that is no record, and goes on to the next unless it raises


def refuse(error: DataError) -> None:
    """Raises what is wrong with the first line that is no record."""
    raise error


Header = Annotated[
    bool | None,
    Field(
        description="of a CSV or TSV file: whether the first line names the columns; where it is not said, one "
        "that is surely no record is taken so"
    ),
]

# Rows that a first line is compared with; and how many of them make its difference from all others worth a question.
_COMPARED_ROWS, _TELLING_ROWS = 1000, 8
# What columns of texts and of labels are called, and languages.
# fmt: off
TEXT_NAMES = (
    "text", "sentence", "document", "review", "comment", "content", "message", "tweet", "utterance", "question",
    "query", "title", "body", "텍스트", "문장", "본문", "내용", "리뷰", "문서", "질문", "제목",
)
LABEL_NAMES = (
    "label", "labels", "gold_label", "class", "category", "sentiment", "emotion", "intent", "topic", "polarity",
    "rating", "score", "stars", "target", "tag", "y", "라벨", "레이블", "분류", "감정", "점수",
)
_COLUMN_NAMES = frozenset([
    *TEXT_NAMES, *LABEL_NAMES,
    "id", "idx", "index", "no", "source", "src", "tgt", "trg", "texts", "sentences", "premise", "hypothesis", "answer",
    "context", "doc", "passage", "translation", "original", "gold", "원문", "번역", "번역문", "답변",
    "ar", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hu", "it", "ja", "ko", "lt", "lv",
    "nl", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh", "arabic", "chinese", "czech", "dutch", "english",
    "french", "german", "hindi", "italian", "japanese", "korean", "polish", "portuguese", "russian", "spanish",
    "turkish", "vietnamese", "deutsch", "français", "español", "한국어", "영어", "일본어", "중국어",
])
# fmt: on


class TableSource(Source):
    """A source that may be a table: TSV, CSV (.csv, its separator found out), JSON Lines or JSON."""

    header: Header = None

    def columns(self) -> tuple[Column, ...]:
        """The columns that a record consists of; none where the source is no table."""
        return ()

    @property
    def label_column(self) -> Column | None:
        """The column of labels, whose values repeat, where there is one."""
        return None

    def records(self, bad: BadRecord = refuse) -> Iterator[Record]:
        """The records, each with its number. Raises DataError (file:line) for a line that is none, or tells `bad`."""
        return read_records(self.files()[0], self.columns(), label=self.label_column, header=self.header, bad=bad)

    def notices(self) -> list[str]:
        """That the first line was found to name the columns, where nobody said so."""
        columns = self.columns()
        if self.header is not None or not columns or not all(isinstance(one, int) for one in columns):
            return []
        path = self.files()[0]
        if is_json(path) or not has_header(path, columns, self.label_column):
            return []
        return [f"{self.source}:1: taken as names of columns ({', '.join(first_row(path))[:80]}), not as a record"]


def is_json(path: Path) -> bool:
    """Whether a file's suffix, but for that of its compression, is one of JSON."""
    return format_suffix(path) in JSON_SUFFIXES


def format_suffix(path: Path) -> str:
    """The suffix that says what is in a file, in small letters, whatever it is compressed by."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst")]
    return suffixes[-1] if suffixes else ""


def read_records(
    path: Path,
    columns: Sequence[Column],
    *,
    label: Column | None = None,
    header: bool | None = None,
    bad: BadRecord = refuse,
) -> Iterator[Record]:
    """(number, the wanted columns) of each record of a TSV, CSV, JSON Lines or JSON file; an empty line has empty ones.

    Numbers are those of lines; of a JSON file that is one list, those of its items.

    Args:
        columns: numbers from 0, or names: those of the first line, or keys; "a.b" reaches into an object of JSON.
        label: the column of labels. In JSON it may hold numbers, which are given as it spells them, whole ones
            without a fraction.
        header: of a table whose columns are given by number, whether its first line names them; see `has_header`.
        bad: is told of each line that is no record; by default the first one is raised.

    Raises DataError (file:line) where a line is not a record with these columns.
    """
    return _json_records(path, columns, label, bad) if is_json(path) else _table(path, columns, label, header, bad)


def _table(
    path: Path, columns: Sequence[Column], label: Column | None, header: bool | None, bad: BadRecord
) -> Iterator[Record]:
    named = any(isinstance(column, str) for column in columns)
    if named and header is False:
        raise UsageError(f"{path}: columns are named, and header = false says that the first line is a record")
    rows = _rows(path, bad)
    places = [column for column in columns if isinstance(column, int)]
    if named:
        _, names = next(rows)
        places = [_place_of(column, names, path) for column in columns]
    if min(places) < 0:
        raise UsageError(f"{path}: column {min(places)} is negative; columns count from 0")
    if not named and (header or (header is None and has_header(path, columns, label))):
        next(rows)
    needed = max(places) + 1
    for number, fields in rows:
        if len(fields) >= needed:
            yield number, tuple(fields[place] for place in places)
        elif fields in ([], [""]):
            yield number, ("",) * len(places)
        else:
            bad(
                DataError(
                    f"{path}:{number}: {len(fields)} {_separation(path)}-separated columns, column {needed - 1} wanted "
                    "(counted from 0); mend the line or choose other columns"
                )
            )


def _place_of(column: Column, names: Sequence[str], path: Path) -> int:
    if isinstance(column, int):
        return column
    if column not in names:
        raise UsageError(f'{path}:1: no column is named "{column}"{nearest(str(column), names)}')
    return names.index(str(column))


def _separation(path: Path) -> str:
    return {"\t": "tab", ",": "comma", ";": "semicolon"}[_delimiter(path)]


def first_row(path: Path) -> list[str]:
    """The cells of a table's first line."""
    return next(_rows(path))[1]


def _rows(path: Path, bad: BadRecord = refuse) -> Iterator[tuple[int, list[str]]]:
    """(line where it begins, cells) of each row of a table."""
    lines = read_text_lines(path)
    if format_suffix(path) != ".csv":
        yield from ((number, line.split("\t")) for number, line in enumerate(lines, start=1))
        return
    csv.field_size_limit(MAX_LINE_BYTES)  # the module's own limit, 131,072, is below many a document
    reader = csv.reader((line + "\n" for line in lines), delimiter=_delimiter(path), strict=True)
    number = 1
    while True:
        problem = None
        try:
            fields = next(reader, None)
        except csv.Error as error:
            fields, problem = [], str(error)
        if fields is None:
            return
        if problem is None:
            yield number, fields
        elif "field larger" in problem:
            what = f"a cell of more than {MAX_LINE_BYTES:,} characters; a quote that is never closed makes one"
            bad(DataError(f"{path}:{number}: {what}, or else break the text"))
        else:
            rule = "a quote inside a quoted field is doubled, and every one is closed"
            bad(DataError(f"{path}:{number}: not CSV ({problem}); {rule}"))
        number = reader.line_num + 1


def _delimiter(path: Path) -> str:
    """A tab, but of a .csv file the separator that its first line has most of outside of quotes."""
    if format_suffix(path) != ".csv":
        return "\t"
    plain = re.sub(r'"[^"]*"', "", next(read_text_lines(path)))
    return max(",;\t", key=plain.count)


def has_header(path: Path, columns: Sequence[Column], label: Column | None = None) -> bool:
    """Whether the first line of a table, whose columns are given by number, names them instead of being a record.

    Texts: where all chosen cells are words that columns are called by, such as "source" or "ko". With the column of a
    `label`: where its first value comes in no other row, and is such a word among short cells, or no number where all
    others are numbers.

    Raises DataError where the label of the first row comes in no other of many, which all repeat theirs: then only the
    user can tell.
    """
    rows = _rows(path, bad=lambda error: None)  # what is wrong with a line is told when it is read as a record
    _, first = next(rows, (1, []))
    places = [column for column in columns if isinstance(column, int)]
    if not places or not 0 <= min(places) <= max(places) < len(first):
        return False
    if label is None:
        cells = [_as_name(first[place]) for place in places]
        return all(cell in _COLUMN_NAMES for cell in cells) and len(set(cells)) == len(set(places))
    if not isinstance(label, int):
        return False
    others = Counter(
        fields[label].strip() for _, fields in islice(rows, _COMPARED_ROWS) if len(fields) > label and fields != [""]
    )
    named = first[label].strip()
    if not others or named in others:
        return False
    if _as_name(named) in _COLUMN_NAMES and all(_short(cell) for cell in first):
        return True
    if all(map(_is_number, others)):
        return not _is_number(named)
    if others.total() >= _TELLING_ROWS and min(others.values()) > 1:
        raise DataError(
            f'{path}:1: no other row has the label "{named[:40]}"; say header = true if this line names the columns, '
            "or header = false if it is a record"
        )
    return False


def _as_name(cell: str) -> str:
    return re.sub(r"[\s_-]*\d*$", "", cell.strip().lower()).replace(" ", "_")


def _short(cell: str) -> bool:
    return len(cell) <= 40 and len(cell.split()) <= 3 and not re.search(r"[.!?。！？]", cell)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _json_records(path: Path, columns: Sequence[Column], label: Column | None, bad: BadRecord) -> Iterator[Record]:
    for number, record in json_values(path, bad):
        try:
            values = values_at(record, columns, label, f"{path}:{number}")
        except DataError as error:
            bad(error)
            continue
        yield number, values


def values_at(record: Json, columns: Sequence[Column], label: Column | None, where: str) -> tuple[str, ...]:
    """The wanted values of a record, as text; empty ones where it is None. Raises DataError where it lacks one."""
    if record is None:
        return ("",) * len(columns)
    return tuple(_text_at(record, str(column), where, column == label) for column in columns)


def json_values(path: Path, bad: BadRecord = refuse) -> Iterator[tuple[int, Json]]:
    """The values of JSON Lines, None for an empty line; or the items of one list, which may take many lines."""
    if first_character(path) == "[":
        found = parse_json(read_whole(path), str(path), hint="it begins like one list")
        yield from enumerate(found if isinstance(found, list) else [found], start=1)
        return
    for number, line in enumerate(read_text_lines(path), start=1):
        try:
            value = parse_json(line, f"{path}:{number}", hint="each line must be one object") if line.strip() else None
        except DataError as error:
            bad(error)
            continue
        yield number, value


def read_whole(path: Path) -> str:
    """The text of a file that is one JSON value, on however few lines.

    Raises DataError where it is beyond `MAX_JSON_BYTES`, and as `read_text_lines` does for what is no text.
    """
    return read_text(path, MAX_JSON_BYTES, "write one value a line (.jsonl)")


def _text_at(record: Json, key: str, where: str, numeric: bool) -> str:
    found = record
    for part in [key] if isinstance(record, dict) and key in record else key.split("."):
        if not isinstance(found, dict):
            raise DataError(f'{where}: not an object with the key "{key}"; each line must be one object')
        if part not in found:
            raise DataError(f'{where}: no key "{key}"{nearest(part, found)}')
        found = found[part]
    if numeric and isinstance(found, float) and not math.isfinite(found):
        raise DataError(f'{where}: the value of "{key}" is {found}, which is no number; mend the line')
    if numeric and isinstance(found, (int, float)):
        # 1.0 is 1; beyond this size a float has no fraction to lose
        whole = isinstance(found, float) and found.is_integer() and abs(found) < 2**53
        return str(int(found)) if whole else json.dumps(found)
    if not isinstance(found, str):
        raise DataError(f'{where}: the value of "{key}" is not a string; choose another key')
    return clean_json_text(found, f'{where}: "{key}"')


def clean_json_text(text: str, where: str) -> str:
    """A string of JSON in NFC. Raises DataError for what escapes can spell and no UTF-8 file can hold."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise DataError(f"{where} holds a NUL or half a surrogate pair, spelled as an escape; remove it")
    return unicodedata.normalize("NFC", text)
