"""`sightline demo`: two models trained on the embedded corpus, compared, used and looked into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from sightline.cli.common import say

if TYPE_CHECKING:
    from sightline.data.pairs import PairSource
    from sightline.tasks.report import Report
    from sightline.train.loop import Outcome
    from sightline.train.run_directory import Run

SENTENCE = "나는 인공지능을 공부하는 학생입니다."
# recipe → what the table calls it
MODELS = {"gru-ko-en": "GRU, additive attention", "transformer-ko-en": "Transformer"}


class Trained(NamedTuple):
    """A training that has ended: the run, how it went, and what it came to on each test set."""

    path: Path
    outcome: Outcome
    reports: Sequence[Report]
    test: Mapping[str, PairSource]


def register(app: typer.Typer) -> None:
    app.command(name="demo")(demo)


def demo(
    folder: Annotated[str, typer.Option(help="Where the two runs go; a second demo goes on from there.")] = "runs",
    fresh: Annotated[bool, typer.Option("--fresh", help="Train again from the start.")] = False,
) -> None:
    """Train a GRU with attention and a Transformer to translate Korean, and compare them: 4 to 10 minutes.

    sightline demo

    sightline demo --folder my-runs --fresh
    """
    from sightline import config
    from sightline.runs.processes import Training, train_in_processes
    from sightline.runs.training import train_run
    from sightline.tasks.translation.settings import TranslationSettings
    from sightline.train.machine import setup
    from sightline.train.run_directory import Run

    paths = {recipe: Path(folder) / f"demo-{recipe.removesuffix('-ko-en')}" for recipe in MODELS}
    threads = setup()
    own = {recipe: _own(Run(path), max(1, threads // len(MODELS)), fresh) for recipe, path in paths.items()}
    open_ = [recipe for recipe, path in paths.items() if fresh or not Run(path).weights.exists()]
    if threads > 1 and open_:
        trainings = [Training(recipe, recipe, paths[recipe], own[recipe]) for recipe in open_]
        train_in_processes(trainings, at_once=len(trainings), report=say, fresh=fresh)
        fresh = False
    trained: dict[str, Trained] = {}
    for recipe, title in MODELS.items():
        say(f"\n{title}: sightline train {' '.join([recipe, *own[recipe]])}")
        where, text = config.read(recipe)
        values = config.override(config.parse(where, text), own[recipe])
        settings = config.validate(TranslationSettings, values, where, text)
        outcome, evaluations = train_run(settings, paths[recipe], fresh=fresh, report=say, log=_log)
        trained[title] = Trained(paths[recipe], outcome, evaluations, settings.data.test)
    _table(trained)
    best = max(trained, key=lambda title: _score(trained[title].reports[0], "BLEU"))
    _examples(trained)
    path = trained[best].path
    _attention(path, best)
    _compare(trained, Path(folder) / "demo-comparison.html")
    say(
        "\nnext:\n"
        f'  sightline translate {path} --text "선생님이 고양이를 찾고 있어요." --attention\n'
        f"  sightline evaluate {path} --by-length\n"
        f"  sightline serve {' '.join(str(one.path) for one in trained.values())} # a page to use and compare both\n"
        "  sightline train transformer-ko-en model.positions=rotary --run runs/rotary\n"
        "  sightline init my.toml --source train.ko --target train.en    # your own text"
    )


def _own(run: Run, threads: int, fresh: bool) -> list[str]:
    """What this machine adds to a recipe: so many threads, or what a run that exists was begun with elsewhere."""
    if run.exists and not fresh:
        threads = run.read_config().get("training", {}).get("threads")
    return [f"training.threads={threads}"] if threads else []


def _compare(trained: Mapping[str, Trained], page: Path) -> None:
    """Whether the difference is more than chance, and a page with all of it."""
    from sightline.comparison.comparison import compare

    say("\ncomparing them, sentence by sentence")
    found = compare([one.path for one in trained.values()], names=list(trained))
    print("\n".join(found.verdicts()))
    found.save(page)
    say(f"the comparison, with pictures: {page}")


def _log(folder: Path):
    from rich.console import Console

    from sightline.train.log import TrainLog, display_on

    return TrainLog(folder, display_on(Console(stderr=True)))


def _score(report: Report, label: str) -> float:
    return next(float(value) for found, value, _ in report.rows() if found == label)


def _table(trained: Mapping[str, Trained]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Korean → English, combinations never seen in training")
    columns = ("model", "BLEU", "chrF", "BLEU, deeper nesting", "parameters", "training", "sentences/s")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for title, one in trained.items():
        seen, deeper = one.reports
        table.add_row(
            title,
            f"{_score(seen, 'BLEU'):.1f}",
            f"{_score(seen, 'chrF2'):.1f}",
            f"{_score(deeper, 'BLEU'):.1f}",
            f"{_parameters(one.path):,}",
            f"{one.outcome.seconds:.0f} s",
            f"{seen.as_dict()['sentences_per_second']:.0f}",
        )
    Console(width=110).print(table)
    (_, _, signature), *_ = next(iter(trained.values())).reports[0].rows()
    print("BLEU: " + signature.strip("`"))


def _parameters(path: Path) -> int:
    from sightline.train.run_directory import Run

    return Run(path).parameters()


def _examples(trained: Mapping[str, Trained]) -> None:
    from sightline.data.pairs import read_pairs
    from sightline.tasks.translation.predictor import Translator

    test = next(iter(next(iter(trained.values())).test.values()))
    sources, references = zip((SENTENCE, ""), *islice(read_pairs(test), 4), strict=True)
    found = {title: Translator(one.path).translate(sources) for title, one in trained.items()}
    width = max(len(title) for title in trained)
    for row, source in enumerate(sources):
        print(f"\n{'':{width}}  {source}")
        if references[row]:
            print(f"{'reference':{width}}  {references[row]}")
        for title, records in found.items():
            print(f"{title:{width}}  {records[row].text}")


def _attention(path: Path, title: str) -> None:
    from sightline.sight.pictures import attention_picture
    from sightline.sight.terminal import attention_text
    from sightline.tasks.translation.predictor import Translator

    looked = Translator(path).translate(SENTENCE, attention=True).attention
    if looked is None:
        return
    print(f"\nwhere the {title} looked (rows: what it wrote, columns: what it read)\n")
    weights, source, target = looked.by_word()
    print(attention_text(weights, source, target))
    picture = path / "attention.svg"
    attention_picture(weights, source, target, picture, title)
    say(f"\nthe same as a picture: {picture}")
