"""`sightline look`: what goes on inside a trained model while it reads one input."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.common import (
    DeviceOption,
    RunArgument,
    ThreadsOption,
    named_as_options,
    print_json,
    say,
    say_drawn,
    say_next,
)

if TYPE_CHECKING:
    from sightline.sight.reading import Look

# The views of `sightline.sight.kinds`, whose imports a help text does not wait for.
NAMES = (
    "attention", "heads", "masks", "alignment", "gates", "belt", "states", "positions", "residual", "norms",
    "gradients", "steps", "lens", "patches",
)  # fmt: skip
MOST_OTHERS = 4  # sites that are named beside the one that is shown


def register(app: typer.Typer) -> None:
    app.command(name="look")(look)


def look(
    run: RunArgument,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="What the model reads: a text (two of a pair, question and text), or an image file."),
    ] = None,
    what: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(NAMES)}; by default attention, of an image patches. docs/sight.md shows each."),
    ] = None,
    site: Annotated[
        str | None, typer.Option(help='Which attention or layer, as --list names it; "NAME:3" is one head.')
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Print every name that is recorded, with its axes.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="What the output loses without each position, beside the view.")
    ] = False,
    target: Annotated[str | None, typer.Option(help="Of a translation: look while this one is written.")] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="With --what heads, what ranks them: effect (the default), entropy, distance, diagonality, or "
            "alignment_error (the default with --gold)."
        ),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(help='With --what heads and --target: the right links, as "0-0 1-2"; each head\'s error rate.'),
    ] = None,
    checkpoint: Annotated[
        int | None, typer.Option(min=1, help="As it was after that update, one whose checkpoint was kept.")
    ] = None,
    picture: Annotated[
        str | None, typer.Option(help="Draw to this .svg, .png or .pdf; attention, heads or alignment to an .html.")
    ] = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers, for machines.")] = False,
) -> None:
    """Look inside a trained model: attention, heads, gates, residual stream, and whether what was looked at mattered.

    sightline look runs/demo-transformer "나는 학생입니다." --what heads --picture heads.svg

    sightline look runs/novels "It was a dark and" --what lens

    sightline look runs/demo-gru "나는 학생입니다." --check
    """
    from sightline.errors import UsageError
    from sightline.runs import looking
    from sightline.runs.loading import load
    from sightline.sight.reading import look as record
    from sightline.train.machine import setup

    if list_ and (check or picture is not None):
        raise UsageError(
            f"--list names what is recorded and shows none of it; leave {'--check' if check else '--picture'} out"
        )
    with named_as_options("what", "site", "by", "gold", "target", "picture"):
        looking.check_view(what, site, by, gold, target)
        if picture is not None:
            looking.check_picture(Path(picture), what)
        setup(threads)
        model = load(run, device=device, update=checkpoint)
        if list_:
            _print_names(record(looking.read_input(model, tuple(inputs or ()), target)), as_json)
            return
        if picture is not None and picture.endswith(looking.PAGE):
            what = what or "attention"  # which a page holds
        looked = looking.look(
            model, *(inputs or ()), what=what, site=site, check=check, target=target, by=by, gold=gold
        )
        if as_json:
            print_json(looked.data())
        else:
            print(looked.text(), flush=True)
        if looked.view.others and not as_json:
            _say_others(looked.view.others)
        if picture is not None:
            looked.save(picture, " ".join(inputs or []) or run)
            say_drawn(picture)
        elif not as_json:
            say_next(f"sightline look {shlex.quote(run)} … --what {looked.what} --picture {looked.what}.svg")


def _print_names(seen: Look, as_json: bool) -> None:
    rows = [(name, seen.axes(name), tuple(seen[name].shape)) for name in seen.names]
    if as_json:
        print_json([{"name": name, "axes": axes, "shape": shape} for name, axes, shape in rows])
        return
    width = max(len(name) for name, _, _ in rows)
    for name, axes, shape in rows:
        print(f"{name:{width}}  {' × '.join(f'{axis} {size}' for axis, size in zip(axes, shape, strict=True))}")


def _say_others(others: tuple[str, ...]) -> None:
    left = len(others) - MOST_OTHERS
    more = f" and {left} more, see --list" if left > 0 else ""
    say(f"also: --site {', '.join(others[:MOST_OTHERS])}{more}")
