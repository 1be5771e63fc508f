"""`sightline init`: from a user's data to a configuration with every setting explained."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.common import parse_columns, say, say_next


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
    target: Annotated[str | None, typer.Option(help="Your target sentences, line by line.")] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of a table, by number or name: 1,0 or ko,en; texts, then the label: text,label."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What is to be learned: translation by default; a wrong word lists them all.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The kind of model; a wrong word lists the task's.")] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="A run to go on from: of the same kind of model, or what fine-tuning takes, such as a BERT's."
        ),
    ] = None,
) -> None:
    """Write a configuration with every setting explained, to be edited and trained.

    sightline init my.toml --source train.ko --target train.en

    sightline init gpt.toml --source novels.txt --task language

    sightline init my.toml --source pairs.csv --columns korean,english

    sightline init reviews.toml --source reviews.tsv --task classification --pretrained runs/gpt
    """
    from sightline import config
    from sightline.errors import UsageError, nearest
    from sightline.runs.fine_tuning import adopt
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
    if target is not None and "target" not in spec.data_files:
        raise UsageError(f"--target: is of translation; the data of task {name} are in one file, leave it out")
    kind = model or next(iter(kinds), None)
    files = spec.init.files(source, target)
    if columns is not None:
        if spec.init.columns is None:
            raise UsageError(f"--columns: the data of task {name} are no tables; leave it out")
        files = {**files, **spec.init.columns(parse_columns(columns))}
    # a pretrained run has sizes of its own
    sizes = {} if pretrained or kind is None else spec.init.sizes.get(kind, {})
    values: dict[str, Any] = {
        "task": name,
        "data": {"train": [files], "validation": [files] if spec.init.validation_is_list else files},
        **({} if kind is None else {"model": {"kind": kind, **sizes}}),
        **({"pretrained": pretrained} if pretrained else {}),
    }
    values = _merged(dict(spec.init.values), values)
    settings: Any = config.validate(spec.settings, values, path)
    if pretrained:
        settings, _ = adopt(spec, settings)
    file.write_text(
        f"# Train with: sightline train {path}\n"
        "# data.validation must be other data than data.train: put a file of its own there.\n\n"
        # what a pretrained run decides
        + config.commented(settings, without=("model", "tokenizer") if pretrained else ()),
        encoding="utf-8",
    )
    say(f"written: {path}; set data.validation to data that is not trained on")
    say_next(f"sightline train {shlex.quote(path)} --dry-run")


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, those above in front, table by table."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if type(below[key]) is dict and type(above[key]) is dict:
            both[key] = _merged(below[key], above[key])
    return both
