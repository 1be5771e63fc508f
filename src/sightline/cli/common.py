"""What the verbs share: arguments, messages and progress."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Annotated, Any, TypeVar, cast

import typer

T = TypeVar("T")
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run directory, as `sightline train` makes them.")]


STDIN = "-"  # how standard input is named
_TOGETHER = 1024  # records of a file that are computed together


def either(file: str | None, text: Any) -> str:
    """The file to read, standard input where nothing is named. Raises UsageError where both are."""
    from sightline.errors import UsageError

    if file is not None and text is not None:
        raise UsageError(f"--text is instead of a file, and {file} is one; give either")
    return STDIN if file is None else file


def lines_of(file: str) -> Iterator[str]:
    """The lines of a text file, or of standard input as they come."""
    from sightline.data.sources import read_lines
    from sightline.data.text import StreamLines

    return StreamLines(cast(BufferedReader, sys.stdin.buffer), "standard input") if file == STDIN else read_lines(file)


def chunks(records: Iterator[T], lines: Any = None, most: int = _TOGETHER) -> Iterator[list[T]]:
    """Records to be computed together, at most so many; of `lines` that come only those that are there, since who
    writes them may wait for an answer."""
    chunk: list[T] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == most or not getattr(lines, "ready", True):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def say(line: str) -> None:
    """A message to the person at the terminal; data goes to standard output, messages do not."""
    print(line, file=sys.stderr, flush=True)


def say_drawn(picture: str) -> None:
    """That a picture is written, and where it may lack letters."""
    from sightline.sight.pictures import hangul_font

    say(f"drawn to {picture}")
    if not picture.endswith(".svg") and not picture.endswith(".html") and hangul_font() is None:
        say("no installed font has Hangul, so the picture may show boxes; an .svg shows it wherever it is viewed")


def print_json(value: Any, indent: int | None = None) -> None:
    """One JSON value on standard output; numbers that JSON cannot spell are null."""
    print(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent), flush=True)


def _finite(value: Any) -> Any:
    if type(value) is dict:
        return {key: _finite(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return [_finite(one) for one in value]
    return None if type(value) is float and not math.isfinite(value) else value


@contextmanager
def progress(title: str, unit: str = "records") -> Iterator[Callable[[int], None]]:
    """Yields `advance(count)`: how many, and the time, on a terminal whose output goes elsewhere; else silence."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,} " + unit), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        bar.advance(task, 0)
        yield lambda count: bar.advance(task, count)
