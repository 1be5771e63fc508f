"""Units of text with a tag each: files of them, the tokens they are read as, and spans in BIO.

A unit is what a tag stands beside: a word, or a character. A token may hold several units, and a unit several tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from sightline.data.delimited import find_dialect, read_rows
from sightline.data.headers import clean_names, is_known_name
from sightline.data.json_records import clean_json_text, json_values
from sightline.data.parquet import parquet_names, parquet_values
from sightline.data.records import is_keyed, is_parquet
from sightline.data.sources import WHOLE, Column, Outline, Part, Source, format_suffix, take_part
from sightline.data.splits import take_split
from sightline.data.text import BadRecord, read_numbered_lines, refuse
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, UsageError, nearest
from sightline.jsonio import Json

Span = tuple[int, int, str]  # first unit, unit after the last, type
Tagged = tuple[tuple[str, ...], tuple[str, ...]]  # units, and the tag of each
UNTAGGED = -100  # tokens that no unit begins in
_BIO = re.compile(r"O|[BI]-.+")
# What the lists of a record are called in JSON Lines and Parquet, unless it is said.
_UNIT_KEYS, _TAG_KEYS = ("tokens", "words", "units"), ("tags", "ner_tags", "labels")


class TaggedSource(Source):
    """Where tagged units come from.

    - a file with a unit, tab or spaces, its tag a line; an empty line ends a record;
    - CSV of a unit and its tag a row; an empty one ends a record;
    - JSON Lines or Parquet: a list of units and one of tags in each record ("tokens" and "tags" unless `columns` say).
    """

    source: str = Field(description="a file with a unit and its tag on each line, an empty line after each record; or "
        "JSON Lines or Parquet with lists of both")  # fmt: skip
    joined_by: str = Field(
        default=" ", description='what stands between the units of a text: " " of words, "" of characters'
    )
    comment: str | None = Field(default=None, description="lines that begin so are left out")
    columns: tuple[Column, Column] | None = Field(
        default=None,
        description="those of the unit and of its tag, by number, counted from 0, by name or key; a line has these two "
        "alone where they are not given. Only between tabs a unit may hold spaces",
    )
    part: Part = WHOLE

    @model_validator(mode="after")
    def _fits(self) -> TaggedSource:
        negative = any(isinstance(one, int) and one < 0 for one in self.columns or ())
        if self.columns is not None and (negative or self.columns[0] == self.columns[1]):
            raise ValueError(f"{self.source}: columns {list(self.columns)} must be two, counted from 0")
        return self

    def notices(self) -> list[str]:
        """That the first line was found to name the columns, where nobody said so."""
        path = self.files()[0]
        if is_keyed(path) or (self.columns and isinstance(self.columns[0], str)):
            return []
        _, first = next(_rows(path, lambda error: None), (1, []))
        if not _names_columns(first, self.columns):
            return []
        return [f"{self.source}:1: columns: {', '.join(clean_names(first))[:80]} (taken as their names, not as a unit)"]

    def outlines(self, bad: BadRecord = refuse) -> Iterator[Outline]:
        """The records, by their texts."""
        texts = (self.joined_by.join(units) for _, (units, _) in read_numbered_tagged(self, bad))
        return (Outline(text, (text,)) for text in texts)


def split_words(text: str, joined_by: str) -> list[tuple[str, int]]:
    """The units of a text and where each begins: words between `joined_by`, or characters where that is empty.

    Where `joined_by` is white space, words are parted by any white space, however much of it; otherwise by it alone.
    No unit is empty.
    """
    if not joined_by:
        return [(char, at) for at, char in enumerate(text)]
    if joined_by.isspace():
        return [(match.group(), match.start()) for match in re.finditer(r"\S+", text)]
    found: list[tuple[str, int]] = []
    at = 0
    for word in text.split(joined_by):
        if word:
            found.append((word, at))
        at += len(word) + len(joined_by)
    return found


def read_tagged(source: TaggedSource, bad: BadRecord = refuse) -> Iterator[Tagged]:
    """(units, tags) of each record. Records of the same units are on one side of a split.

    Raises DataError (file:line) for a line that is not a unit and a tag, and for a tag that is not BIO, or tells `bad`.
    """
    records = take_part((record for _, record in read_numbered_tagged(source, bad)), source.part)
    yield from take_split(records, source.split, lambda record: source.joined_by.join(record[0]))


def read_numbered_tagged(source: TaggedSource, bad: BadRecord = refuse) -> Iterator[tuple[int, Tagged]]:
    """All records of a file, whatever the source's part and split, each with the number of its first line.

    `bad` is told of what is no unit with a tag, and the record that it is in is left out.
    """
    path = source.files()[0]
    return _listed(path, source.columns, bad) if is_keyed(path) else _lined(path, source, bad)


def _lined(path: Path, source: TaggedSource, bad: BadRecord) -> Iterator[tuple[int, Tagged]]:
    broken = 0  # lines of the record that are none

    def told(error: DataError) -> None:
        nonlocal broken
        bad(error)
        broken += 1

    columns = source.columns
    rows = _rows(path, told, source.comment)
    places: tuple[int, int] | None = None
    if columns is not None:
        names = clean_names(next(_rows(path, comment=source.comment), (1, []))[1])
        places = (_place(columns[0], names, path), _place(columns[1], names, path))
    named = columns is not None and any(isinstance(one, str) for one in columns)
    units: list[str] = []
    tags: list[str] = []
    start, first = 0, True
    for number, cells in rows:
        if first and (named or _names_columns(cells, columns)):
            first = False
            continue
        first = False
        if any(cell.strip() for cell in cells):
            start = start or number
            try:
                unit, tag = _unit_and_tag(cells, places, f"{path}:{number}")
            except DataError as error:
                told(error)
                continue
            units.append(unit)
            tags.append(tag)
        else:
            if units and not broken:
                yield start, (tuple(units), tuple(tags))
            units, tags, start, broken = [], [], 0, 0
    if units and not broken:
        yield start, (tuple(units), tuple(tags))


def _rows(path: Path, bad: BadRecord = refuse, comment: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """(line, cells): of CSV; of other text what tabs part, or else spaces."""
    if format_suffix(path) == ".csv":
        rows = read_rows(path, find_dialect(path), bad)
        yield from (
            (number, cells) for number, cells in rows if not (comment and cells and cells[0].startswith(comment))
        )
        return
    for number, line in read_numbered_lines(path, bad):
        if not (comment and line.startswith(comment)):
            # between tabs a unit may be a space
            yield number, line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]


def _names_columns(cells: Sequence[str], columns: tuple[Column, Column] | None) -> bool:
    """Whether a first line has what columns are called by where a unit and its tag would be."""
    places = [one for one in columns or (0, 1) if isinstance(one, int)]
    if len(places) < 2 or max(places) >= len(cells):
        return False
    return not _BIO.fullmatch(cells[places[1]].strip()) and all(is_known_name(cells[place]) for place in places)


def _place(column: Column, names: Sequence[str], path: Path) -> int:
    if isinstance(column, int):
        return column
    if column not in names:
        raise UsageError(f'{path}:1: no column is named "{column}"{nearest(column, names)}')
    return names.index(column)


def _unit_and_tag(cells: Sequence[str], places: tuple[int, int] | None, where: str) -> tuple[str, str]:
    shown = " ".join(cells)[:40]
    if places is None and len(cells) > 2:
        raise DataError(
            f"{where}: {shown!r} has {len(cells)} fields; say which are unit and tag, such as columns = "
            f"[0, {len(cells) - 1}]"
        )
    unit_at, tag_at = places or (0, 1)
    if len(cells) <= max(unit_at, tag_at) or not cells[unit_at] or not cells[tag_at].strip():
        raise DataError(f"{where}: {shown!r} is no unit with a tag; mend the line")
    tag = cells[tag_at].strip()
    _require_bio(tag, where)
    return cells[unit_at], tag


def _require_bio(tag: str, where: str) -> None:
    if not _BIO.fullmatch(tag):
        convert = "; of BIOES, S- is written B-, and E- is written I-" if tag[:2] in ("S-", "E-") else ""
        raise DataError(f"{where}: the tag {tag[:40]!r} is not BIO: O, or B- or I- and a kind; write them so{convert}")


def _listed(path: Path, columns: tuple[Column, Column] | None, bad: BadRecord) -> Iterator[tuple[int, Tagged]]:
    keys = None if columns is None else (str(columns[0]), str(columns[1]))
    if is_parquet(path):
        keys = keys or _keys(parquet_names(path), str(path))
        records = parquet_values(path, keys)
    else:
        records = json_values(path, bad)
    for number, record in records:
        if record is None:
            continue
        where = f"{path}:{number}"
        try:
            found = _lists(record, keys, where)
        except DataError as error:
            bad(error)
            continue
        if found[0]:
            yield number, found


def _keys(names: Iterable[str], where: str) -> tuple[str, str]:
    names = list(names)
    unit, tag = (next((key for key in keys if key in names), None) for keys in (_UNIT_KEYS, _TAG_KEYS))
    if unit is None or tag is None:
        wanted, known = ("units", _UNIT_KEYS) if unit is None else ("tags", _TAG_KEYS)
        raise DataError(
            f"{where}: no key of a list of {wanted} ({', '.join(known)}) among {', '.join(names)[:80] or 'none'}; say "
            "which keys they are with columns"
        )
    return unit, tag


def _lists(record: Json, keys: tuple[str, str] | None, where: str) -> Tagged:
    if not isinstance(record, dict):
        raise DataError(f"{where}: not an object with a list of units and one of tags; mend the line")
    unit_key, tag_key = keys or _keys(record, where)
    for key in (unit_key, tag_key):
        if key not in record:
            raise DataError(f'{where}: no key "{key}"{nearest(key, record)}')
    units, tags = (_strings(record[key], key, where) for key in (unit_key, tag_key))
    if len(units) != len(tags):
        raise DataError(f"{where}: {len(units)} units and {len(tags)} tags; each unit has one")
    for tag in tags:
        _require_bio(tag, where)
    return units, tags


def _strings(value: Json, key: str, where: str) -> tuple[str, ...]:
    if isinstance(value, list) and any(type(one) is int for one in value):
        raise DataError(f'{where}: "{key}" holds numbers; write what they stand for, as in "B-PER"')
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise DataError(f'{where}: "{key}" is not a list of texts; mend the record')
    return tuple(clean_json_text(str(one), f'{where}: "{key}"') for one in value)


@dataclass(frozen=True)
class Aligned:
    """A record as tokens.

    Attributes:
        ids: the tokens of the whole text. token_of: for each unit the token in which it begins, -1 where none is.
    """

    ids: list[int]
    token_of: list[int]

    def first_units(self) -> list[int]:
        """For each token the first unit that begins in it, or -1."""
        found = [-1] * len(self.ids)
        for unit in reversed(range(len(self.token_of))):
            if 0 <= self.token_of[unit] < len(self.ids):
                found[self.token_of[unit]] = unit
        return found


def align(units: Sequence[str], joined_by: str, tokenizer: Tokenizer) -> Aligned:
    """The tokens of the units' text, and where each unit lies among them."""
    text = joined_by.join(units)
    ids, spans = tokenizer.encode(text), tokenizer.spans(text)
    token_of: list[int] = []
    token, at = 0, 0
    for unit in units:
        # a unit of white space, or one that the tokenizer drops, begins in no token
        while token < len(spans) and spans[token][1] <= at:
            token += 1
        inside = token < len(spans) and spans[token][0] < at + len(unit) and bool(unit.strip())
        token_of.append(token if inside else -1)
        at += len(unit) + len(joined_by)
    return Aligned(ids, token_of)


