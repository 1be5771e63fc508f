"""`sightline look`: what goes on inside a trained model while it reads one input."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.common import RunArgument, print_json, say, say_drawn

# What can be looked at, in the words of the command line.
VIEWS = (
    "attention", "heads", "masks", "alignment", "gates", "belt", "states", "positions", "residual", "norms",
    "gradients", "lens", "patches",
)  # fmt: skip
PAGED = ("attention", "heads", "alignment")  # what an .html page shows


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
        typer.Option(
            help="attention, heads, masks, alignment, gates, belt, states, positions, residual, norms, gradients, "
            "lens or patches; by default attention, of an image patches. docs/sight.md shows each."
        ),
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
        str | None, typer.Option(help="Draw to this .svg or .png; attention, heads or alignment to an .html.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers, for machines.")] = False,
) -> None:
    """Look inside a trained model: attention, heads, gates, residual stream, and whether what was looked at mattered.

    sightline look runs/demo-transformer "나는 학생입니다." --what heads --picture heads.svg

    sightline look runs/novels "It was a dark and" --what lens

    sightline look runs/demo-gru "나는 학생입니다." --check
    """
    from sightline.cli.views import CHOOSING, RANKS, VIEW
    from sightline.errors import UsageError, nearest
    from sightline.runs.loading import load
    from sightline.sight import reading as sight
    from sightline.sight.alignment import from_pharaoh
    from sightline.sight.page import write_page
    from sightline.train.machine import setup

    if what is not None and what not in VIEWS:
        raise UsageError(f'--what: there is no "{what}"{nearest(what, VIEWS)}')
    if picture is not None and Path(picture).suffix not in (".svg", ".png", ".html"):
        raise UsageError(f"{picture}: a picture is .svg or .png, a page .html")
    if what != "heads" and (by is not None or gold is not None):
        raise UsageError("--by and --gold: of --what heads")
    if by is not None and by not in RANKS:
        raise UsageError(f'--by: there is no "{by}"{nearest(by, RANKS)}')
    if gold is not None and target is None:
        raise UsageError("--gold: links are of a text and the translation that --target gives")
    if by == "alignment_error" and gold is None:
        raise UsageError("--by alignment_error: give the right links with --gold")
    ranking: dict[str, Any] = {} if what != "heads" else {"by": by}
    if gold is not None:
        ranking["gold"] = from_pharaoh(gold, "--gold")
    page = picture is not None and picture.endswith(".html")
    if page and what not in (None, *PAGED):
        raise UsageError(f"--picture: a page holds attention, not {what}; name an .svg or .png")
    setup(threads)
    model: Any = load(run, device=device, update=checkpoint)
    plain = site is None and not check and not page
    what = what or ("patches" if model.run.task == "image_classification" and plain else "attention")
    if site is not None and what not in CHOOSING:
        raise UsageError(f"--site: {what} is of the whole model; leave it out")
    given = {} if target is None else {"target": target}
    if given and model.run.task != "translation":
        raise UsageError(f"--target is for a translation; {run} is a run of task {model.run.task}")
    read = inputs or _example(model)
    wanted = {"question_answering": 2, "classification": getattr(model.settings, "texts", 1)}.get(model.run.task, 1)
    if len(read) != wanted:
        raise UsageError(f"{len(read)} inputs; the model reads {wanted}")
    reading = model.reading(*read, **given)
    if list_:
        _names(sight.look(reading), as_json)
        return
    view: Callable[..., Any] = VIEW[what]
    found = view(model, reading, site, **ranking)
    checked = _check(reading, found) if check else None
    if as_json:
        print_json(found.data if checked is None else {"view": found.data, **checked})
    else:
        print(found.text, flush=True)
        if checked is not None:
            _print_check(reading, checked)
    if picture is not None:
        if page:
            seen = sight.look(reading, "*.weights")
            numbers = getattr(getattr(model.settings, "data", None), "numbers", False)
            write_page(seen, Path(picture), " ".join(map(str, inputs or [])) or run, probabilities=not numbers)
        else:
            found.draw(Path(picture))
        say_drawn(picture)
    elif not as_json:
        say(f"next: sightline look {run} … --what {what} --picture {what}.svg")


def _example(model: Any) -> list[str]:
    """Something to read where nothing is given: the beginning of the run's validation data."""
    from sightline.errors import UsageError

    found = model.example()
    if found is None:
        raise UsageError(f"{model.run.path}: give what the model is to read")
    return found


def _names(seen: Any, as_json: bool) -> None:
    rows = [(name, seen.axes(name), tuple(seen[name].shape)) for name in seen.names]
    if as_json:
        print_json([{"name": name, "axes": axes, "shape": shape} for name, axes, shape in rows])
        return
    width = max(len(name) for name, _, _ in rows)
    for name, axes, shape in rows:
        print(f"{name:{width}}  {' × '.join(f'{axis} {size}' for axis, size in zip(axes, shape, strict=True))}")


def _check(reading: Any, found: Any) -> dict[str, Any]:
    """What each output loses without each position, and how far the attention that is shown agrees; None where it
    cannot be compared."""
    from sightline.errors import UsageError
    from sightline.sight.reading import agreement, occlusion

    if not reading.outputs:
        raise UsageError("nothing is predicted in this text; put a [MASK] where a word is missing")
    drops = occlusion(reading)
    how = None if found.weights is None else agreement(found.weights, drops, causal=reading.causal)
    return {
        "occlusion": drops.tolist(),
        "outputs": reading.outputs,
        "positions": reading.sides[reading.input_axis].tokens,
        "taken": reading.occlusion,
        "agreement": None if how is None or math.isnan(how) else how,
    }


def _print_check(reading: Any, checked: dict[str, Any]) -> None:
    import numpy as np

    from sightline.sight.terminal import numbers_text

    print(f"\nNats that each output loses when a position is {reading.occlusion} (–: it always stays):")
    # beyond that there is only the rounding of fp32
    print(numbers_text(np.round(checked["occlusion"], 4) + 0.0, checked["positions"], checked["outputs"]))
    if checked["agreement"] is None:
        print(
            "No rank correlation: what is shown is no attention of these outputs to these positions, or too few differ"
        )
    else:
        print(f"Rank correlation with attention: {checked['agreement']:.2f} (1: what was looked at matters)")
