"""`sightline fill`: what a BERT would write in a blank."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import typer

from sightline.cli.common import (
    STDIN,
    DeviceOption,
    PrecisionOption,
    RunArgument,
    ThreadsOption,
    print_json,
    say,
    say_next,
)
from sightline.cli.records import ColumnsOption, OutputOption, check_output, given_records, predict_each


def register(app: typer.Typer) -> None:
    app.command(name="fill")(fill)


def fill(
    run: RunArgument,
    text: Annotated[
        str, typer.Argument(help="A text with [MASK] for each blank; or a file of such, lines or a table, or -.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many candidates for each blank.")] = 5,
    columns: ColumnsOption = None,
    output: OutputOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text.")] = False,
) -> None:
    """Fill in blanks: the likeliest tokens for each [MASK], with their probabilities.

    sightline fill runs/bert "나는 [MASK]를 공부한다"

    sightline fill runs/bert "The [MASK] sat on the [MASK]." --top 3 --json
    """
    from sightline.errors import UsageError
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    check_output(output)
    setup(threads)
    model: Any = load_for("fill", run, precision=precision, device=device)
    is_file = text == STDIN or _is_file(text)
    given = given_records(model.settings.inputs, text, None if is_file else [text], columns)
    code = 0

    def compute(rows: list[Any]) -> list[Any]:
        nonlocal code
        found: list[Any] = []
        for row in rows:
            try:
                found.append(model.fill(row.texts[0], top=top))
            except UsageError as error:
                if given.typed:
                    raise
                # the lines after this one are no worse for it
                say(f"{given.where(row)}: {error}")
                found.append(None)
                code = error.exit_code
        return found

    predict_each(
        given,
        compute,
        lambda filled: _show(filled, as_json),
        lambda filled: {} if filled is None else {"filled": filled.best, "blanks": [*map(_candidates, filled.blanks)]},
        model=model,
        output=output,
        options={"precision": precision, "top": top},
        title="filling",
        unit="texts",
    )
    if code:
        raise typer.Exit(code)
    if not as_json and output is None:
        say_next(f"sightline look {shlex.quote(run)} … --what lens")


def _is_file(text: str) -> bool:
    """Whether what was given is no text with a blank, but the name of a file."""
    from pathlib import Path

    try:
        return "[MASK]" not in text and Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or none that there can be
        return False


def _candidates(blank: Any) -> list[dict[str, Any]]:
    return [{"token": one.token, "probability": one.probability} for one in blank]


def _show(filled: Any, as_json: bool) -> None:
    from rich.cells import cell_len

    if filled is None:
        return
    if as_json:
        print_json(asdict(filled))
        return
    print(filled.best)
    for number, candidates in enumerate(filled.blanks, 1):
        if len(filled.blanks) > 1:
            print(f"blank {number}")
        for candidate in candidates:
            token = candidate.token + " " * (16 - cell_len(candidate.token))
            print(f"  {candidate.probability:7.4f}  {token} {candidate.text}", flush=True)
    if filled.unknown:
        say(f"note: {filled.unknown} of the text's tokens are unknown to this model")
