"""What the verbs that predict share: the records they are given, and where their predictions go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli.common import (
    STDIN,
    GivenLines,
    Lines,
    chunks,
    lines_of,
    name_of,
    named_as_options,
    parse_columns,
    print_json,
    progress,
    say,
)

if TYPE_CHECKING:
    from sightline.data.inputs import Inputs, Row
    from sightline.predict.output import Output

OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        help="Write the input's columns and the predictions beside them to this .csv, .tsv or .jsonl; interrupted, the "
        "same command goes on.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        help="Of a table: which columns are read, by number from 0 or by name, joined by commas; those of training by "
        "default."
    ),
]
_TOGETHER = 256  # records that are computed together, and saved together


@dataclass(frozen=True)
class Given:
    """The records that a verb works on.

    Attributes:
        name: of where they come from, in messages. rows: the records, in order. lines: says whether the next is there.
        files: those that are read; none where nothing can be known of the records before they come.
    """

    name: str
    rows: Iterator[Row]
    lines: Lines
    files: tuple[Path, ...] = ()
    typed: bool = False

    def where(self, row: Row) -> str:
        """Where a record is, for messages."""
        return f"{self.name}:{row.number}"


def check_output(output: str | None) -> None:
    """Refuses a file that no predictions can be written to, before any work."""
    if output is not None:
        from sightline.predict.output import require_writable

        require_writable(Path(output))


def given_records(inputs: Inputs, file: str, text: Sequence[str] | None, columns: str | None) -> Given:
    """The records of a table, or of lines of text; several inputs of a record stand between tabs there. Or one record
    that was typed. Which columns of a table are read is said.

    Raises UsageError for columns of what is no table, DataError (file:line) for a line of too few or too many texts.
    """
    from sightline.data.inputs import Row, Table, is_table
    from sightline.data.sources import resolve
    from sightline.errors import UsageError

    names = inputs.own_names
    path = None if text is not None or file == STDIN else resolve(file)
    if path is not None and is_table(path):
        with named_as_options("columns"):
            table = Table.of(path, inputs, None if columns is None else parse_columns(columns, len(names)))
        say(table.describe())
        return Given(str(path), table.rows(), GivenLines([]), (path,))
    if columns is not None:
        raise UsageError("--columns: names columns of a .csv, .tsv or .jsonl; without one a line is a record")
    if text is not None:
        one = Row(1, tuple(text), dict(zip(names, text, strict=False)))
        return Given("--text", iter([one]), GivenLines([]), typed=True)
    lines = lines_of(file)
    return Given(name_of(file), _rows(lines, file, names), lines, () if path is None else (path,))


def _rows(lines: Lines, file: str, names: tuple[str, ...]) -> Iterator[Row]:
    from sightline.data.inputs import Row
    from sightline.errors import DataError

    for number, line in enumerate(lines, 1):
        # of one text the line is taken as it is
        texts = tuple(line.split("\t")) if len(names) > 1 else (line,)
        if len(texts) != len(names):
            raise DataError(f"{name_of(file)}:{number}: {len(texts)} texts between tabs; the model reads {len(names)}")
        yield Row(number, texts, dict(zip(names, texts, strict=True)))


def shown(as_json: bool, line: Callable[[Any], str], data: Callable[[Any], Any] = asdict) -> Callable[[Any], None]:
    """What prints a result: as a line, or as one JSON object, which is the record itself where nothing else is said."""

    def show(one: Any) -> None:
        if as_json:
            print_json(data(one))
        else:
            print(line(one), flush=True)

    return show


def predict_each(
    given: Given,
    compute: Callable[[list[Row]], Sequence[Any]],
    show: Callable[[Any], None],
    values: Callable[[Any], Mapping[str, Any]],
    *,
    model: Any,
    output: str | None,
    options: Mapping[str, Any],
    title: str,
    unit: str,
    most: int = _TOGETHER,
) -> None:
    """Computes all records in order and shows each result, or writes them beside their records.

    Args:
        compute: the result of each of some records. show: prints one. values: of one by column.
        options: what the results depend on beside the run and the records.
    """
    if output is None:
        with progress(title, unit) as advance:
            for chunk in chunks(given.rows, given.lines, most):
                for one in compute(chunk):
                    show(one)
                    advance(1)
        return
    with _opened(given, model, output, options) as sink, progress(title, unit, elsewhere=True) as advance:
        advance(sink.done)
        for chunk in chunks(islice(given.rows, sink.done, None), given.lines, most):
            found = compute(chunk)
            sink.write([(row.values, values(one)) for row, one in zip(chunk, found, strict=True)])
            advance(len(chunk))
        sink.finish()
    say(f"written: {output} ({sink.done:,} {unit})")


def _opened(given: Given, model: Any, output: str, options: Mapping[str, Any]) -> Output:
    from sightline.data.sources import file_digest
    from sightline.errors import UsageError
    from sightline.predict.output import Output

    path = Path(output)
    if any(path.exists() and path.samefile(file) for file in given.files):
        raise UsageError(f"--output: {output}: is what is read; name another file")
    made_from = None
    if given.files:
        digests: list[Any] = [[str(file), file_digest(file)] for file in given.files]
        made_from = {"inputs": digests, "weights": model.run.weights_digest(), "options": dict(options)}
    sink = Output(path, made_from)
    if sink.done:
        say(f"{output}: {sink.done:,} records are there from before; goes on after them")
    return sink
