"""`sightline runs`: the runs in a folder as a table."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.common import print_json, say, say_next

if TYPE_CHECKING:
    from sightline.runs.summary import RunSummary


def register(app: typer.Typer) -> None:
    app.command(name="runs")(runs)


def runs(
    folder: Annotated[str, typer.Argument(help="A folder with run directories in it.")] = "runs",
    sort: Annotated[str, typer.Option(help="name, task, model, parameters, best, updates, minutes or state.")] = "name",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List runs: what each has learned, how large and how good it is, and whether it has ended.

    sightline runs

    sightline runs experiments --sort best
    """
    from sightline.errors import UsageError, nearest
    from sightline.runs.summary import DAMAGED, SORT_KEYS, comparable, find_runs, summarise

    if sort not in SORT_KEYS:
        raise UsageError(f'--sort: there is no "{sort}"{nearest(sort, SORT_KEYS)}')
    where = Path(folder)
    if not where.is_dir():
        what = "is a file" if where.exists() else "no such folder"
        raise UsageError(f"{folder}: {what}; name one that trainings were written to (runs/ by default)")
    found = [summarise(path, path.relative_to(where).as_posix() if path != where else path.name)
             for path in find_runs(where)]  # fmt: skip
    found.sort(key=lambda one: comparable(one, sort))
    if as_json:
        print_json([one.data() for one in found], indent=2)
        return
    if not found:
        say(f"{folder}: no runs in it")
        say_next("sightline train RECIPE")
        return
    _print_table(found)
    for one in found:
        if one.state == DAMAGED:
            say(f"{one.name}: {one.reason}")
    say_next(f"sightline show {shlex.quote(str(found[0].path))}")


_HEADS = ("run", "task", "model", "params", "best", "updates", "min", "state")
_NAMES = 3  # columns that are cut where the terminal is narrow, and how much of each always stays
_LEAST = (8, 4, 4)


def _print_table(found: list[RunSummary]) -> None:
    from rich.cells import cell_len, set_cell_size

    rows = [_HEADS, *map(_row, found)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    # a file, or another program, gets all of it
    room = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else sum(widths) + 2 * len(widths)
    while sum(widths) + 2 * (len(widths) - 1) > room:
        spare = [widths[column] - _LEAST[column] for column in range(_NAMES)]
        if max(spare) <= 0:
            break
        widths[spare.index(max(spare))] -= 1
    for row in rows:
        cells = [
            part if cell_len(part) <= width else f"{set_cell_size(part, width - 1)}…"
            for part, width in zip(row, widths, strict=True)
        ]
        pads = [" " * (width - cell_len(part)) for part, width in zip(cells, widths, strict=True)]
        print(
            "  ".join(
                part + pad if column < _NAMES or column == len(row) - 1 else pad + part
                for column, (part, pad) in enumerate(zip(cells, pads, strict=True))
            ).rstrip()
        )
    sys.stdout.flush()


def _row(one: RunSummary) -> tuple[str, ...]:
    best = one.best
    return (
        one.name,
        one.task,
        one.model,
        "–" if one.parameters is None else _size(one.parameters),
        "–" if best is None else best.short,
        "–" if one.updates is None else f"{one.updates:,}",
        "–" if one.minutes is None else f"{one.minutes:.1f}",
        one.state.partition(" at ")[0],  # the updates stand beside it
    )


def _size(count: int) -> str:
    """ "1.31 M": three digits."""
    for unit, scale in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= scale:
            value = count / scale
            return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"
    return str(count)
