"""`sightline init`: from a user's data to a configuration with every setting explained."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.common import say, say_next, table_values


def register(app: typer.Typer) -> None:
    app.command(name="init")(init)


def init(
    path: Annotated[str, typer.Argument(help="The file to write, as in my.toml.")],
    source: Annotated[
        str,
        typer.Option(
            help="Your data: source sentences or one file with both sides; text; labelled records; a folder of images."
        ),
    ] = "train.source",
    target: Annotated[
        str | None, typer.Option(help="Your target sentences, line by line; the classes of an IDX file of images.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of a table, by number or name: 1,0 or ko,en; texts, then the label: text,label."),
    ] = None,
    header: Annotated[
        bool | None, typer.Option(help="Whether the first line names the columns, where it may be a record as well.")
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            help="What chooses the best weights: a share of the data, 0.05 by default, or a file; two aligned files: "
            "val.ko,val.en."
        ),
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="What the trained model is measured on: likewise; nothing by default.")
    ] = None,
    validate_on_train: Annotated[
        bool,
        typer.Option("--validate-on-train", help="Validate on the training data, to see what is learned by heart."),
    ] = False,
    task: Annotated[
        str | None, typer.Option(help="What is to be learned: translation by default; a wrong word lists them all.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The kind of model; a wrong word lists the task's.")] = None,
    size: Annotated[
        str | None, typer.Option(help="tiny, small, base or large; by default what fits the amount of data.")
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="A run to go on from: of the same kind of model, or what fine-tuning takes, such as a BERT's."
        ),
    ] = None,
) -> None:
    """Write a configuration that fits your data, with every setting explained, to be edited and trained.

    sightline init my.toml --source train.ko --target train.en --test 0.05

    sightline init gpt.toml --source novels.txt --task language

    sightline init my.toml --source pairs.csv --columns korean,english --validation dev.csv

    sightline init reviews.toml --source reviews.tsv --task classification --pretrained runs/gpt
    """
    from sightline import config
    from sightline.errors import UsageError, nearest
    from sightline.runs.proposal import propose
    from sightline.tasks.registry import DEFAULT, TASKS

    file, name = Path(path), task or DEFAULT
    if file.exists():
        raise UsageError(f"{path}: is there already; choose another name, or remove it first")
    if name not in TASKS:
        raise UsageError(f'--task: there is no "{name}"{nearest(name, TASKS)}')
    spec = TASKS[name]
    kinds = spec.init.kinds
    if model is not None and model not in kinds:
        raise UsageError(f'--model: task {name} has no "{model}"{nearest(model, kinds)}')
    if target is not None and len(spec.data_files) < 2:
        raise UsageError(f"--target: is of translation; the data of task {name} are in one file, leave it out")
    if validate_on_train and validation is not None:
        raise UsageError("--validate-on-train: is instead of --validation; give either")
    chosen: dict[str, object] = table_values(spec, columns, header)

    def entry(names: Sequence[str]) -> dict[str, object]:
        return {**spec.init.files(names[0], names[1] if len(names) > 1 else None), **chosen}

    given = [source] if target is None else [source, target]
    sides = {
        option: None if value is None else share_or_files(option, value, given)
        for option, value in (("--validation", validation), ("--test", test))
    }
    found = {option: entry(side) if isinstance(side, list) else side for option, side in sides.items()}
    proposal = propose(
        spec,
        entry(given),
        model or next(iter(kinds), None),
        validation=entry(given) if validate_on_train else found["--validation"],
        test=found["--test"],
        size=size,
        pretrained=pretrained,
        where=path,
    )
    reasons = "".join(f"# {line}\n" for one in proposal.reasons for line in textwrap.wrap(one, 118))
    file.write_text(
        f"# Train with: sightline train {path}\n{reasons}\n"
        # what a pretrained run decides
        + config.commented(proposal.settings, without=("model", "tokenizer") if pretrained else ()),
        encoding="utf-8",
    )
    for line in proposal.said:
        say(line)
    say(f"written: {path}")
    say_next(f"sightline train {shlex.quote(path)} --dry-run")


def share_or_files(option: str, value: str, trained_on: Sequence[str]) -> float | list[str]:
    """What an option of init names: a share of the data, or as many files as are trained on.

    Raises UsageError for a share that is none, and for the training data themselves.
    """
    from sightline.errors import UsageError

    try:
        share = float(value)
    except ValueError:
        share = None
    if share is not None and not Path(value).exists():
        if not 0 < share < 1:
            raise UsageError(f"{option}: {value} is no share of the data; name one between 0 and 1, such as 0.05")
        return share
    names = [value] if len(trained_on) == 1 else value.split(",")
    if len(names) != len(trained_on):
        raise UsageError(f'{option}: "{value}" must name two files joined by a comma, as in val.ko,val.en')
    for name, other in zip(names, trained_on, strict=True):
        if name == other or Path(name).resolve() == Path(other).resolve():
            raise UsageError(
                f"{option}: {name} is trained on, so it would tell what was learned by heart; give a share of it "
                f"({option} 0.05), another file"
                + (", or --validate-on-train if that is what you want" if option == "--validation" else "")
            )
    return names
