"""`sightline train` and `recipes`: from a configuration to a trained run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.common import say, say_next


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
    from sightline import config
    from sightline.runs.training import schema
    from sightline.tasks.registry import TASKS
    from sightline.train.trackers import parse_trackers, require_trackers

    trackers = parse_trackers(f"{track},tensorboard" if tensorboard else track)
    require_trackers(trackers)
    where, text = config.read(recipe)
    values = config.override(config.parse(where, text), overrides or [])
    settings: Any = config.validate(schema(values, where), values, where, text)
    path = Path(run or f"runs/{Path(recipe).stem}")
    spec = TASKS[settings.task]
    if dry_run:
        from sightline.runs import dry_run as rehearsal

        rehearsal.dry_run(settings, report=say, show=lambda complete: print(config.to_toml(complete), flush=True))
        flags = [*["--fresh"] * fresh, *(["--track", ",".join(trackers)] if trackers else [])]
        say_next(f"sightline train {shlex.join([recipe, *(overrides or []), '--run', str(path), *flags])}")
        return
    from rich.console import Console

    from sightline.runs.training import train_run
    from sightline.train.display import reporting_on
    from sightline.train.log import TrainLog, display_on

    console = Console(stderr=True)
    with reporting_on(console) as report:
        outcome, evaluations = train_run(
            settings,
            path,
            fresh=fresh,
            report=report,
            log=lambda folder: TrainLog(folder, display_on(console), track=trackers),
        )
    best = ""
    if outcome.best is not None:
        name = settings.training.metric
        value = spec.metrics[name].text(outcome.best) if name in spec.metrics else f"{outcome.best:.4g}"
        best = f"; best {name} {value} at update {outcome.best_update:,}"
    say(f"trained: {outcome.reason}{best}")
    for evaluation in evaluations:
        print("\n".join(evaluation.lines()))
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
