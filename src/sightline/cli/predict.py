"""`sightline predict`: labels of texts, in order as they are ready."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer

from sightline.cli.common import RunArgument, print_json, progress


def register(app: typer.Typer) -> None:
    app.command(name="predict")(predict)


def predict(
    run: RunArgument,
    file: Annotated[
        str, typer.Argument(help="A text file, a record a line, tabs between texts; - for standard input.")
    ] = "-",
    text: Annotated[
        list[str] | None, typer.Option(help="Label this text instead of a file; again for a record's further texts.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a record, with all probabilities.")] = False,
) -> None:
    """Label texts with a fine-tuned model: the label, its probability and the text.

    sightline predict runs/reviews --text "정말 재미있는 영화"

    sightline predict runs/entailment --text "A man sleeps." --text "Nobody is awake." --json
    """
    from sightline.classifier import Classifier
    from sightline.train.machine import setup

    setup(threads)
    model = Classifier(run, precision=precision, device=device)
    records = iter([tuple(text)]) if text else _records(file, model.settings.texts)
    with progress("labelling") as advance:
        while chunk := list(islice(records, 1024)):
            for one in model.predict(chunk):
                if as_json:
                    fields = ("texts", "label", "probabilities", "value")
                    print_json({name: getattr(one, name) for name in fields})
                else:
                    sure = [] if one.probability is None else [f"{one.probability:.4f}"]
                    print("\t".join([one.label, *sure, *one.texts]), flush=True)
                advance(1)


def _records(file: str, count: int) -> Iterator[tuple[str, ...]]:
    """The texts of every line. Raises DataError (file:line) for a line of too few or too many."""
    from sightline.data.readers import read_lines
    from sightline.data.text import read_stream_lines
    from sightline.errors import DataError

    named = "standard input" if file == "-" else file
    lines = read_stream_lines(sys.stdin.buffer, named) if file == "-" else read_lines(file)
    for number, line in enumerate(lines, 1):
        # a model of one text takes the line as it is
        texts = tuple(line.split("\t")) if count > 1 else (line,)
        if len(texts) != count:
            raise DataError(f"{named}:{number}: {len(texts)} texts between tabs; the model reads {count}")
        yield texts
