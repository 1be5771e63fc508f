"""What a trained run is used on: records of a table, with the columns that it reads and all others beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightline.data.headers import TEXT_NAMES
from sightline.data.json_records import json_values, values_at
from sightline.data.parquet import parquet_values
from sightline.data.records import column_names, first_row, has_header, is_json, is_keyed, is_parquet, read_records
from sightline.data.sources import Column, format_suffix
from sightline.errors import DataError, UsageError, nearest
from sightline.jsonio import Json

TABLE_SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Inputs:
    """What a use of a run reads of a record.

    Attributes:
        names: of each input what a column of it may be called, its own name first.
        columns: the columns that training read them from; none where that was no table.
        label: the column of labels there, which tells a header from a record.
    """

    names: tuple[tuple[str, ...], ...] = (TEXT_NAMES,)
    columns: tuple[Column, ...] = ()
    label: Column | None = None

    @property
    def own_names(self) -> tuple[str, ...]:
        """What the inputs are called where they come from no table."""
        first = [names[0] for names in self.names]
        return tuple(f"{name}{number}" if first.count(name) > 1 else name for number, name in enumerate(first, 1))


@dataclass(frozen=True)
class Row:
    """One record: its number in its file, what is read of it, and all of its values by name."""

    number: int
    texts: tuple[str, ...]
    values: Mapping[str, Json]


@dataclass(frozen=True)
class Table:
    """A table that a run is used on: the columns that are read, all names, and whether the first line has them."""

    path: Path
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    header: bool = field(default=True)

    @classmethod
    def of(cls, path: Path, inputs: Inputs, columns: Sequence[Column] | None = None) -> Table:
        """The columns that the user names; else those of training where the table has them; else those that are called
        as its inputs are; else all, where there are as many as inputs.

        Raises UsageError where that leaves open which they are, DataError where the file cannot be read.
        """
        count = len(inputs.names)
        if columns is not None and len(columns) != count:
            raise UsageError(f"columns: names {len(columns)}; the run reads {count} of a record")
        if is_keyed(path):
            names = _keys(path)
            return cls(path, tuple(columns or ()) or _named(path, names, inputs), names)
        names = tuple(first_row(path))
        chosen = tuple(columns or ()) or _chosen(path, names, inputs)
        numbered = all(isinstance(one, int) for one in chosen)
        label = inputs.label if isinstance(inputs.label, int) and inputs.label < len(names) else None
        header = not numbered or _is_headed(path, chosen, label)
        return cls(path, chosen, names if header else tuple(f"column {place}" for place in range(len(names))), header)

    def describe(self) -> str:
        """Which columns are read, as one line."""
        of = f" of {', '.join(self.names)}"[:80] if self.header else f" of {len(self.names)}, counted from 0"
        return f"{self.path}: columns: {', '.join(map(str, self.columns))}{of}"

    def rows(self) -> Iterator[Row]:
        """Raises DataError (file:line) for a line that is no record with these columns."""
        if is_keyed(self.path):
            for number, record in self._records():
                texts = values_at(record, self.columns, None, f"{self.path}:{number}")
                yield Row(number, texts, record if isinstance(record, dict) else {})
            return
        places = [self._place(one) for one in self.columns]
        names = _distinct(self.names)
        for number, cells in read_records(self.path, tuple(range(len(names))), header=self.header):
            yield Row(number, tuple(cells[place] for place in places), dict(zip(names, cells, strict=True)))

    def _records(self) -> Iterator[tuple[int, Json]]:
        if not is_parquet(self.path):
            return json_values(self.path)
        # dates and the like, which JSON has not, are texts
        found = parquet_values(self.path, self.names)
        return ((number, json.loads(json.dumps(record, default=str))) for number, record in found)

    def _place(self, column: Column) -> int:
        if isinstance(column, str):
            if column not in self.names:
                raise UsageError(f'{self.path}:1: no column is named "{column}"{nearest(column, self.names)}')
            return self.names.index(column)
        if column >= len(self.names):
            raise UsageError(f"{self.path}: there is no column {column}; they are {len(self.names)}, counted from 0")
        return column


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table, and not lines of text."""
    return is_keyed(path) or format_suffix(path) in TABLE_SUFFIXES


def _is_headed(path: Path, columns: Sequence[Column], label: Column | None) -> bool:
    """Whether the first line names the columns; where only the user can tell it is used as a record, and nothing is
    lost."""
    try:
        return has_header(path, columns, label)
    except DataError:
        return False


def _keys(path: Path) -> tuple[str, ...]:
    names = column_names(path)
    if not names and is_json(path):
        raise DataError(f"{path}:1: not an object; each line must be one, with a key for each column")
    return tuple(names)


def _named(path: Path, names: Sequence[str], inputs: Inputs) -> tuple[Column, ...]:
    """Names of the inputs' columns. Raises UsageError where they cannot be told."""
    trained = [str(one) for one in inputs.columns]
    # "a.b" reaches into an object of JSON
    if trained and all(one in names or one.split(".")[0] in names for one in trained):
        return tuple(trained)
    found = [next((name for name in known if name in names), None) for known in inputs.names]
    if None in found or len(set(found)) < len(found):
        wanted = ", ".join(trained) or " and ".join(known[0] for known in inputs.names)
        raise UsageError(
            f"{path}: which column holds what the run reads ({wanted})? Choose by columns (or --columns), of: "
            f"{', '.join(names)[:100]}"
        )
    return tuple(name for name in found if name is not None)


def _chosen(path: Path, names: Sequence[str], inputs: Inputs) -> tuple[Column, ...]:
    places = [one for one in inputs.columns if isinstance(one, int)]
    if places and len(places) == len(inputs.columns) and max(places) < len(names):
        return tuple(places)
    try:
        return _named(path, names, inputs)
    except UsageError:
        if len(names) != len(inputs.names) or any(one in names for one in inputs.columns):
            raise
        return tuple(range(len(names)))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of which none comes twice or is empty."""
    found: list[str] = []
    for place, name in enumerate(names):
        wanted = name.strip() or f"column {place}"
        number, one = 1, wanted
        while one in found:
            number += 1
            one = f"{wanted} {number}"
        found.append(one)
    return found
