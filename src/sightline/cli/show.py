"""`sightline show`: one run, finished or not: its model by module, data, settings, learning curve and scores."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.common import RunArgument, print_json, say_drawn, say_next


def register(app: typer.Typer) -> None:
    app.command(name="show")(show)


def show(
    run: RunArgument,
    depth: Annotated[int, typer.Option(min=1, help="How deep modules are taken apart.")] = 2,
    picture: Annotated[
        str | None, typer.Option(help="Draw the learning curve to this .svg, .png or .pdf; .html has all of it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show what a run is and how it learned: the model by module with shapes and parameters, the data, settings, the
    learning curve and scores. It may still be in training; its weights are not loaded.

    sightline show runs/demo-transformer

    sightline show runs/demo-transformer --depth 4 --picture curve.svg
    """
    from sightline.errors import UsageError
    from sightline.runs.description import as_values, sections, write_page
    from sightline.runs.summary import DAMAGED, NEW, TRAINED, TRAINING, is_run, summarise
    from sightline.sight.drawings import learning_curve_picture
    from sightline.sight.pictures import check_format
    from sightline.train.run_directory import Run

    path = Path(run)
    if not is_run(path):
        Run(path).require()
    file = None if picture is None else Path(picture)
    page = file is not None and file.suffix.lower() == ".html"
    if file is not None and not page:
        check_format(file, ", or all of it as .html")
    summary = summarise(path, str(path))
    if as_json:
        print_json(as_values(summary, depth), indent=2)
    else:
        width = shutil.get_terminal_size((80, 24)).columns
        for number, (title, lines) in enumerate(sections(summary, depth, width)):
            print("\n".join([*([""] * bool(number)), *([title] if title else []), *lines]))
    if file is not None:
        if page:
            write_page(summary, file, depth)
        elif summary.curve().empty:
            raise UsageError(f"{run}: nothing has been measured yet, so there is no curve to draw")
        else:
            learning_curve_picture(summary.curve(), file)
        say_drawn(str(file))
    elif not as_json:
        goes_on = summary.state not in (TRAINED, TRAINING, DAMAGED, NEW) and summary.state.startswith("stopped")
        where = shlex.quote(run)
        config = shlex.quote(str(path / "config.toml"))
        say_next(f"sightline train {config} --run {where}" if goes_on else f"sightline show {where} --picture run.html")
