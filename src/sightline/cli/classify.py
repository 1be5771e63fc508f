"""`sightline classify`: labels of texts or images, in order as they are ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.common import (
    GivenLines,
    RunArgument,
    check_picture,
    chunks,
    either,
    lines_of,
    name_of,
    print_json,
    progress,
    say_drawn,
)


def register(app: typer.Typer) -> None:
    app.command(name="classify")(classify)


def classify(
    run: RunArgument,
    files: Annotated[
        list[str] | None,
        typer.Argument(help="A text file, a record a line, tabs between texts; - for standard input. Or images."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Label this text instead of a file; again for a record's further texts.")
    ] = None,
    picture: Annotated[
        str | None, typer.Option(help="Of one image: draw what was looked at to this .svg, .png or .pdf.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a record, with all probabilities.")] = False,
) -> None:
    """Label texts or images: the label, its probability, and what it is the label of.

    sightline classify runs/reviews --text "정말 재미있는 영화"

    sightline classify runs/entailment --text "A man sleeps." --text "Nobody is awake." --json

    sightline classify runs/digits seven.png two.png
    """
    from sightline.errors import UsageError
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    setup(threads)
    model = load_for("classify", run, precision=precision, device=device)
    if model.reads_images:
        if text or not files:
            raise UsageError("a classifier of images reads image files; name one or more")
        _images(model, files, picture, as_json)
        return
    if picture or len(files or []) > 1:
        raise UsageError(f"{'--picture' if picture else 'more than one file'} is for images; {run} reads texts")
    _texts(model, either(files[0] if files else None, text), text, as_json)


def _texts(model: Any, file: str, text: list[str] | None, as_json: bool) -> None:
    lines = GivenLines([]) if text else lines_of(file)
    records = iter([tuple(text)]) if text else _records(lines, file, model.input_count)
    with progress("labelling") as advance:
        for chunk in chunks(records, lines):
            for one in model.predict(chunk):
                if as_json:
                    fields = ("texts", "label", "probabilities", "value")
                    print_json({name: getattr(one, name) for name in fields})
                else:
                    sure = [] if one.probability is None else [f"{one.probability:.4f}"]
                    print("\t".join([one.label, *sure, *one.texts]), flush=True)
                advance(1)


def _records(lines: Iterable[str], file: str, count: int) -> Iterator[tuple[str, ...]]:
    """The texts of every line. Raises DataError (file:line) for a line of too few or too many."""
    from sightline.errors import DataError

    for number, line in enumerate(lines, 1):
        # a model of one text takes the line as it is
        texts = tuple(line.split("\t")) if count > 1 else (line,)
        if len(texts) != count:
            raise DataError(f"{name_of(file)}:{number}: {len(texts)} texts between tabs; the model reads {count}")
        yield texts


def _images(model: Any, files: list[str], picture: str | None, as_json: bool) -> None:
    from sightline.errors import UsageError

    if picture and len(files) > 1:
        raise UsageError("--picture draws what was looked at in one image; name one")
    if picture:
        check_picture(picture)
    waiting: Iterator[Any] = iter(files)
    with progress("labelling") as advance:
        while chunk := list(islice(waiting, 64)):
            for file, one in zip(chunk, model.predict(chunk), strict=True):
                if as_json:
                    print_json({"file": file, "label": one.label, "probabilities": one.probabilities})
                else:
                    print(f"{one.label}\t{one.probability:.4f}\t{file}", flush=True)
                advance(1)
    if picture:
        from sightline.sight.pictures import patches_picture

        looked = model.attention(files[0])
        patches_picture(looked.pixels, looked.weights[-1].mean(0), looked.rollout, Path(picture))
        say_drawn(picture)
