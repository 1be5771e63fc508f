"""`sightline export` and `sightline import`: runs to and from the formats of other toolkits."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline.cli.common import RunArgument, say


def register(app: typer.Typer) -> None:
    app.command(name="export")(export)
    app.command(name="import")(import_)


def export(
    run: RunArgument,
    target: Annotated[str, typer.Argument(help="The folder or file to write.")],
    to: Annotated[str, typer.Option(help="gpt2 (a Hugging Face directory) or arpa (n-grams).")] = "gpt2",
) -> None:
    """Write a trained model in another toolkit's format.

    sightline export runs/novels exported/novels-gpt2

    sightline export runs/trigrams trigrams.arpa.gz --to arpa
    """
    from sightline.interop.runs import export_run

    export_run(run, target, to)
    say(f"written: {target}")


def import_(
    folder: Annotated[str, typer.Argument(help="A Hugging Face directory with a GPT-2 in it.")],
    run: Annotated[str, typer.Option(help="The run directory to make.")],
) -> None:
    """Make a run of another toolkit's model, ready to generate and score.

    sightline import downloads/gpt2 --run runs/gpt2

    sightline import exported/novels-gpt2 --run runs/novels-again
    """
    from sightline.interop.runs import import_run

    import_run(folder, run)
    say(f"next: sightline generate {run} --prompt '…'")
