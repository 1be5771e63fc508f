"""The first records of a file, whatever they are, and what kind of data they look like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sightline.data.compression import file_blocks
from sightline.data.delimited import find_dialect, read_rows
from sightline.data.json_records import json_values
from sightline.data.parquet import parquet_names, parquet_values
from sightline.data.records import is_json, is_parquet
from sightline.data.text import first_character
from sightline.errors import SightlineError

_ROWS = 200
_TELLING_ROWS = 20
_BIO = re.compile(r"O|[BI]-\S+")


@dataclass(frozen=True)
class Sample:
    """The beginning of a file.

    Attributes:
        names: the keys of its first record, or the cells of its first line. rows: the values of each record, as text;
            of values that are lists or objects, empty. squad: whether it begins as SQuAD's files do.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    squad: bool = False

    def column(self, place: int) -> list[str]:
        """The values of a column that are not empty."""
        return [row[place].strip() for row in self.rows if len(row) > place and row[place].strip()]

    @property
    def width(self) -> int:
        """How many columns most rows have."""
        widths = [len(row) for row in self.rows if any(row)]
        return max(set(widths), key=widths.count, default=0)


def read_sample(path: Path) -> Sample:
    """The beginning of a file; an empty sample of a folder and of what cannot be read."""
    try:
        return _read(path) if path.is_file() else Sample((), ())
    except SightlineError:
        return Sample((), ())


def _read(path: Path) -> Sample:
    if is_parquet(path):
        names = parquet_names(path)
        records = [record for _, record in islice(parquet_values(path, names), _ROWS)]
    elif is_json(path):
        head = next(file_blocks(path), b"")
        if first_character(path) == "{" and b'"paragraphs"' in head:
            return Sample((), (), squad=True)
        records = [record for _, record in islice(json_values(path, lambda error: None), _ROWS)]
    else:
        rows = [cells for _, cells in islice(read_rows(path, find_dialect(path), lambda error: None), _ROWS)]
        if all(len(cells) == 1 for cells in rows):  # units and tags may stand between spaces
            rows = [cells[0].split(" ") if 1 < len(cells[0].split(" ")) < 5 else cells for cells in rows]
        return Sample(tuple(rows[0]) if rows else (), tuple(map(tuple, rows)))
    objects = [record for record in records if isinstance(record, dict)]
    names = tuple(objects[0]) if objects else ()
    values = [tuple("" if isinstance(one.get(key), (list, dict)) else str(one.get(key, "")) for key in names)
              for one in objects]  # fmt: skip
    return Sample(names, tuple(values))


def looks_labelled(sample: Sample) -> str:
    """Of labelled texts: a column of a few short values that come again beside one of different texts."""
    if looks_tagged(sample) or looks_asked(sample):
        return ""
    texts = any(_are_texts(sample.column(place)) for place in range(sample.width))
    for place in range(sample.width):
        values = sample.column(place)[1:]
        different = len(set(values))
        few = len(values) >= _TELLING_ROWS and 1 < different <= max(2, len(values) // 5)
        if texts and few and all(len(value) <= 40 and len(value.split()) <= 3 for value in values):
            return f"column {place}, counted from 0, holds {different} short values that come again and again"
    return ""


def looks_paired(sample: Sample) -> str:
    """Of pairs: two columns of different texts, and none of labels."""
    texts = [place for place in range(sample.width) if _are_texts(sample.column(place))]
    if len(texts) > 1 and not looks_labelled(sample) and not looks_asked(sample):
        return f"columns {texts[0]} and {texts[1]}, counted from 0, hold texts"
    return ""


def looks_tagged(sample: Sample) -> str:
    """Of tagged units: rows that end in a tag of BIO, or lists of units and tags."""
    rows = [row for row in sample.rows if any(row)]
    tagged = [row for row in rows if len(row) > 1 and _BIO.fullmatch(row[-1].strip())]
    if len(tagged) > max(0.9 * len(rows), 2) and any(row[-1].startswith("B-") for row in tagged):
        return "lines end in tags such as B-…"
    lists = {"tokens", "words"} & set(sample.names) and {"tags", "ner_tags"} & set(sample.names)
    return "records hold tokens and tags" if lists else ""


def looks_asked(sample: Sample) -> str:
    """Of questions on texts."""
    if sample.squad:
        return "it has the layout of SQuAD"
    return "records hold question and context" if {"question", "context"} <= set(sample.names) else ""


def looks_plain(sample: Sample) -> str:
    """Of plain text: nothing tells it from another."""
    return "it is text" if sample.width == 1 and not looks_asked(sample) else ""


def _are_texts(values: Sequence[str]) -> bool:
    """Whether values are mostly different, and several words or long."""
    if len(values) < _TELLING_ROWS:
        return False
    long = sum(len(value.split()) > 2 or len(value) > 12 for value in values)
    return len(set(values)) > 0.5 * len(values) and long > 0.5 * len(values)
