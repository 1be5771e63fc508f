"""Records of tables: TSV, CSV, JSON Lines, JSON and Parquet files, and the columns that are read of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sightline.data.delimited import Dialect, find_dialect, read_rows
from sightline.data.headers import COMPARED_ROWS, clean_names, names_columns
from sightline.data.json_records import json_values, values_at
from sightline.data.parquet import parquet_names, parquet_records
from sightline.data.sources import Column, Source, format_suffix
from sightline.data.text import BadRecord, refuse
from sightline.errors import DataError, UsageError, nearest

JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
PARQUET_SUFFIXES = {".parquet", ".pq"}

Record = tuple[int, tuple[str, ...]]  # its number, and its values in the columns that were asked for

Header = Annotated[
    bool | None,
    Field(
        description="of a CSV or TSV file: whether the first line names the columns; where it is not said, one "
        "that is surely no record is taken so"
    ),
]


class TableSource(Source):
    """A source that may be a table: TSV, CSV (.csv, its separator found out), JSON Lines, JSON or Parquet."""

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
        if is_keyed(path) or not has_header(path, columns, self.label_column):
            return []
        return [f"{self.source}:1: columns: {_shown(first_row(path))} (taken as their names, not as a record)"]


def is_json(path: Path) -> bool:
    """Whether a file's suffix, but for that of its compression, is one of JSON."""
    return format_suffix(path) in JSON_SUFFIXES


def is_parquet(path: Path) -> bool:
    """Whether a file's suffix, but for that of its compression, is that of Parquet."""
    return format_suffix(path) in PARQUET_SUFFIXES


def is_keyed(path: Path) -> bool:
    """Whether the file itself names the columns of its records, in whatever form."""
    return is_json(path) or is_parquet(path)


def read_records(
    path: Path,
    columns: Sequence[Column],
    *,
    label: Column | None = None,
    header: bool | None = None,
    bad: BadRecord = refuse,
) -> Iterator[Record]:
    """(number, the wanted columns) of each record of a table; an empty line of one has empty ones.

    Numbers are those of lines; of a JSON file that is one list and of Parquet, those of its items.

    Args:
        columns: numbers from 0, or names: those of the first line, or keys; "a.b" reaches into an object.
        label: the column of labels. In JSON and Parquet it may hold numbers, which are given as JSON spells them, whole
            ones without a fraction.
        header: of a TSV or CSV file whose columns are given by number, whether its first line names them; see
            `has_header`.
        bad: is told of each line that is no record; by default the first one is raised.

    Raises:
        DataError: (file:line) where a line is not a record with these columns.
        UsageError: where a column is not there at all.
    """
    if is_parquet(path):
        return parquet_records(path, columns, label, bad)
    if is_json(path):
        return _json_records(path, columns, label, bad)
    return _table(path, columns, label, header, bad)


def _json_records(path: Path, columns: Sequence[Column], label: Column | None, bad: BadRecord) -> Iterator[Record]:
    for number, record in json_values(path, bad):
        try:
            values = values_at(record, columns, label, f"{path}:{number}")
        except DataError as error:
            bad(error)
        else:
            yield number, values


def _table(
    path: Path, columns: Sequence[Column], label: Column | None, header: bool | None, bad: BadRecord
) -> Iterator[Record]:
    named = any(isinstance(column, str) for column in columns)
    if named and header is False:
        raise UsageError(f"{path}: columns are named, and header = false says that the first line is a record")
    dialect = find_dialect(path)
    rows = read_rows(path, dialect, bad)
    names: list[str] | None = None
    if named or header or (header is None and has_header(path, columns, label)):
        first, _ = next(read_rows(path, dialect), (1, []))
        names = first_row(path)
        rows = (row for row in rows if row[0] > first)
    places = [_place_of(column, names or [], path) for column in columns]
    if min(places) < 0:
        raise UsageError(f"{path}: column {min(places)} is negative; columns count from 0")
    # the number of cells that rows have, and the line that said so
    width = (1, len(names)) if names else None
    needed, empty = max(places) + 1, True
    for number, cells in rows:
        if cells in ([], [""]):
            yield number, ("",) * len(places)
            continue
        problem = _problem(cells, needed, width, names, dialect)
        if problem:
            bad(DataError(f"{path}:{number}: {problem}"))
            empty = False
            continue
        width, empty = width or (number, len(cells)), False
        yield number, tuple(cells[place] for place in places)
    if empty and names:
        raise DataError(f"{path}:1: columns: {_shown(names)}, and no record below them")


def _problem(
    cells: Sequence[str], needed: int, width: tuple[int, int] | None, names: Sequence[str] | None, dialect: Dialect
) -> str | None:
    """Why a row is no record, and what to do."""
    count = f"{len(cells)} {dialect.name}-separated columns"
    if len(cells) < needed:
        hint = "mend the line or choose other columns"
        if not dialect.quoted and any(cell.startswith('"') and cell.count('"') % 2 for cell in cells):
            hint = "only in a file named .csv may a cell in quotes go on over lines"
        elif not dialect.quoted and len(cells) == 1 and max(map(cells[0].count, ",;|")):
            hint = "a file with other separators than tabs is named .csv"
        return f"{count}, column {needed - 1} wanted (counted from 0); {hint}"
    if width and len(cells) > width[1] and any(map(str.strip, cells[width[1] :])):
        extra = f"column {width[1]} (counted from 0)"
        hint = "put a cell that holds one in quotes" if dialect.quoted else "take the tab out of the text"
        if any("\r" in cell for cell in cells):
            hint = "a carriage return in it ends no line; end lines with a line feed"
        elif not dialect.quoted and any(cell.startswith('"') for cell in cells):
            hint += ", or name the file .csv, where a cell in quotes may hold one"
        return f"{count}, where line {width[0]} has {width[1]}: {extra} is one too many; {hint}"
    if names and clean_names(cells) == names:
        return "names the columns again; take the line out"
    return None


def _shown(names: Sequence[str]) -> str:
    return " ".join(", ".join(names)[:80].split())


def _place_of(column: Column, names: Sequence[str], path: Path) -> int:
    if isinstance(column, int):
        return column
    if column.strip() not in names:
        raise UsageError(f'{path}:1: no column is named "{column}"{nearest(column, names)}')
    places = [place for place, name in enumerate(names) if name == column.strip()]
    if len(places) > 1:
        raise UsageError(
            f'{path}:1: columns {" and ".join(map(str, places))} are both named "{column}"; choose by number, counted '
            "from 0"
        )
    return places[0]


def first_row(path: Path) -> list[str]:
    """The names in a table's first line."""
    return clean_names(next(read_rows(path, find_dialect(path)), (1, []))[1])


def column_names(path: Path) -> list[str]:
    """What may be the names of the columns of a table: the cells of its first line, or the keys of its first record."""
    if is_parquet(path):
        return parquet_names(path)
    if is_json(path):
        record = next((record for _, record in json_values(path) if record is not None), None)
        return list(record) if isinstance(record, dict) else []
    return first_row(path)


def has_header(path: Path, columns: Sequence[Column], label: Column | None = None) -> bool:
    """Whether the first line of a TSV or CSV file names the columns; see `sightline.data.headers.names_columns`."""
    # what is wrong with a line is told when it is read as a record
    rows = read_rows(path, find_dialect(path), bad=lambda error: None)
    return names_columns(str(path), islice(rows, 1 + COMPARED_ROWS), columns, label)
