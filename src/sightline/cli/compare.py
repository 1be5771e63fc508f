"""`sightline compare`: trained runs side by side, or a plan that trains what is missing first."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.common import (
    PLUGINS,
    ThreadsOption,
    named_as_options,
    print_json,
    print_tables,
    progress,
    say,
    say_next,
)

if TYPE_CHECKING:
    from sightline.comparison.comparison import Comparison


def register(app: typer.Typer) -> None:
    app.command(name="compare")(compare)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...|PLAN.toml", help="Trained runs, the baseline first; or one plan."),
    ],
    name: Annotated[
        list[str] | None, typer.Option(help="What to call a run; once for each, in order. Seeds share a name.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="A file to compare them on, instead of the baseline's test sets.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Its references, where they are a file of their own.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Of a plan: train each model with so many seeds, for intervals.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Of a plan: trainings at a time, a thread each; one a core by default.")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option(help="Also write a report: .html (pictures, attention), .md or .json.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare what has other data, search or budget; the report says so.")
    ] = False,
    no_speed: Annotated[bool, typer.Option("--no-speed", help="Do not measure speed and memory.")] = False,
    examples: Annotated[
        int,
        typer.Option(min=0, help="Records on which they differ most, in the reports; 0 where nobody may read them."),
    ] = 10,
    resamples: Annotated[int, typer.Option(min=100, help="Of the test set, for intervals and tests.")] = 1000,
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Compare trained models: which is better, by how much, how sure that is, and what each takes.

    sightline compare runs/demo-gru runs/demo-transformer --output comparison.html

    sightline compare compare.toml --seeds 3 --output comparison.html
    """
    from sightline.comparison.comparison import compare as compare_runs
    from sightline.comparison.report import writer_of
    from sightline.errors import UsageError

    with named_as_options("output"):
        reports = [writer_of(path) for path in output or []]
    names = list(name or [])
    planned = False
    if len(runs) == 1 and runs[0].endswith(".toml"):
        from sightline.comparison.plan import read_plan, train_plan

        if names:
            raise UsageError("--name: a plan names its models itself; leave it out")
        plan = read_plan(runs[0], seeds)
        planned = plan.budgeted
        trained = train_plan(plan, jobs=jobs, report=say, plugins=PLUGINS.get())
        runs, names = [str(path) for _, path in trained], [model for model, _ in trained]
    else:
        for option, value in (("--seeds", seeds), ("--jobs", jobs)):
            if value is not None:
                raise UsageError(f"{option}: is of a plan; name one .toml file, see docs/compare.md")
    if names and len(names) != len(runs):
        raise UsageError(f"--name: {len(names)} names for {len(runs)} runs; give one for each")
    found = compare_runs(
        runs,
        names=names,
        source=source,
        reference=reference,
        anyway=anyway,
        speed=not no_speed,
        resamples=resamples,
        examples=examples,
        threads=threads,
        planned=planned,
        report=say,
        progress=partial(progress, elsewhere=True),
    )
    if as_json:
        print_json(found.as_dict(), indent=2)
    else:
        show(found)
    for path, write in zip(output or [], reports, strict=True):
        write(found, Path(path))
        say(f"written: {path}")
    if not as_json:
        again = shlex.join(runs[:2])
        say_next(f"sightline serve {again}" if output else f"sightline compare {again} --output comparison.html")


def show(comparison: Comparison) -> None:
    """Prints the tables and what they show."""
    from sightline.comparison import words

    print_tables(words.tables(comparison))
    for line in comparison.verdicts():
        print(line)
    for line in words.notes(comparison):
        print(line)
