"""`sightline evaluate`: a run measured on its test sets or on given files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.common import (
    DeviceOption,
    PrecisionOption,
    RunArgument,
    ThreadsOption,
    named_as_options,
    parse_columns,
    print_json,
    print_tables,
    progress,
    say,
    say_next,
)
from sightline.cli.records import ColumnsOption

if TYPE_CHECKING:
    from sightline.tasks.details import Detail


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
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    by_length: Annotated[bool, typer.Option(help="BLEU by the length of the source, too.")] = False,
    unknown_labels: Annotated[
        bool, typer.Option(help="Count records whose label training never had as wrong, instead of refusing the set.")
    ] = False,
    details: Annotated[
        bool,
        typer.Option(
            "--details", help="What scores are made of, too: by class, type or length, and the worst answers."
        ),
    ] = False,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a report with all details, too: .html or .md.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Measure a run: BLEU, chrF and TER with sacrebleu's signatures, and perplexity; of a language model perplexity
    and bits per byte; of a BERT what it fills in rightly; of a classifier of texts or images accuracy and F1; of a
    tagger its spans' F1; of what answers questions exact match and F1.

    sightline evaluate runs/demo-transformer

    sightline evaluate runs/multi30k-transformer test.en test.de --lowercase

    sightline evaluate runs/classifier test.tsv --details --report classifier.html
    """
    from pathlib import Path

    from sightline.errors import UsageError
    from sightline.runs.evaluation import check_options, measure
    from sightline.runs.evaluation_report import require_writable, write_report
    from sightline.runs.loading import load, spec_of
    from sightline.tasks.report import details_of
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
    if report is not None:
        require_writable(Path(report))
    if columns is not None and source is None:
        raise UsageError("--columns: is for a file that is named; the run's test sets have theirs in its configuration")
    model, found = load(run, precision=precision, device=device), []
    with named_as_options("columns"):
        for one in measure(
            model,
            source,
            reference,
            columns=None if columns is None else parse_columns(columns),
            options=options,
            progress=progress,
        ):
            found.append(one)
            if not as_json:
                print("\n".join(one.lines()), flush=True)
                show([each for each in details_of(one) if details or each.short])
    if as_json:
        print_json([{**one.as_dict(), "details": [each.as_dict() for each in details_of(one)]} for one in found], 2)
    if report is not None:
        write_report(Path(report), run, found)
        say(f"written: {report}")
    if not as_json:
        say_next(spec_of(Run(run)).after_evaluation.format(run=shlex.quote(run)))


def show(details: Sequence[Detail]) -> None:
    """Prints cautions and tables."""
    for one in details:
        for line in one.cautions():
            print(f"  caution: {line}", flush=True)
        print_tables(one.tables())
