"""`sightline evaluate`: a run measured on its test sets or on given files."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from sightline.cli.common import RunArgument, parse_columns, print_json, progress, say_next
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
    from sightline.runs.evaluation import evaluate_set
    from sightline.runs.loading import load, spec_of
    from sightline.train.machine import setup
    from sightline.train.run_directory import Run

    setup(threads)
    spec = spec_of(Run(run))
    asked: dict[str, Any] = {
        "lowercase": lowercase,
        "beam": beam,
        "by_length": by_length,
        "batch_size": batch_size,
        "unknown_labels": unknown_labels,
    }
    options = {name: value for name, value in asked.items() if value}
    for name in options.keys() - spec.evaluate_options:
        raise UsageError(
            f"--{name.replace('_', '-')} is for runs of {_tasks_with(name)}; {run} is a run of task {spec.name}"
        )
    if "lowercase" in spec.evaluate_options:
        options["lowercase"] = lowercase
    model = load(run, precision=precision, device=device)
    sets = dict(model.settings.data.test)
    if source is not None:
        sets = {source: model.settings.given(source, reference, **_columns(spec, columns))}
    elif columns is not None:
        raise UsageError("--columns: is for a file that is named; the run's test sets have theirs in its configuration")
    if not sets:
        both = " of sources and one of references" if model.languages else ""
        raise UsageError(f"{run}: the run names no test sets; give a file{both}")
    found = []
    for name, files in sets.items():
        with progress(f"evaluating {name}") as advance:
            more = {"done": advance} if "done" in spec.evaluate_options else {}
            report = evaluate_set(model, name, files, **options, **more)
        found.append(report.as_dict())
        if not as_json:
            print("\n".join(report.lines()), flush=True)
    if as_json:
        print_json(found, indent=2)
    else:
        say_next(spec.after_evaluation.format(run=shlex.quote(run)))


def _columns(spec: Any, columns: str | None) -> dict[str, object]:
    """The keys of a source that say which columns are read, where the user says it."""
    from sightline.errors import UsageError

    if columns is None:
        return {}
    if spec.init.columns is None:
        raise UsageError(f"--columns: files of task {spec.name} have no columns to choose")
    return spec.init.columns(parse_columns(columns))


def _tasks_with(option: str) -> str:
    from sightline.tasks.registry import TASKS

    return " or ".join(spec.name for spec in TASKS.values() if option in spec.evaluate_options)
