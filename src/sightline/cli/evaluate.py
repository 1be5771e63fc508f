"""`sightline evaluate`: BLEU, chrF, TER and perplexity of a run on its test sets or on given files."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sightline.cli.common import RunArgument, progress, say


def register(app: typer.Typer) -> None:
    app.command(name="evaluate")(evaluate)


def evaluate(
    run: RunArgument,
    source: Annotated[str | None, typer.Argument(help="Source sentences; the run's test sets by default.")] = None,
    reference: Annotated[str | None, typer.Argument(help="Their translations, line by line.")] = None,
    lowercase: Annotated[bool, typer.Option(help="Compare without regard to case, too.")] = False,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences at a time.")] = 64,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    by_length: Annotated[bool, typer.Option(help="BLEU by the length of the source, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Measure a run: BLEU, chrF and TER with sacrebleu's signatures, and perplexity.

    sightline evaluate runs/demo-transformer

    sightline evaluate runs/multi30k-transformer test.en test.de --lowercase
    """
    from sightline.data.readers import PairSource
    from sightline.errors import UsageError
    from sightline.evaluation import evaluate_pairs
    from sightline.train.machine import setup
    from sightline.translator import Translator

    setup(threads)
    translator = Translator(run, precision=precision, device=device)
    sets = {name: files.pair_source() for name, files in translator.settings.data.test.items()}
    if source is not None:
        sets = {source: PairSource(source, reference)}
    if not sets:
        raise UsageError(f"{run}: the run names no test sets; give a source and a reference file")
    changes = {} if beam is None else {"beam": beam}
    options = translator.settings.search.with_changes(**changes)
    reports = []
    for name, pairs in sets.items():
        with progress(f"translating {name}") as advance:
            report = evaluate_pairs(
                translator, name, pairs, options, lowercase=lowercase, batch_size=batch_size, done=advance
            )
        reports.append(report)
        if not as_json:
            print("\n".join(report.lines(by_length)))
    if as_json:
        print(json.dumps([report.as_dict() for report in reports], ensure_ascii=False, indent=2))
    else:
        say(f"next: sightline translate {run} FILE")
