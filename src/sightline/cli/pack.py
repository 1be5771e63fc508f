"""`sightline pack` and `unpack`: a trained run as one file to hand over."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.common import RunArgument, say, say_next


def register(app: typer.Typer) -> None:
    app.command(name="pack")(pack)
    app.command(name="unpack")(unpack)


def pack(
    run: RunArgument,
    file: Annotated[str | None, typer.Argument(help="The .zip to write; NAME.zip here by default.")] = None,
) -> None:
    """Write a trained run as one file: configuration, tokenizers, weights, card and scores, without checkpoints.

    sightline pack runs/demo-transformer

    sightline pack runs/demo-transformer handed-over.zip
    """
    from sightline.runs.packing import pack_run

    target = file or f"{Path(run).resolve().name}.zip"
    size = pack_run(run, target)
    say(f"written: {target}, {size / 1e6:,.1f} MB; checkpoints are left out, so it can be used and not trained on")
    say_next(f"sightline unpack {shlex.quote(target)} --run RUN")


def unpack(
    file: Annotated[str, typer.Argument(help="A file that `sightline pack` wrote.")],
    run: Annotated[str | None, typer.Option(help="The run directory to make; runs/NAME by default.")] = None,
) -> None:
    """Make a run directory of a packed run, once every byte of what the model is used from is proved.

    sightline unpack handed-over.zip

    sightline unpack handed-over.zip --run runs/theirs
    """
    from sightline.runs.loading import spec_of
    from sightline.runs.packing import unpack_run

    path = run or f"runs/{Path(file).stem}"
    made = unpack_run(file, path)
    say(f"unpacked: {path}")
    spec = spec_of(made)
    say_next(spec.next_after_training(shlex.quote(path), made.settings(spec.settings)))
