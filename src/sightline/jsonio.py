"""JSON from files that anybody may have written, and to readers that take no NaN: bounded, checked, one-line errors."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from sightline.errors import DataError, SightlineError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# The largest file that is read as one JSON value: a tokenizer of a million pieces takes a tenth of it.
MAX_BYTES = 1 << 29


def unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """An object of its keys and values. Raises ValueError where a key comes twice, as only one value could stay."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f'the key "{twice}" comes twice in one object')
    return found


def parse_json(
    text: str | bytes,
    where: str,
    *,
    error: type[SightlineError] = DataError,
    hint: str = "",
    pairs: Callable[[list[tuple[str, Json]]], Json] | None = None,
) -> Json:
    """The value that a JSON text spells.

    Args:
        where: file, file:line or key, for the message. error: what is raised. hint: what to do, for the message.
        pairs: makes an object of its keys and values, such as `unique_keys`; by default the last of equal keys stays.

    Raises `error` for what is not JSON, is not UTF-8, is nested deeper than Python can follow, or holds an integer of
    thousands of digits.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise error(f"{where}: not JSON that can be read (nested too deep)" + (f"; {hint}" if hint else "")) from None
    except ValueError as problem:  # JSONDecodeError and UnicodeDecodeError are
        reason = " ".join(str(problem).split())
        raise error(f"{where}: not JSON ({reason[:120]})" + (f"; {hint}" if hint else "")) from None


def read_json(
    path: Path, *, max_bytes: int = MAX_BYTES, error: type[SightlineError] = DataError, hint: str = ""
) -> Json:
    """The value of a JSON file.

    Raises `error` where there is no such file, it is no regular file, is larger than `max_bytes`, or cannot be parsed.
    """
    return parse_json(read_bounded(path, max_bytes=max_bytes, error=error), str(path), error=error, hint=hint)


def read_bounded(path: Path, *, max_bytes: int = MAX_BYTES, error: type[SightlineError] = DataError) -> bytes:
    """The bytes of a regular file of at most `max_bytes`. A pipe or a device is refused before it is opened."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise error(f"{path}: is a directory; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path}: is not a regular file; put one in its place")
        if status.st_size > max_bytes:
            raise error(f"{path}: has {status.st_size:,} bytes; at most {max_bytes:,} are read")
        with path.open("rb") as file:
            found = file.read(max_bytes + 1)
    except OSError as problem:
        if isinstance(problem, FileNotFoundError):
            raise error(f"{path}: no such file; check the path") from None
        raise error(f"{path}: cannot be read ({problem.strerror or problem}); check the file") from None
    if len(found) > max_bytes:  # it grew while it was read
        raise error(f"{path}: has more than {max_bytes:,} bytes, and no more are read")
    return found


def as_object(value: Json, where: str, *, error: type[SightlineError] = DataError, hint: str = "") -> dict[str, Json]:
    """`value` where it is a JSON object. Raises `error` where it is not."""
    if not isinstance(value, dict):
        raise error(f"{where}: not a JSON object" + (f"; {hint}" if hint else ""))
    return value


def finite(value: object) -> Json:
    """A value of Python as JSON can spell it: tuples are lists, NaN and infinities null, keys and paths strings.

    Raises TypeError for what has no JSON form.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in cast("Mapping[object, object]", value).items()}
    if isinstance(value, Sequence):
        return [finite(one) for one in cast("Sequence[object]", value)]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def dumps(value: object, indent: int | None = None) -> str:
    """`value` as JSON text: letters as they are, NaN and infinities as null."""
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
