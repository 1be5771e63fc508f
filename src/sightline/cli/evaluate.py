"""`sightline evaluate`: a run measured on its test sets or on given files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from sightline.cli.common import RunArgument, print_json, progress, say

NEXT = {
    "translation": "translate RUN FILE",
    "language": "score RUN FILE",
    "masked_language": "fill RUN 'a text with a [MASK]'",
    "classification": "classify RUN FILE",
    "tagging": "tag RUN FILE",
    "question_answering": "answer RUN FILE --question '…'",
    "image_classification": "classify RUN FILE",
}


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
    batch_size: Annotated[int, typer.Option(min=1, help="Of a translation: sentences at a time.")] = 64,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    by_length: Annotated[bool, typer.Option(help="BLEU by the length of the source, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Measure a run: BLEU, chrF and TER with sacrebleu's signatures, and perplexity; of a language model perplexity
    and bits per byte; of a BERT what it fills in rightly; of a classifier of texts or images accuracy and F1; of a
    tagger its spans' F1; of what answers questions exact match and F1.

    sightline evaluate runs/demo-transformer

    sightline evaluate runs/multi30k-transformer test.en test.de --lowercase
    """
    from sightline.errors import UsageError
    from sightline.run import Run
    from sightline.train.machine import setup

    setup(threads)
    task = Run(run).task
    asked = {"a reference": reference, "--lowercase": lowercase, "--beam": beam, "--by-length": by_length}
    for name, value in asked.items():
        labels = name == "a reference" and task == "image_classification"
        if value and task != "translation" and not labels:
            raise UsageError(f"{name} is for a translation; {run} is a run of task {task}")
    if task == "translation":
        reports = _translation(run, source, reference, lowercase, beam, batch_size, precision, device)
    else:
        reports = _own_sets(run, source, reference, precision, device)
    found = []
    for report in reports:
        found.append(report.as_dict())
        if not as_json:
            print("\n".join(report.lines(by_length) if by_length else report.lines()), flush=True)
    if as_json:
        print_json(found, indent=2)
    else:
        say("next: sightline " + NEXT[task].replace("RUN", str(run)))


def _translation(run, source, reference, lowercase, beam, batch_size, precision, device) -> Iterator[Any]:
    from sightline.data.pairs import PairSource
    from sightline.errors import UsageError
    from sightline.evaluation import evaluate_pairs
    from sightline.translator import Translator

    translator = Translator(run, precision=precision, device=device)
    sets = dict(translator.settings.data.test)
    if source is not None:
        sets = {source: PairSource.from_arguments(source=source, target=reference)}
    if not sets:
        raise UsageError(f"{run}: the run names no test sets; give a source and a reference file")
    changes = {} if beam is None else {"beam": beam}
    options = translator.settings.search.with_changes(**changes)
    for name, pairs in sets.items():
        with progress(f"translating {name}") as advance:
            yield evaluate_pairs(
                translator, name, pairs, options, lowercase=lowercase, batch_size=batch_size, done=advance
            )


def _own_sets(run, source, labels, precision, device) -> Iterator[Any]:
    from sightline.errors import UsageError
    from sightline.evaluation import evaluate_set
    from sightline.loading import load

    model: Any = load(run, precision=precision, device=device)
    sets = model.settings.data.test
    if source is not None:
        files = model.settings.given(source)
        sets = {source: files.model_copy(update={"labels": labels}) if labels else files}
    if not sets:
        raise UsageError(f"{run}: the run names no test sets; give a file")
    for name, files in sets.items():
        yield evaluate_set(model, name, files)
