"""Predictions beside the records they are of, as a table that is written whole or goes on where it was left."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from sightline.data.table_writing import table_line
from sightline.errors import DataError, UsageError
from sightline.jsonio import Json, dumps, parse_json
from sightline.train.storage import replace_text

SUFFIXES = (".csv", ".tsv", ".jsonl")
MAX_STATE_BYTES = 1 << 20


class Output:
    """A table of records with predictions beside them, under construction.

    Records are appended to NAME.partial, and NAME.partial.json says how many are there and what they were made from;
    at the end the file gets its name. Whoever writes the same again goes on after the records that are there.

    Args:
        path: a .csv (RFC 4180), .tsv (a tab or line break in a value becomes a space) or .jsonl file.
        made_from: what the predictions depend on, as JSON; None where that cannot be known, as of standard input, and
            nothing is gone on with.

    Attributes:
        done: how many records are there already.

    Raises UsageError, before anything is written, for another suffix or a folder that is not there.
    """

    def __init__(self, path: Path, made_from: Json) -> None:
        require_writable(path)
        self.path = path
        self._made_from = made_from
        self._partial = path.with_name(f"{path.name}.partial")
        self._state = path.with_name(f"{path.name}.partial.json")
        self._names: list[str] = []
        self.done = self._resumed()
        self._file = self._partial.open("ab" if self.done else "wb")

    def _resumed(self) -> int:
        """How many records of the same predictions an interrupted call has left; what is beyond them is cut off."""
        try:
            state = parse_json(self._state.read_text(encoding="utf-8"), str(self._state))
            if self._made_from is None or not isinstance(state, dict) or state.get("made_from") != self._made_from:
                return 0
            names, records, size = state["names"], state["records"], state["bytes"]
            if not isinstance(names, list) or not isinstance(records, int) or not isinstance(size, int):
                return 0
            if self._partial.stat().st_size < size:
                return 0
            with self._partial.open("r+b") as file:
                file.truncate(size)
        except (OSError, DataError, KeyError):
            return 0
        self._names = [str(name) for name in names]
        return records

    def write(self, records: Sequence[tuple[Mapping[str, Json], Mapping[str, Json]]]) -> None:
        """Appends (a record's own values, what was predicted) of each; a prediction that is called like an own value is
        "predicted_…".

        Raises DataError for a record with names that the first one has not, which only .jsonl can hold.
        """
        rows = [{**own, **{_apart(name, own): value for name, value in found.items()}} for own, found in records]
        self._file.write("".join(self._lines(rows)).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done += len(rows)
        state = {"made_from": self._made_from, "names": list(self._names), "records": self.done,
                 "bytes": self._file.tell()}  # fmt: skip
        replace_text(self._state, dumps(state))

    def _lines(self, rows: Sequence[Mapping[str, Json]]) -> list[str]:
        if self.path.suffix.lower() == ".jsonl":
            return [f"{dumps(dict(row))}\n" for row in rows]
        lines: list[str] = []
        for number, row in enumerate(rows, self.done + 1):
            if not self._names:
                self._names = list(row)
                lines.append(table_line(self._names, tabs=self._tabs))
            for name in row.keys() - set(self._names):
                raise DataError(f'{self.path}: record {number} has "{name}", and the first has not; write a .jsonl')
            lines.append(table_line([_cell(row.get(name)) for name in self._names], tabs=self._tabs))
        return lines

    @property
    def _tabs(self) -> bool:
        return self.path.suffix.lower() == ".tsv"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leaves what is there to be gone on with."""
        self._file.close()

    def finish(self) -> None:
        """Gives the file its name."""
        self._file.close()
        os.replace(self._partial, self.path)
        self._state.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Raises UsageError where predictions cannot be written to a file of this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f'--output: {path}: "{path.suffix}" is no form of a table; name it {", ".join(SUFFIXES)}')
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UsageError(f"--output: {path}: {what}; name a file in a folder that is there")


def _apart(name: str, own: Mapping[str, Json]) -> str:
    while name in own:
        name = f"predicted_{name}"
    return name


def _cell(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value)
