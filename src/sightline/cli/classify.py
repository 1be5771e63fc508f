"""`sightline classify`: labels of texts or images, in order as they are ready."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.common import (
    DeviceOption,
    PrecisionOption,
    RunArgument,
    ThreadsOption,
    check_picture,
    either,
    say_drawn,
)
from sightline.cli.records import ColumnsOption, OutputOption, check_output, given_records, predict_each, shown


def register(app: typer.Typer) -> None:
    app.command(name="classify")(classify)


def classify(
    run: RunArgument,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="A table; a text file, a record a line, tabs between texts; - for standard input. Or images."
        ),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Label this text instead of a file; again for a record's further texts.")
    ] = None,
    picture: Annotated[
        str | None, typer.Option(help="Of one image: draw what was looked at to this .svg, .png or .pdf.")
    ] = None,
    columns: ColumnsOption = None,
    output: OutputOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a record, with all probabilities.")] = False,
) -> None:
    """Label texts or images: the label, its probability, and what it is the label of.

    sightline classify runs/reviews --text "정말 재미있는 영화"

    sightline classify runs/entailment --text "A man sleeps." --text "Nobody is awake." --json

    sightline classify runs/reviews reviews.csv --output labelled.csv

    sightline classify runs/digits seven.png two.png
    """
    from sightline.errors import UsageError
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    check_output(output)
    setup(threads)
    model: Any = load_for("classify", run, precision=precision, device=device)
    if model.reads_images:
        if text or not files:
            raise UsageError("a classifier of images reads image files; name one or more")
        if columns is not None:
            raise UsageError("--columns: is for tables of texts; a classifier of images reads image files")
        _images(model, files, picture, output, precision, as_json)
        return
    if picture or len(files or []) > 1:
        raise UsageError(f"{'--picture' if picture else 'more than one file'} is for images; {run} reads texts")
    given = given_records(
        model.settings.inputs, either(files[0] if files else None, text or None), text or None, columns
    )

    def line(one: Any) -> str:
        sure = [] if one.probability is None else [f"{one.probability:.4f}"]
        return "\t".join([one.label, *sure, *one.texts])

    def data(one: Any) -> dict[str, Any]:
        return {name: getattr(one, name) for name in ("texts", "label", "probabilities", "value")}

    predict_each(
        given,
        lambda rows: model.predict([row.texts for row in rows]),
        shown(as_json, line, data),
        _values,
        model=model,
        output=output,
        options={"precision": precision},
        title="labelling",
        unit="records",
    )


def _values(one: Any) -> dict[str, Any]:
    """The label, its probability and those of all classes; or the number of a model of numbers."""
    if one.probability is None:
        return {"value": one.value}
    return {"label": one.label, "probability": one.probability, "probabilities": one.probabilities}


def _images(
    model: Any, files: list[str], picture: str | None, output: str | None, precision: str, as_json: bool
) -> None:
    from sightline.cli.common import GivenLines
    from sightline.cli.records import Given
    from sightline.data.inputs import Row
    from sightline.errors import UsageError

    if picture and len(files) > 1:
        raise UsageError("--picture draws what was looked at in one image; name one")
    if picture:
        check_picture(picture)
    rows = (Row(number, (file,), {"file": file}) for number, file in enumerate(files, 1))
    given = Given("images", rows, GivenLines([]), tuple(map(Path, files)))

    def compute(rows: list[Row]) -> list[tuple[str, Any]]:
        names = [row.texts[0] for row in rows]
        return list(zip(names, model.predict(names), strict=True))

    def line(found: tuple[str, Any]) -> str:
        file, one = found
        return f"{one.label}\t{one.probability:.4f}\t{file}"

    def data(found: tuple[str, Any]) -> dict[str, Any]:
        file, one = found
        return {"file": file, "label": one.label, "probabilities": one.probabilities}

    predict_each(
        given,
        compute,
        shown(as_json, line, data),
        lambda found: _values(found[1]),
        model=model,
        output=output,
        options={"precision": precision},
        title="labelling",
        unit="images",
        most=64,
    )
    if picture:
        from sightline.sight.pictures import patches_picture

        looked = model.attention(files[0])
        patches_picture(looked.pixels, looked.weights[-1].mean(0), looked.rollout, Path(picture))
        say_drawn(picture)
