"""`sightline answer`: what a text says to questions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from sightline.cli.common import STDIN, GivenLines, RunArgument, chunks, lines_of, print_json, progress


def register(app: typer.Typer) -> None:
    app.command(name="answer")(answer)


def answer(
    run: RunArgument,
    file: Annotated[str | None, typer.Argument(help="The text file that answers; - for standard input.")] = None,
    context: Annotated[str | None, typer.Option(help="This text instead of a file.")] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="What is asked; again for more. Lines of standard input by default.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a question, with its place.")] = False,
) -> None:
    """Answer questions from a text, of any length: the words of the text that answer, and their probability.

    sightline answer runs/squad novel.txt --question "Who lives in Baker Street?"

    sightline answer runs/squad --context "The tower is 330 metres tall." --question "How tall is it?" --json
    """
    from sightline.errors import UsageError
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    if (file is None) == (context is None):
        raise UsageError("name one text to answer from: a file, or --context")
    if file == STDIN and not question:
        raise UsageError("standard input holds the text; give questions by --question")
    setup(threads)
    model: Any = load_for("answer", run, precision=precision, device=device)
    text = context if context is not None else "\n".join(lines_of(str(file)))
    lines = GivenLines(question) if question else lines_of(STDIN)
    with progress("answering") as advance:
        for chunk in chunks(question or (line for line in lines if line.strip()), lines, 64):
            for one in model.answer_each([(asked, text) for asked in chunk]):
                if as_json:
                    print_json(asdict(one))
                else:
                    print(f"{one.text or '(no answer)'}\t{one.probability:.4f}", flush=True)
                advance(1)
