"""`sightline calibrate`: how sure one can be of what a run writes, fitted to its validation set."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Annotated

import typer

from sightline.cli.common import (
    DeviceOption,
    PrecisionOption,
    RunArgument,
    ThreadsOption,
    named_as_options,
    print_json,
    progress,
    say,
    say_next,
)


def register(app: typer.Typer) -> None:
    app.command(name="calibrate")(calibrate)


def calibrate(
    run: RunArgument,
    acceptable: Annotated[
        float | None,
        typer.Option(
            help="The least chrF2 of an acceptable text; by default a fifth of the validation set lies below."
        ),
    ] = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Fit how probable it is that what a run writes is acceptable: it writes its validation set, and what tells good
    texts from bad ones is kept in the run. The run answers as before.

    sightline calibrate runs/demo-transformer

    sightline calibrate runs/multi30k-transformer --acceptable 50
    """
    from sightline.predict.confidence import cautions
    from sightline.runs.confidence import fit_and_keep
    from sightline.runs.loading import spec_of
    from sightline.train.machine import setup
    from sightline.train.run_directory import Run

    setup(threads)
    with named_as_options("acceptable"):
        shown = partial(progress, elsewhere=True)
        found = fit_and_keep(Run(run), acceptable, precision=precision, device=device, progress=shown)
    if as_json:
        print_json(found.model_dump(), indent=2)
        return
    print(found.describe())
    for line in cautions(found):
        say(line)
    say_next(f"sightline {spec_of(Run(run)).verb} {shlex.quote(run)} FILE --confidence")
