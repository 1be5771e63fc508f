"""Short reprs: what a record is in a line, without its arrays and without all of its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

_TEXT, _FEW, _ALL = 40, 3, 240  # characters of a text; items that are shown; characters of all


class BriefRepr:
    """For a dataclass with `repr=False`: its fields in a line, arrays by their sizes; what is empty is left out."""

    def __repr__(self) -> str:
        assert is_dataclass(self)
        values = ((one.name, getattr(self, one.name)) for one in fields(self) if one.repr)
        shown = [f"{name}={brief(value)}" for name, value in values if not _is_empty(value)]
        return cut(f"{type(self).__name__}({', '.join(shown)})", _ALL)


def brief(value: Any) -> str:
    """A value in a few characters."""
    if isinstance(value, str):
        return repr(cut(value, _TEXT))
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, np.ndarray | Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {sizes(value.shape)}"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key!r}: {brief(one)}" for key, one in value.items())
        return f"{{{inner}}}" if len(value) <= _FEW and len(inner) <= _TEXT else f"{{{len(value):,} items}}"
    if isinstance(value, Sequence):
        inner = ", ".join(map(brief, value[:_FEW]))
        return f"({inner})" if len(value) <= _FEW and len(inner) <= _TEXT else f"({len(value):,} items)"
    if callable(value) and not is_dataclass(value):
        return f"{getattr(value, '__name__', type(value).__name__)}"
    return cut(repr(value), 2 * _TEXT)


def sizes(shape: Sequence[int]) -> str:
    """ "4 × 7" of the sizes of an array, "a number" where it has none."""
    return " × ".join(map(str, shape)) or "a number"


def cut(text: str, most: int) -> str:
    """A text in one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | Sequence | Mapping) and len(value) == 0)
