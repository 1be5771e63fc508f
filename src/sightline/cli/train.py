"""`sightline train`, `init` and `recipes`: from a configuration to a trained run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.common import say

# What to do with a run that has been trained, by task.
NEXT = {
    "translation": "sightline translate {run} --text '…' --attention",
    "language": "sightline generate {run} --prompt '…'",
    "masked_language": "sightline fill {run} 'a text with a [MASK]'",
    "classification": "sightline classify {run} {texts}",
    "tagging": "sightline tag {run} --text '…'",
    "question_answering": "sightline answer {run} FILE --question '…'",
    "image_classification": "sightline classify {run} FILE",
}

# What `init` writes where the defaults, which are the papers', would ask for another machine or another time scale.
SMALL: dict[str, dict[str, Any]] = {
    "gpt": {"d_model": 256, "num_layers": 4, "num_heads": 4, "d_ff": 1024, "max_length": 256},
    "bert": {"d_model": 256, "num_layers": 4, "num_heads": 4, "d_ff": 1024, "max_length": 512},
}
KINDS = {
    "language": "gpt",
    "masked_language": "bert",
    "classification": "gpt",
    "tagging": "bert",
    "question_answering": "bert",
}
_PRETRAINING = {"training": {"max_updates": 6000, "warmup": 300, "schedule": "cosine"}}
_FINE_TUNING = {"training": {"max_epochs": 3, "learning_rate": 3e-4, "warmup": 100, "tokens_per_batch": 2048}}
STARTS: dict[str, dict[str, Any]] = {
    "language": _PRETRAINING,
    "masked_language": _PRETRAINING,
    "classification": _FINE_TUNING,
    "tagging": _FINE_TUNING,
    "question_answering": _FINE_TUNING,
}


def register(app: typer.Typer) -> None:
    app.command(name="train")(train)
    app.command(name="init")(init)
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and train nothing.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also log for TensorBoard.")] = False,
) -> None:
    """Train a model, or go on where training stopped.

    sightline train transformer-ko-en

    sightline train my.toml training.max_minutes=30 --run runs/first
    """
    from sightline import config
    from sightline.training import schema

    where, text = config.read(recipe)
    values = config.override(config.parse(where, text), overrides or [])
    settings: Any = config.validate(schema(values, where), values, where, text)
    path = Path(run or f"runs/{Path(recipe).stem}")
    if dry_run:
        from sightline.dryrun import describe
        from sightline.training import KINDS

        settings = KINDS[settings.task].complete(settings)
        print(config.to_toml(settings))
        for line in describe(settings):
            say(line)
        say(f"next: sightline train {shlex.join([recipe, *(overrides or []), '--run', str(path)])}")
        return
    from rich.console import Console

    from sightline.train.log import TrainLog, display_on
    from sightline.training import train_run

    outcome, evaluations = train_run(
        settings,
        path,
        fresh=fresh,
        report=say,
        log=lambda folder: TrainLog(folder, display_on(Console(stderr=True)), tensorboard=tensorboard),
    )
    say(f"trained: {outcome.reason}; best {settings.training.metric} {outcome.best} at update {outcome.best_update}")
    for evaluation in evaluations:
        print("\n".join(evaluation.lines()))
    texts = " ".join(["--text '…'"] * getattr(settings, "texts", 1))
    say(f"next: {NEXT[settings.task].format(run=path, texts=texts)}")


def init(
    path: Annotated[str, typer.Argument(help="The file to write, as in my.toml.")],
    source: Annotated[
        str,
        typer.Option(
            help="Your data: source sentences or one file with both sides; text; labelled records; a folder of images."
        ),
    ] = "train.source",
    target: Annotated[str | None, typer.Option(help="Your target sentences, line by line.")] = None,
    task: Annotated[
        str,
        typer.Option(
            help="translation, language, masked_language, classification, tagging, question_answering"
            " or image_classification."
        ),
    ] = "translation",
    model: Annotated[
        str | None,
        typer.Option(
            help="translation: transformer or seq2seq; language: gpt, recurrent, window or ngram; "
            "classification: gpt or bert; other tasks have one kind."
        ),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(help="A run to go on from: a BERT's, for classification a GPT's too."),
    ] = None,
) -> None:
    """Write a configuration with every setting explained, to be edited and trained.

    sightline init my.toml --source train.ko --target train.en

    sightline init gpt.toml --source novels.txt --task language

    sightline init reviews.toml --source reviews.tsv --task classification --pretrained runs/gpt
    """
    from sightline import config
    from sightline.errors import UsageError
    from sightline.training import schema

    file = Path(path)
    if file.exists():
        raise UsageError(f"{path}: is there already; choose another name, or remove it first")
    files: dict[str, Any] = {"source": source} | ({"target": target} if target else {})
    if task == "classification":
        from sightline.data.labelled import suggest_columns

        files |= suggest_columns(source)
    values: dict[str, Any] = {"data": {"train": [files], "validation": [files] if "language" in task else files}}
    values |= {"task": task} | ({"model": {"kind": model}} if model else {})
    values |= {"pretrained": pretrained} if pretrained else {}
    # a pretrained run has sizes of its own
    sizes = {} if pretrained else SMALL.get(model or KINDS.get(task, ""), {})
    values = _merged(STARTS.get(task, {}), _merged({"model": sizes} if sizes else {}, values))
    settings: Any = config.validate(schema(values, "--task"), values, path)
    if pretrained:
        from sightline.fine_tuning import adopt

        settings = adopt(settings)
    file.write_text(
        f"# Train with: sightline train {path}\n"
        "# data.validation must be other data than data.train: put a file of its own there.\n\n"
        # what a pretrained run decides
        + config.commented(settings, without=("model", "tokenizer") if pretrained else ()),
        encoding="utf-8",
    )
    say(f"written: {path}; set data.validation to data that is not trained on")
    say(f"next: sightline train {path} --dry-run")


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, those above in front, table by table."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if type(below[key]) is dict and type(above[key]) is dict:
            both[key] = _merged(below[key], above[key])
    return both


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
    say("next: sightline train NAME, or: sightline recipes NAME > my.toml")
