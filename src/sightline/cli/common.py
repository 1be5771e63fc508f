"""What the verbs share: arguments, messages and progress."""

from __future__ import annotations

import re
import shlex
import sys
from abc import ABC
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from io import BufferedReader
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

if TYPE_CHECKING:
    from sightline.data.text import StreamLines
    from sightline.sight.tables import Table
    from sightline.tasks.spec import TaskSpec

T = TypeVar("T")
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run directory, as `sightline train` makes them.")]
PrecisionOption = Annotated[str, typer.Option(help="fp32 or bf16.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")]
PLUGINS: ContextVar[tuple[str, ...]] = ContextVar("PLUGINS", default=())  # the files that --plugin named
STDIN, STDIN_NAME = "-", "standard input"  # how it is named by users, and in messages
_TOGETHER = 1024  # records of a file that are computed together


class Lines(Iterator[str], ABC):
    """Lines of text that are worked on one after the other."""

    @property
    def ready(self) -> bool:
        """Whether the next one is there already; those of standard input may be waited for."""
        return True


class GivenLines(Lines):
    """Lines that need not be waited for: of a file, or what was typed."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    def __next__(self) -> str:
        return next(self._lines)


class InputLines(Lines):
    """The lines of standard input, which is opened when the first is asked for."""

    @cached_property
    def _stream(self) -> StreamLines:
        from sightline.data.text import StreamLines
        from sightline.errors import UsageError

        if sys.stdin is None:
            raise UsageError(f"{STDIN_NAME}: is closed; name a file")
        return StreamLines(cast(BufferedReader, sys.stdin.buffer), STDIN_NAME)

    @property
    def ready(self) -> bool:
        return self._stream.ready

    def __next__(self) -> str:
        return next(self._stream)


def either(file: str | None, text: Any) -> str:
    """The file to read, standard input where nothing is named. Raises UsageError where both are."""
    from sightline.errors import UsageError

    if file is not None and text is not None:
        raise UsageError(f"--text is instead of a file, and {file} is one; give either")
    return STDIN if file is None else file


def lines_of(file: str, text: str | None = None) -> Lines:
    """The lines of a text file, or of standard input as they come; or one text that was given instead."""
    from sightline.data.sources import read_lines

    if text is not None:
        return GivenLines([text])
    return InputLines() if file == STDIN else GivenLines(read_lines(file))


def name_of(file: str) -> str:
    """What messages call a file that is read."""
    return STDIN_NAME if file == STDIN else file


def chunks(records: Iterable[T], lines: Lines, most: int = _TOGETHER) -> Iterator[list[T]]:
    """Records to be computed together, at most so many; of `lines` that come only those that are there, since who
    writes them may wait for an answer."""
    chunk: list[T] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == most or not lines.ready:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def parse_columns(text: str, count: int | None = None) -> tuple[int | str, ...]:
    """The numbers and names of columns in "1,0" or "ko,en". Raises UsageError where they are not `count`, or one is
    empty."""
    from sightline.errors import UsageError

    names = [part.strip() for part in text.split(",")]
    if not all(names) or len(names) != (count or len(names)):
        wanted = f"{count} columns" if count else "columns"
        raise UsageError(f'--columns: "{text}" must name {wanted}, joined by commas, as in 1,0 or ko,en')
    return tuple(int(name) if name.isdecimal() else name for name in names)


def as_options(told: str) -> str:
    """What an error says of arguments, "fresh=True", as they are typed here: "--fresh"; a user's own words that look
    like some stay as they are."""
    return re.sub(r"(?<!\S)(fresh|anyway)=True(?=[,;)\s]|$)", r"--\1", told)


@contextmanager
def named_as_options(*names: str) -> Iterator[None]:
    """Errors about one of these arguments of a function name it as its option is written: "by: …" as "--by: …"."""
    from sightline.errors import SightlineError

    try:
        yield
    except SightlineError as error:
        name, colon, rest = str(error).partition(":")
        if colon and name in names:
            raise type(error)(f"--{name.replace('_', '-')}:{rest}") from error
        raise


def table_values(spec: TaskSpec, columns: str | None, header: bool | None) -> dict[str, Any]:
    """What --columns and --header say of a task's data, as its sources take it.

    Raises UsageError where these have no such choice.
    """
    from sightline.errors import UsageError

    values: dict[str, Any] = {}
    if columns is not None:
        if spec.init.columns is None:
            raise UsageError(f"--columns: the data of task {spec.name} have no columns to choose; leave it out")
        values |= spec.init.columns(parse_columns(columns))
    if header is not None:
        if spec.check is None or "header" not in spec.check.source.model_fields:
            raise UsageError(f"--header: task {spec.name} has no such setting; leave it out")
        values["header"] = header
    return values


def say(line: str) -> None:
    """A message to the person at the terminal; data goes to standard output, messages do not."""
    print(line, file=sys.stderr, flush=True)


def say_next(command: str) -> None:
    """The command to run next, with the plug-ins that this one was given."""
    missing = [path for path in PLUGINS.get() if f"--plugin {path}" not in command]
    say(" ".join(["next:", command, *(f"--plugin {shlex.quote(path)}" for path in missing)]))


def check_picture(picture: str) -> None:
    """Raises UsageError for a file that no picture is saved as; to be called before any work."""
    from pathlib import Path

    from sightline.sight.pictures import check_format

    check_format(Path(picture))


def say_drawn(picture: str) -> None:
    """That a picture is written, and where it may lack letters."""
    from sightline.sight.pictures import hangul_font

    say(f"drawn to {picture}")
    if not picture.endswith(".svg") and not picture.endswith(".html") and hangul_font() is None:
        say("no installed font has Hangul, so the picture may show boxes; an .svg shows it wherever it is viewed")


def print_json(value: Any, indent: int | None = None) -> None:
    """One JSON value on standard output; numbers that JSON cannot spell are null."""
    from sightline.jsonio import dumps

    print(dumps(value, indent), flush=True)


def print_tables(tables: Iterable[Table]) -> None:
    """Tables on standard output, as wide as the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(highlight=False)
    for one in tables:
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for place, column in enumerate(one.columns):
            table.add_column(column, justify="left" if one.is_left(place) else "right", overflow="fold")
        for row in one.rows:
            table.add_row(*row)
        console.print(one.title, style="italic", markup=False)  # rich would wrap it to a narrow table's width
        console.print(table, markup=False)


@contextmanager
def progress(title: str, unit: str = "records", *, elsewhere: bool = False) -> Iterator[Callable[[int], None]]:
    """Yields `advance(count)`: how many, and the time, on a terminal whose output goes elsewhere; else silence.

    Args:
        elsewhere: whether nothing goes to standard output.
    """
    if not sys.stderr.isatty() or (sys.stdout.isatty() and not elsewhere):
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,} " + unit), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        bar.advance(task, 0)
        yield lambda count: bar.advance(task, count)
