"""`sightline export` and `sightline import`: runs to and from the formats of other toolkits."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from sightline.cli.common import RunArgument, named_as_options, say, say_next


def register(app: typer.Typer) -> None:
    app.command(name="export")(export)
    app.command(name="import")(import_)


def export(
    run: RunArgument,
    target: Annotated[str, typer.Argument(help="The folder or file to write.")],
    to: Annotated[
        str | None,
        typer.Option(help="gpt2, bert, vit (Hugging Face directories) or arpa (n-grams); else by the model."),
    ] = None,
) -> None:
    """Write a trained model in another toolkit's format: a GPT, BERT or ViT, or n-grams. Of other models, such as those
    that translate, the run directory itself is what is handed on.

    sightline export runs/novels exported/novels-gpt2

    sightline export runs/trigrams trigrams.arpa.gz --to arpa
    """
    from sightline.interop.runs import export_run

    with named_as_options("to"):
        written = export_run(run, target, to)
    say(f"written: {target}, as {written.format}" + (f"; {written.remark}" if written.remark else ""))


def import_(
    folder: Annotated[str, typer.Argument(help="A Hugging Face directory with a GPT-2, BERT or ViT in it.")],
    run: Annotated[str, typer.Option(help="The run directory to make.")],
    form: Annotated[str, typer.Option(help="What a classifier reads: single (a text), pair or similarity.")] = "single",
    choices: Annotated[
        int | None, typer.Option(min=2, help="How many texts a model that chooses among texts is given.")
    ] = None,
) -> None:
    """Make a run of another toolkit's model, ready for use.

    sightline import downloads/gpt2 --run runs/gpt2

    sightline import exported/novels-gpt2 --run runs/novels-again
    """
    from sightline.interop.runs import import_run
    from sightline.tasks.registry import TASKS
    from sightline.train.run_directory import Run

    with named_as_options("form", "choices"):
        made = import_run(folder, run, form, choices)
    if made.head == "encoder":
        say_next(f"sightline init my.toml --source FILE --task classification --pretrained {shlex.quote(run)}")
        return
    spec = TASKS[made.task]
    settings = Run(run).settings(spec.settings)
    say_next(spec.next_after_training(shlex.quote(run), settings))
