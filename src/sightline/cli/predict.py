"""`sightline predict`: what a model of a user's own task makes of each input."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from sightline.cli.common import (
    DeviceOption,
    PrecisionOption,
    RunArgument,
    ThreadsOption,
    either,
)
from sightline.cli.records import ColumnsOption, OutputOption, check_output, given_records, predict_each, shown


def register(app: typer.Typer) -> None:
    app.command(name="predict")(predict)


def predict(
    run: RunArgument,
    file: Annotated[
        str | None, typer.Argument(help="A file, an input a line, or a table; standard input, or -, by default.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="This input instead of a file.")] = None,
    columns: ColumnsOption = None,
    output: OutputOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an input.")] = False,
) -> None:
    """Predict with a model of a task of your own (see docs/extending.md): a line for each input.

    sightline predict runs/sums --text "3 4 5" --plugin sums.py

    sightline predict runs/sums sequences.txt --json --plugin sums.py
    """
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    source = either(file, text)
    check_output(output)
    setup(threads)
    model: Any = load_for("predict", run, precision=precision, device=device)

    predict_each(
        given_records(model.settings.inputs, source, None if text is None else [text], columns),
        lambda rows: model.predict([row.texts[0] for row in rows]),
        shown(as_json, lambda one: str(one).replace("\n", " ")),
        lambda one: {"prediction": str(one), **asdict(one)},
        model=model,
        output=output,
        options={"precision": precision},
        title="predicting",
        unit="inputs",
    )
