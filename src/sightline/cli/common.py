"""What the verbs share: arguments, messages and progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run directory, as `sightline train` makes them.")]


def say(line: str) -> None:
    """A message to the person at the terminal; data goes to standard output, messages do not."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int], None]]:
    """Yields `advance(count)`: sentences and their speed on a terminal whose output goes elsewhere, else silence."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,} sentences"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        bar.advance(task, 0)
        yield lambda count: bar.advance(task, count)
