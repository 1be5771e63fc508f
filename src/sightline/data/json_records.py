"""Records of JSON Lines, and of JSON files that are one list: values by key, as text."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from sightline.data.sources import Column
from sightline.data.text import BadRecord, first_character, read_numbered_lines, read_text, refuse
from sightline.errors import DataError, nearest
from sightline.jsonio import Json, parse_json, unique_keys

MAX_JSON_BYTES = 1 << 30  # of a file that is one JSON value


def json_values(path: Path, bad: BadRecord = refuse) -> Iterator[tuple[int, Json]]:
    """(line, value) of JSON Lines, None for an empty line; or (number, item) of one list, which may take many lines.

    `bad` is told of a line that is no JSON, or has an object with two values for one key.
    """
    if first_character(path) == "[":
        try:
            found = parse_json(read_whole(path), str(path), hint="it begins like one list", pairs=unique_keys)
        except DataError:
            if not _is_lines(path):
                raise
        else:
            yield from enumerate(found if isinstance(found, list) else [found], start=1)
            return
    for number, line in read_numbered_lines(path, bad):
        where = f"{path}:{number}"
        try:
            value = parse_json(line, where, hint=_LINES, pairs=unique_keys) if line.strip() else None
        except DataError as error:
            bad(error)
            continue
        yield number, value


_LINES = "each line must be one object"


class _NoJsonError(DataError):
    pass


def _is_lines(path: Path) -> bool:
    """Whether the first line of a file is a list by itself, as those after it may be."""
    try:
        first = next((line for _, line in read_numbered_lines(path) if line.strip()), "")
        return isinstance(parse_json(first, "", error=_NoJsonError), list)
    except DataError:
        return False


def values_at(record: Json, columns: Sequence[Column], label: Column | None, where: str) -> tuple[str, ...]:
    """The wanted values of a record, as text; empty ones where it is None. Raises DataError where it lacks one."""
    if record is None:
        return ("",) * len(columns)
    return tuple(_text_at(record, column, where, column == label) for column in columns)


def read_whole(path: Path) -> str:
    """The text of a file that is one JSON value, on however few lines.

    Raises DataError where it is beyond `MAX_JSON_BYTES`, and as `read_text_lines` does for what is no text.
    """
    return read_text(path, MAX_JSON_BYTES, "write one value a line (.jsonl)")


def _text_at(record: Json, column: Column, where: str, numeric: bool) -> str:
    found, key = record, str(column)
    if isinstance(found, list) and isinstance(column, int):
        if not 0 <= column < len(found):
            raise DataError(f"{where}: {len(found)} items, item {column} wanted (counted from 0); mend the line")
        found = found[column]
    else:
        for part in [key] if isinstance(record, dict) and key in record else key.split("."):
            if not isinstance(found, dict):
                hint = "; give columns by number" if isinstance(record, list) else ""
                raise DataError(f'{where}: not an object with the key "{key}"; {_LINES}{hint}')
            if part not in found:
                raise DataError(f'{where}: no key "{key}"{nearest(part, found)}')
            found = found[part]
    if numeric and isinstance(found, float) and not math.isfinite(found):
        raise DataError(f'{where}: the value of "{key}" is {found}, which is no number; mend the line')
    if numeric and isinstance(found, (int, float)):
        # 1.0 is 1; beyond this size a float has no fraction to lose
        whole = isinstance(found, float) and found.is_integer() and abs(found) < 2**53
        return str(int(found)) if whole else json.dumps(found)
    if found is None:
        raise DataError(f'{where}: the value of "{key}" is null; fill it in, or leave the record out')
    if not isinstance(found, str):
        kinds = "a string or a number" if numeric else "a string"
        raise DataError(f'{where}: the value of "{key}" is not {kinds}; choose another key')
    return clean_json_text(found, f'{where}: "{key}"')


def clean_json_text(text: str, where: str) -> str:
    """A string of JSON in NFC. Raises DataError for what escapes can spell and no UTF-8 file can hold."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise DataError(f"{where} holds a NUL or half a surrogate pair, spelled as an escape; remove it")
    return unicodedata.normalize("NFC", text)