def unit_tags(aligned: Aligned, token_tags: Sequence[str]) -> list[str]:
    """A tag for every unit from those of the tokens, in BIO: units after the first of a token go on with its span.

    Units in no token go on with the span around them, or have none ("O").
    """
    found: list[str] = []
    latest, waiting = -1, 0  # the last token that a unit began in, and how many units since then began in none
    for token in aligned.token_of:
        tag = token_tags[token] if 0 <= token < len(token_tags) else "O"
        if token < 0:
            waiting += 1
        else:
            if token == latest and tag.startswith("B-"):
                tag = "I-" + tag[2:]
            before = found[-waiting - 1] if waiting < len(found) else "O"
            if tag.startswith("I-") and before[2:] == tag[2:]:
                found[len(found) - waiting :] = [tag] * waiting
            latest, waiting = token, 0
        found.append(tag)
    return found


def to_valid_bio(tags: Sequence[str]) -> list[str]:
    """The same spans in BIO as it must be: each begins with "B-", whatever it began with."""
    found = ["O"] * len(tags)
    for first, stop, kind in spans(tags):
        found[first:stop] = [f"B-{kind}", *[f"I-{kind}"] * (stop - first - 1)]
    return found


def spans(tags: Iterable[str]) -> list[Span]:
    """The spans that BIO tags mark. What goes on with nothing before it, or with another type, begins a span."""
    found: list[Span] = []
    start, kind = 0, ""
    number = -1
    for number, tag in enumerate(tags):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            found.append((start, number, kind))
            kind = ""
        if prefix in ("B", "I") and not kind:
            start, kind = number, name
    if kind:
        found.append((start, number + 1, kind))
    return found


def span_f1(true: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> tuple[float, float, float]:
    """Precision, recall and F1 over all spans (per cent), exact ends and types, as CoNLL 2003 counts them."""
    right = told = there = 0
    for one, other in zip(true, predicted, strict=True):
        gold, found = set(spans(one)), set(spans(other))
        right, told, there = right + len(gold & found), told + len(found), there + len(gold)
    precision, recall = 100 * right / max(told, 1), 100 * right / max(there, 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)
