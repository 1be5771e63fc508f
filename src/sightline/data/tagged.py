"""Units of text with a tag each: files of them, the tokens they are read as, and spans in BIO.

A unit is what a tag stands beside: a word, or a character. A token may hold several units, and a unit several tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field, model_validator

from sightline.data.records import BadRecord, refuse
from sightline.data.sources import WHOLE, Outline, Part, Source, take_part
from sightline.data.splits import take_split
from sightline.data.text import read_text_lines
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError

Span = tuple[int, int, str]  # first unit, unit after the last, type
Tagged = tuple[tuple[str, ...], tuple[str, ...]]  # units, and the tag of each
UNTAGGED = -100  # tokens that no unit begins in
_BIO = re.compile(r"O|[BI]-.+")


class TaggedSource(Source):
    """Where tagged units come from: a file with a unit, tab or spaces, its tag a line; an empty line ends a record."""

    source: str = Field(description="a file with a unit and its tag on each line, an empty line after each record")
    joined_by: str = Field(
        default=" ", description='what stands between the units of a text: " " of words, "" of characters'
    )
    comment: str | None = Field(default=None, description="lines that begin so are left out")
    columns: tuple[int, int] | None = Field(
        default=None,
        description="those of the unit and of its tag, counted from 0; a line has these two alone where they are not "
        "given. Only between tabs a unit may hold spaces",
    )
    part: Part = WHOLE

    @model_validator(mode="after")
    def _fits(self) -> TaggedSource:
        if self.columns is not None and (min(self.columns) < 0 or self.columns[0] == self.columns[1]):
            raise ValueError(f"{self.source}: columns {list(self.columns)} must be two, counted from 0")
        return self

    def outlines(self, bad: BadRecord = refuse) -> Iterator[Outline]:
        """The records, by their texts."""
        texts = (self.joined_by.join(units) for units, _ in _records(self, bad))
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
    records = take_part(_records(source, bad), source.part)
    yield from take_split(records, source.split, lambda record: source.joined_by.join(record[0]))


def _records(source: TaggedSource, bad: BadRecord) -> Iterator[Tagged]:
    path = source.files()[0]
    units: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(read_text_lines(path), 1):
        if source.comment and line.startswith(source.comment):
            continue
        if line.strip():
            try:
                unit, tag = _unit_and_tag(line, source.columns, f"{path}:{number}")
            except DataError as error:
                bad(error)
                continue
            units.append(unit)
            tags.append(tag)
        elif units:
            yield tuple(units), tuple(tags)
            units, tags = [], []
    if units:
        yield tuple(units), tuple(tags)


def _unit_and_tag(line: str, columns: tuple[int, int] | None, where: str) -> tuple[str, str]:
    # between tabs a unit may be a space
    fields = line.split("\t") if "\t" in line else [field for field in line.split(" ") if field]
    if columns is None and len(fields) > 2:
        raise DataError(
            f"{where}: {line[:40]!r} has {len(fields)} fields; say which are unit and tag, such as columns = "
            f"[0, {len(fields) - 1}]"
        )
    unit_at, tag_at = columns or (0, 1)
    if len(fields) <= max(unit_at, tag_at) or not fields[unit_at] or not fields[tag_at].strip():
        raise DataError(f"{where}: {line[:40]!r} is no unit with a tag; mend the line")
    tag = fields[tag_at].strip()
    if not _BIO.fullmatch(tag):
        convert = "; of BIOES, S- is written B-, and E- is written I-" if tag[:2] in ("S-", "E-") else ""
        raise DataError(f"{where}: the tag {tag[:40]!r} is not BIO: O, or B- or I- and a kind; write them so{convert}")
    return fields[unit_at], tag


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
