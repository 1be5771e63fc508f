"""`sightline answer`: what a text says to questions."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sightline.cli.common import (
    STDIN,
    DeviceOption,
    GivenLines,
    Lines,
    PrecisionOption,
    RunArgument,
    ThreadsOption,
    lines_of,
)
from sightline.cli.records import ColumnsOption, Given, OutputOption, check_output, given_records, predict_each, shown


def register(app: typer.Typer) -> None:
    app.command(name="answer")(answer)


def answer(
    run: RunArgument,
    file: Annotated[
        str | None,
        typer.Argument(help="The text file that answers; - for standard input. Or a table of questions and texts."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="This text instead of a file.")] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="What is asked; again for more. Lines of standard input by default.")
    ] = None,
    columns: ColumnsOption = None,
    output: OutputOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a question, with its place.")] = False,
) -> None:
    """Answer questions from a text, of any length: the words of the text that answer, and their probability.

    sightline answer runs/squad novel.txt --question "Who lives in Baker Street?"

    sightline answer runs/squad --context "The tower is 330 metres tall." --question "How tall is it?" --json

    sightline answer runs/squad questions.csv --output answers.csv
    """
    from sightline.errors import UsageError
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    if (file is None) == (context is None):
        raise UsageError("name one text to answer from: a file, or --context")
    if file == STDIN and not question:
        raise UsageError("standard input holds the text; give questions by --question")
    check_output(output)
    setup(threads)
    model: Any = load_for("answer", run, precision=precision, device=device)
    given = _given(model, file, context, question, columns)

    predict_each(
        given,
        lambda rows: model.answer_each([row.texts for row in rows]),
        shown(as_json, lambda one: f"{one.text or '(no answer)'}\t{one.probability:.4f}"),
        lambda one: {"answer": one.text, "probability": one.probability, "start": one.start, "end": one.end},
        model=model,
        output=output,
        options={"precision": precision, "context": context, "question": question},
        title="answering",
        unit="questions",
        most=64,
    )


def _given(model: Any, file: str | None, context: str | None, question: list[str] | None, columns: str | None) -> Given:
    """Questions of a table, each with its text; or of one text, those that were typed or come by standard input."""
    from sightline.data.inputs import Row, is_table
    from sightline.data.sources import resolve
    from sightline.errors import UsageError

    path = None if file is None or file == STDIN else resolve(file)
    if path is not None and is_table(path) and (not question or columns is not None):
        if question:
            raise UsageError(f"{file}: a table holds questions, too; leave --question out")
        return given_records(model.settings.inputs, str(file), None, columns)
    if columns is not None:
        raise UsageError("--columns: names columns of a .csv, .tsv or .jsonl of questions and texts")
    text = context if context is not None else "\n".join(lines_of(str(file)))
    lines: Lines = GivenLines(question) if question else lines_of(STDIN)
    asked = question or (line for line in lines if line.strip())
    rows = (Row(number, (one, text), {"question": one}) for number, one in enumerate(asked, 1))
    return Given("questions", rows, lines, () if path is None or not question else (path,))
