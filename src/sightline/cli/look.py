"""`sightline look`: what goes on inside a trained model while it reads one input."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.common import RunArgument, print_json, say, say_drawn, say_next

if TYPE_CHECKING:
    from sightline.sight.reading import Look
    from sightline.sight.views import OcclusionView, View, ViewOptions

# The views of `sightline.cli.views`, whose imports a help text does not wait for.
NAMES = (
    "attention", "heads", "masks", "alignment", "gates", "belt", "states", "positions", "residual", "norms",
    "gradients", "lens", "patches",
)  # fmt: skip
MOST_OTHERS = 4  # sites that are named beside the one that is shown
WIDTH = 120  # cells of a line where the output is no terminal


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
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers, for machines.")] = False,
) -> None:
    """Look inside a trained model: attention, heads, gates, residual stream, and whether what was looked at mattered.

    sightline look runs/demo-transformer "나는 학생입니다." --what heads --picture heads.svg

    sightline look runs/novels "It was a dark and" --what lens

    sightline look runs/demo-gru "나는 학생입니다." --check
    """
    from sightline.cli.views import VIEWS
    from sightline.errors import UsageError, nearest
    from sightline.runs.loading import load
    from sightline.sight import reading as sight
    from sightline.sight.page import write_page
    from sightline.sight.pictures import check_format
    from sightline.sight.views import occlusion_view
    from sightline.train.machine import setup

    if what is not None and what not in VIEWS:
        raise UsageError(f'--what: there is no "{what}"{nearest(what, VIEWS)}')
    if list_ and (check or picture is not None):
        raise UsageError(
            f"--list names what is recorded and shows none of it; leave {'--check' if check else '--picture'} out"
        )
    options = _options(what, site, by, gold, target)
    file = None if picture is None else Path(picture)
    page = file is not None and file.suffix == ".html"
    if file is not None and not page:
        check_format(file, ", a page .html")
    if page and what is not None and not VIEWS[what].on_page:
        raise UsageError(f"--picture: a page holds attention, not {what}; name an .svg, .png or .pdf")
    setup(threads)
    model = load(run, device=device, update=checkpoint)
    plain = site is None and not check and not page
    what = what or (model.default_view if plain else "attention")
    kind = VIEWS[what]
    if site is not None and not kind.has_sites:
        raise UsageError(f"--site: {what} is of the whole model; leave it out")
    if target is not None and "target" not in model.reading_options:
        raise UsageError(f"--target is for a translation; {run} is a run of task {model.settings.task}")
    given = inputs or model.example() or model.first_example()
    if given is None:
        raise UsageError(f"{model.run.path}: give what the model is to read")
    if len(given) != model.input_count:
        raise UsageError(f"{len(given)} inputs; the model reads {model.input_count}")
    reading = model.reading(*given, **({} if target is None else {"target": target}))
    if list_:
        _print_names(sight.look(reading), as_json)
        return
    shown = kind.show(model, reading, options)
    checked = occlusion_view(reading) if check else None
    if as_json:
        data = shown.view.data()
        print_json(data if checked is None else {"view": data, **_check_data(checked, shown.view)})
    else:
        width = shutil.get_terminal_size((WIDTH, 0)).columns
        print(shown.text(width), flush=True)
        if checked is not None:
            _print_check(checked, shown.view, width)
    if shown.view.others and not as_json:
        _say_others(shown.view.others)
    if file is not None:
        if page:
            write_page(sight.look(reading, "*.weights"), file, " ".join(map(str, inputs or [])) or run)
        else:
            shown.draw(file)
        say_drawn(str(file))
    elif not as_json:
        say_next(f"sightline look {shlex.quote(run)} … --what {what} --picture {what}.svg")


def _options(what: str | None, site: str | None, by: str | None, gold: str | None, target: str | None) -> ViewOptions:
    """What is asked of the view. Raises UsageError where options do not belong together."""
    from sightline.errors import UsageError
    from sightline.sight.alignment import from_pharaoh
    from sightline.sight.views import ViewOptions

    if what != "heads" and (by is not None or gold is not None):
        raise UsageError("--by and --gold: of --what heads")
    if gold is not None and target is None:
        raise UsageError("--gold: links are of a text and the translation that --target gives")
    return ViewOptions(site, by, None if gold is None else from_pharaoh(gold, "--gold"))


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


def _check_data(checked: OcclusionView, view: View) -> dict[str, object]:
    return {
        "occlusion": checked.losses.tolist(),
        "outputs": checked.outputs,
        "positions": checked.positions,
        "taken": checked.occlusion,
        "agreement": checked.agreement(view.output_weights),
    }


def _print_check(checked: OcclusionView, view: View, width: int) -> None:
    from sightline.sight.terminal import occlusion_view_text

    print(f"\n{occlusion_view_text(checked, width)}")
    found = checked.agreement(view.output_weights)
    if found is None:
        print(
            "No rank correlation: what is shown is no attention of these outputs to these positions, or too few differ"
        )
    else:
        print(f"Rank correlation with attention: {found:.2f} (1: what was looked at matters)")
