"""Rows of tables written as text: cells between tabs, or CSV as RFC 4180 has it, its separator found out."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from sightline.data.sources import format_suffix
from sightline.data.text import MAX_LINE_BYTES, BadRecord, read_numbered_lines, refuse
from sightline.errors import DataError

SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma", "|": "bar"}
Row = tuple[int, list[str]]  # the line where it begins, from 1, and its cells
# Lines, and characters of them, that a separator is chosen by.
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 1 << 20
_DECLARED = re.compile(r"sep=([\t,;|])\s*")  # the first line that spreadsheets may write and read
_PAGE = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
_OBJECT = re.compile(r'\s*(\[\s*)?\{\s*"')
_QUOTED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')
_RULE = "a quote inside a quoted cell is doubled, and every one is closed"


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes:
        separator: what stands between cells. quoted: whether cells may stand in quotes, and then hold separators, line
            breaks and doubled quotes (RFC 4180). declared: whether the first line says which separator it is.
    """

    separator: str
    quoted: bool
    declared: bool = False

    @property
    def name(self) -> str:
        """What the separator is called."""
        return SEPARATORS[self.separator]


def find_dialect(path: Path) -> Dialect:
    """Quoted cells and the separator that parts most of the first rows alike in a .csv; else plain cells between tabs.

    Raises DataError where the file cannot be read, or is a page of the web or JSON under a false name.
    """
    lines = [line for _, line in islice(read_numbered_lines(path, bad=lambda error: None), _SAMPLE_LINES)]
    first = lines[0] if lines else ""
    if _PAGE.match(first):
        raise DataError(f"{path}:1: is a page of the web (HTML or XML), and no table; fetch the file that it links to")
    if _OBJECT.match(first):
        raise DataError(f"{path}:1: is JSON, and no table of cells; name the file .jsonl, or .json where it is a list")
    if format_suffix(path) != ".csv":
        if "\r" in first:
            raise DataError(
                f"{path}:1: a carriage return without a line feed in column "
                f"{first.split(chr(13))[0].count(chr(9))} (counted from 0); end lines with a line feed"
            )
        return Dialect("\t", quoted=False)
    if declared := _DECLARED.fullmatch(first):
        return Dialect(declared[1], quoted=True, declared=True)
    return Dialect(_likeliest(lines), quoted=True)


def _likeliest(lines: list[str]) -> str:
    held, size = 0, 0
    while held < len(lines) and size < _SAMPLE_CHARACTERS:
        size += len(lines[held])
        held += 1
    sample = lines[:held]

    def fitness(separator: str) -> tuple[float, bool]:
        counts = _cell_counts(sample, separator)
        if not counts or max(counts) < 2:
            return 0.0, False
        usual = counts[0] if counts[0] > 1 else max(set(counts) - {1}, key=counts.count)
        share = counts.count(usual) / len(counts)
        if counts[0] == 1 and share < 0.5:
            return 0.0, False  # a column alone, whose texts hold such a character
        # where all commas stand between digits they may be those of decimal fractions
        decimal = separator == "," and not any(re.search(r"(?<!\d),|,(?!\d)", line) for line in sample)
        return round(share, 1), not decimal

    best = max(SEPARATORS, key=fitness)
    return best if fitness(best)[0] else ","


def _cell_counts(lines: list[str], separator: str) -> list[int]:
    """How many cells each row has that is not empty; without a last one that may be cut."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator)
    counts: list[int] = []
    with suppress(csv.Error):  # what is wrong with it is told when it is read
        for cells in reader:
            counts += [len(cells)] * any(cells)
    return counts[:-1] if len(lines) == _SAMPLE_LINES else counts


def read_rows(path: Path, dialect: Dialect, bad: BadRecord = refuse) -> Iterator[Row]:
    """The rows of a table; `bad` is told of what is none."""
    lines = read_numbered_lines(path, bad)
    if dialect.declared:
        lines = islice(lines, 1, None)
    if dialect.quoted:
        return _quoted_rows(path, lines, dialect.separator, bad)
    return ((number, line.split(dialect.separator)) for number, line in lines)


class _Feed(Iterator[str]):
    """Lines for the csv module; those of the row that is being read are kept."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.row: list[tuple[int, str]] = []
        self.rereading = 0  # lines to come that were part of a row that is none

    def __next__(self) -> str:
        self.row.append(next(self._lines))
        self.rereading = max(self.rereading - 1, 0)
        return self.row[-1][1] + "\n"

    def reread(self) -> None:
        """The lines of the row but the first come again: what was taken for one row may be many."""
        again = self.row[1:]
        self._lines, self.rereading = chain(again, self._lines), len(again) + self.rereading


def _quoted_rows(path: Path, lines: Iterator[tuple[int, str]], separator: str, bad: BadRecord) -> Iterator[Row]:
    csv.field_size_limit(MAX_LINE_BYTES)  # the module's own limit, 131,072, is below many a document
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=separator, strict=True)
    while True:
        feed.row = []
        part_of_another = feed.rereading > 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            bad(DataError(f"{path}:{feed.row[0][0]}: {_fault(feed.row, separator, str(error))}"))
            feed.reread()
            reader = csv.reader(feed, delimiter=separator, strict=True)
            continue
        if cells is None:
            return
        # the end of a row that was broken would pass for one
        if part_of_another and sum(line.count('"') for _, line in feed.row) % 2:
            bad(DataError(f"{path}:{feed.row[0][0]}: not CSV: an odd number of quotes; {_RULE}"))
        else:
            yield feed.row[0][0], cells


def _fault(row: list[tuple[int, str]], separator: str, problem: str) -> str:
    """What breaks RFC 4180 in the lines of a row, in which column, and what to do."""
    if "field larger" in problem:
        what = f"a cell of more than {MAX_LINE_BYTES:,} characters; a quote that is never closed makes one"
        return f"{what}, or else break the text"
    text = "\n".join(line for _, line in row)
    line_of = _line_numbers(row)
    at, column = 0, 0
    plain = re.compile(f"[^{re.escape(separator)}\n]*")
    while at <= len(text):
        which = f"column {column} (counted from 0)"
        if text[at : at + 1] == '"':
            closing = _QUOTED.match(text, at)
            if closing is None:
                return f"not CSV: the quote that begins {which} is never closed; {_RULE}"
            end = closing.end()
            if text[end : end + 1] not in ("", "\n", separator):
                where = "" if line_of(end) == row[0][0] else f" in line {line_of(end)}"
                return f"not CSV: text after the quote that ends {which}{where}; {_RULE}"
        else:
            match = plain.match(text, at)
            end = match.end() if match else at
            if "\r" in text[at:end].rstrip("\r"):
                return (
                    f"not CSV: a carriage return without a line feed in {which}; end lines with a line feed, or put "
                    "the cell in quotes"
                )
        at, column = end + 1, column + 1
    return f"not CSV ({problem}); {_RULE}"


def _line_numbers(row: list[tuple[int, str]]) -> Callable[[int], int]:
    """Which line a character of the joined lines is in."""
    ends: list[tuple[int, int]] = []
    end = -1
    for number, line in row:
        end += len(line) + 1
        ends.append((end, number))
    return lambda at: next((number for end, number in ends if at <= end), row[-1][0])
