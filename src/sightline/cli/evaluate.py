"""`sightline evaluate`: a run measured on its test sets or on given files."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from sightline.cli.common import RunArgument, named_as_options, parse_columns, print_json, progress, say_next
from sightline.cli.records import ColumnsOption


def register(app: typer.Typer) -> None:
    app.command(name="evaluate")(evaluate)


def evaluate(
    run: RunArgument,
    source: Annotated[str | None, typer.Argument(help="Sources, or text; the run's test sets by default.")] = None,
    reference: Annotated[
        str | None,
        typer.Argument(help="Their translations, line by line; of an IDX file of images the one of their classes."),
    ] = None,
    lowercase: Annotated[bool, typer.Option(help="Compare without regard to case, too.")] = False,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width; the run's own by default.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Of a translation: sentences at a time, 64 by default.")
    ] = None,
    columns: ColumnsOption = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    by_length: Annotated[bool, typer.Option(help="BLEU by the length of the source, too.")] = False,
    unknown_labels: Annotated[
        bool, typer.Option(help="Count records whose label training never had as wrong, instead of refusing the set.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Measure a run: BLEU, chrF and TER with sacrebleu's signatures, and perplexity; of a language model perplexity
    and bits per byte; of a BERT what it fills in rightly; of a classifier of texts or images accuracy and F1; of a
    tagger its spans' F1; of what answers questions exact match and F1.

    sightline evaluate runs/demo-transformer

    sightline evaluate runs/multi30k-transformer test.en test.de --lowercase
    """
    from sightline.errors import UsageError
    from sightline.runs.evaluation import check_options, measure
    from sightline.runs.loading import load, spec_of
    from sightline.train.machine import setup
    from sightline.train.run_directory import Run

    setup(threads)
    options = {
        "lowercase": lowercase,
        "beam": beam,
        "by_length": by_length,
        "batch_size": batch_size,
        "unknown_labels": unknown_labels,
    }
    with named_as_options(*options):
        check_options(run, options)
    if columns is not None and source is None:
        raise UsageError("--columns: is for a file that is named; the run's test sets have theirs in its configuration")
    model, found = load(run, precision=precision, device=device), []
    for report in measure(
        model,
        source,
        reference,
        columns=None if columns is None else parse_columns(columns),
        options=options,
        progress=progress,
    ):
        found.append(report.as_dict())
        if not as_json:
            print("\n".join(report.lines()), flush=True)
    if as_json:
        print_json(found, indent=2)
    else:
        say_next(spec_of(Run(run)).after_evaluation.format(run=shlex.quote(run)))
