"""`sightline tag`: the spans of texts, in order as they are ready."""

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
    app.command(name="tag")(tag)


def tag(
    run: RunArgument,
    file: Annotated[
        str | None, typer.Argument(help="A text file, a record a line, or a table; standard input, or -, by default.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Tag this text instead of a file.")] = None,
    columns: ColumnsOption = None,
    output: OutputOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text, with spans and tags.")] = False,
) -> None:
    """Mark names and other spans in texts with a fine-tuned tagger: [Seoul:LC].

    sightline tag runs/names --text "세종대왕은 서울에서 태어났다."

    sightline tag runs/names articles.txt --json
    """
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    source = either(file, text)
    check_output(output)
    setup(threads)
    model: Any = load_for("tag", run, precision=precision, device=device)

    def values(one: Any) -> dict[str, Any]:
        return {"tagged": one.marked, "spans": [asdict(span) for span in one.spans]}

    predict_each(
        given_records(model.settings.inputs, source, None if text is None else [text], columns),
        lambda rows: model.tag([row.texts[0] for row in rows]),
        shown(as_json, lambda one: one.marked),
        values,
        model=model,
        output=output,
        options={"precision": precision},
        title="tagging words",
        unit="texts",
    )
