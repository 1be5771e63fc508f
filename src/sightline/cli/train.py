"""`sightline train` and `recipes`: from a configuration to a trained run."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from sightline.cli.common import named_as_options, say, say_next


def register(app: typer.Typer) -> None:
    app.command(name="train")(train)
    app.command(name="recipes")(recipes)


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name (`sightline recipes`) or a .toml file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="key.path=value, as in model.d_model=256, training.max_epochs=3; --dry-run shows the keys."
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(help="The run directory; runs/NAME by default.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: what is in the run directory is lost.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read all data, time a few updates, and say what a training will take.")
    ] = False,
    track: Annotated[
        str, typer.Option(help="Also log for these, joined by commas: tensorboard, mlflow, trackio.")
    ] = "",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="The same as --track tensorboard.")] = False,
) -> None:
    """Train a model, or go on where training stopped.

    sightline train transformer-ko-en

    sightline train my.toml training.max_minutes=30 --run runs/first
    """
    from sightline.runs.trained import read_settings, run_directory, train_settings
    from sightline.tasks.registry import TASKS
    from sightline.train.trackers import parse_trackers, require_trackers

    trackers = parse_trackers(f"{track},tensorboard" if tensorboard else track)
    with named_as_options("track"):
        require_trackers(trackers)
    settings, path = read_settings(recipe, overrides or []), run_directory(recipe, run)
    spec = TASKS[settings.task]
    if dry_run:
        from sightline import config
        from sightline.runs import dry_run as rehearsal

        rehearsal.dry_run(settings, report=say, show=lambda complete: print(config.to_toml(complete), flush=True))
        flags = [*["--fresh"] * fresh, *(["--track", ",".join(trackers)] if trackers else [])]
        say_next(f"sightline train {shlex.join([recipe, *(overrides or []), '--run', str(path), *flags])}")
        return
    trained = train_settings(settings, path, fresh=fresh, track=trackers)
    say(f"trained: {trained.summary()}")
    for report in trained.reports:
        print("\n".join(report.lines()))
    say_next(spec.next_after_training(shlex.quote(str(path)), settings))


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's TOML.")] = None,
) -> None:
    """List the recipes that come with Sightline, or print one.

    sightline recipes

    sightline recipes transformer-ko-en > my.toml
    """
    from sightline import config

    if name is not None:
        sys.stdout.write(config.read(name)[1])
        return
    for known, text in config.recipes().items():
        print(f"{known:28} {text.splitlines()[0].lstrip('# ')}")
    say_next("sightline recipes NAME > my.toml, or: sightline train NAME")
