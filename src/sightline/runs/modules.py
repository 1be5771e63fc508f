"""A model summed up by module, from the names and shapes of its tensors alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One module: how deep it lies, what it is called, how many like it there are in a row, the shapes of its own
    tensors, and how many numbers all of them have together."""

    level: int
    name: str
    times: int
    shapes: Mapping[str, Shape]
    parameters: int

    @property
    def title(self) -> str:
        """ "blocks.0 to 5, 6 of them" as it is printed."""
        return self.name if self.times == 1 else f"{self.name} ({self.times} ×)"

    @property
    def shape_text(self) -> str:
        """ "weight 300×16, bias 16"."""
        return ", ".join(f"{name} {'×'.join(map(str, shape)) or '1'}" for name, shape in self.shapes.items())


@dataclass
class _Module:
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])
    inside: dict[str, _Module] = field(default_factory=dict[str, "_Module"])

    def signature(self) -> object:
        return tuple(self.shapes.items()), tuple((name, one.signature()) for name, one in self.inside.items())

    def parameters(self) -> int:
        own = sum(map(math.prod, self.shapes.values()))
        return own + sum(one.parameters() for one in self.inside.values())


def module_rows(shapes: Mapping[str, Shape], depth: int) -> list[Row]:
    """A row for every module down to a depth, 1 being the parts of the model itself; equal ones that are numbered in a
    row, as the blocks of a Transformer, are one."""
    root = _Module()
    for name, shape in shapes.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            module = module.inside.setdefault(part, _Module())
        module.shapes[last] = shape
    own = [Row(0, name, 1, {name: shape}, math.prod(shape)) for name, shape in root.shapes.items()]
    return own + _rows(root, 0, depth)


def _rows(module: _Module, level: int, depth: int) -> list[Row]:
    if level == depth:
        return []
    rows: list[Row] = []
    waiting = sorted(module.inside.items(), key=lambda one: (0, int(one[0])) if one[0].isdecimal() else (1, 0))
    while waiting:
        name, first = waiting.pop(0)
        alike = [name]
        while name.isdecimal() and waiting and waiting[0][0].isdecimal():
            if waiting[0][1].signature() != first.signature():
                break
            alike.append(waiting.pop(0)[0])
        title = name if len(alike) == 1 else f"{name} to {alike[-1]}"
        count = len(alike) * first.parameters()
        rows.append(Row(level, title, len(alike), first.shapes, count))
        rows += _rows(first, level + 1, depth)
    return rows


def module_text(shapes: Mapping[str, Shape], depth: int) -> list[str]:
    """The rows as text: names, shapes and counts in columns; a count is that of all modules of its row."""
    rows = module_rows(shapes, depth)
    names = ["  " * row.level + row.title for row in rows]
    counts = [f"{row.parameters:,}" for row in rows]
    widths = max(map(len, names), default=0), max(map(len, counts), default=0)
    return [
        f"{name:{widths[0]}}  {count:>{widths[1]}}  {row.shape_text}".rstrip()
        for name, count, row in zip(names, counts, rows, strict=True)
    ]
