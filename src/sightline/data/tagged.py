"""Units of text with a tag each: files of them, the tokens they are read as, and spans in BIO.

A unit is what a tag stands beside: a word, or a character. A token may hold several units, and a unit several tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.data.readers import read_lines, resolve
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError

Span = tuple[int, int, str]  # first unit, unit after the last, type
UNTAGGED = -100  # tokens that no unit begins in


@dataclass(frozen=True)
class TaggedSource:
    """Where tagged units come from: a file with one unit a line, tab or spaces, its tag; an empty line ends a record.

    `joined_by` stands between the units of a text: " " for words, "" for characters. Lines that begin with `comment`
    are left out, where it is given.
    """

    source: str
    joined_by: str = " "
    comment: str | None = None

    def path(self) -> Path:
        return resolve(self.source)


def read_tagged(source: TaggedSource) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(units, tags) of each record. Raises DataError (file:line) for a line without a unit and a tag."""
    path = source.path()
    units: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(read_lines(path), 1):
        if source.comment and line.startswith(source.comment):
            continue
        if line.strip():
            # a unit may be a space
            unit, _, tag = line.rpartition("\t" if "\t" in line else " ")
            if not unit or not tag.strip():
                raise DataError(f"{path}:{number}: {line[:40]!r} is no unit with a tag; mend the line")
            units.append(unit)
            tags.append(tag.strip())
        elif units:
            yield tuple(units), tuple(tags)
            units, tags = [], []
    if units:
        yield tuple(units), tuple(tags)


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
    token_of, token, at = [], 0, 0
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
    for unit, token in enumerate(aligned.token_of):
        before = aligned.token_of[unit - 1] if unit else None
        if 0 <= token < len(token_tags):
            tag = token_tags[token]
            found.append("I-" + tag[2:] if token == before and tag.startswith("B-") else tag)
        else:
            found.append("O")
    for unit, token in enumerate(aligned.token_of):
        if token < 0 and 0 < unit < len(found) - 1 and found[unit + 1].startswith("I-"):
            before = found[unit - 1]
            if before[2:] == found[unit + 1][2:]:
                found[unit] = found[unit + 1]
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
