"""What a report says beyond its figures: tables that take a score apart, and cautions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sightline.predict.brief import cut
from sightline.sight.tables import Table

Value = str | int | float | None
MOST = 200  # characters of a text in a table for people


@dataclass(frozen=True)
class Picture:
    """A drawing of a report: what there is to see, in words, and what writes it to an .svg file."""

    about: str
    draw: Callable[[Path], None]


class Detail(Protocol):
    """One thing of a report that somebody can act on."""

    @property
    def name(self) -> str:
        """What machines call it."""
        ...

    @property
    def short(self) -> bool:
        """Whether it is shown without being asked for."""
        ...

    def tables(self) -> Sequence[Table]:
        """It as tables for people; none where it is said in words."""
        ...

    def pictures(self) -> Sequence[Picture]:
        """It as drawings; none where words and tables say all."""
        ...

    def cautions(self) -> Sequence[str]:
        """It as sentences to be careful about; none where it is a table."""
        ...

    def as_dict(self) -> dict[str, object]:
        """It as plain values."""
        ...


@dataclass(frozen=True)
class Breakdown:
    """A score taken apart.

    Attributes:
        rows: values as they are, of which `tables` makes text with so many `digits` after the point.
        texts: the places of columns of prose. picture: the same to be seen.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    digits: int = 2
    texts: tuple[int, ...] = ()
    short: bool = False
    picture: Picture | None = field(default=None, repr=False, compare=False)

    def tables(self) -> Sequence[Table]:
        """It as one table, long texts cut."""
        rows = tuple(tuple(map(self._text, row)) for row in self.rows)
        return [Table(self.title, self.columns, rows, self.texts)]

    def pictures(self) -> Sequence[Picture]:
        """The one that it was given."""
        return () if self.picture is None else (self.picture,)

    def cautions(self) -> Sequence[str]:
        """None."""
        return ()

    def as_dict(self) -> dict[str, object]:
        """Name, title, columns and rows, texts whole."""
        return {
            "name": self.name,
            "title": self.title,
            "columns": list(self.columns),
            "rows": list(map(list, self.rows)),
        }

    def _text(self, value: Value) -> str:
        if isinstance(value, str):
            return cut(value, MOST)
        if value is None or math.isnan(value):
            return "–"
        return f"{value:,}" if isinstance(value, int) else f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Caution:
    """A sentence that says what is wrong, and what to look at."""

    name: str
    text: str
    short: bool = True

    def tables(self) -> Sequence[Table]:
        """None."""
        return ()

    def pictures(self) -> Sequence[Picture]:
        """None."""
        return ()

    def cautions(self) -> Sequence[str]:
        """The sentence."""
        return [self.text]

    def as_dict(self) -> dict[str, object]:
        """Name and sentence."""
        return {"name": self.name, "caution": self.text}
