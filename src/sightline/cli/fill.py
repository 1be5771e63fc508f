"""`sightline fill`: what a BERT would write in a blank."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import typer

from sightline.cli.common import STDIN, RunArgument, lines_of, name_of, print_json, say, say_next


def register(app: typer.Typer) -> None:
    app.command(name="fill")(fill)


def fill(
    run: RunArgument,
    text: Annotated[str, typer.Argument(help="A text with [MASK] for each blank; - for lines of standard input.")],
    top: Annotated[int, typer.Option(min=1, help="How many candidates for each blank.")] = 5,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text.")] = False,
) -> None:
    """Fill in blanks: the likeliest tokens for each [MASK], with their probabilities.

    sightline fill runs/bert "나는 [MASK]를 공부한다"

    sightline fill runs/bert "The [MASK] sat on the [MASK]." --top 3 --json
    """
    from rich.cells import cell_len

    from sightline.errors import UsageError
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    setup(threads)
    model: Any = load_for("fill", run, precision=precision, device=device)
    texts = lines_of(STDIN, None if text == STDIN else text)
    code = 0
    for line, one in enumerate(texts, 1):
        try:
            filled = model.fill(one, top=top)
        except UsageError as error:
            if text != STDIN:
                raise
            # the lines after this one are no worse for it
            say(f"{name_of(text)}:{line}: {error}")
            code = error.exit_code
            continue
        if as_json:
            print_json(asdict(filled))
            continue
        print(filled.best)
        for number, candidates in enumerate(filled.blanks, 1):
            if len(filled.blanks) > 1:
                print(f"blank {number}")
            for candidate in candidates:
                token = candidate.token + " " * (16 - cell_len(candidate.token))
                print(f"  {candidate.probability:7.4f}  {token} {candidate.text}", flush=True)
        if filled.unknown:
            say(f"note: {filled.unknown} of the text's tokens are unknown to this model")
    if code:
        raise typer.Exit(code)
    if not as_json:
        say_next(f"sightline look {shlex.quote(run)} … --what lens")
