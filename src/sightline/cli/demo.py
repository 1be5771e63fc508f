"""`sightline demo`: two models trained on the embedded corpus, compared, used and looked into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.common import say

SENTENCE = "나는 인공지능을 공부하는 학생입니다."
# recipe → what the table calls it
MODELS = {"gru-ko-en": "GRU, additive attention", "transformer-ko-en": "Transformer"}


def register(app: typer.Typer) -> None:
    app.command(name="demo")(demo)


def demo(
    folder: Annotated[str, typer.Option(help="Where the two runs go; a second demo goes on from there.")] = "runs",
    fresh: Annotated[bool, typer.Option("--fresh", help="Train again from the start.")] = False,
) -> None:
    """Train a GRU with attention and a Transformer to translate Korean, and compare them: about four minutes.

    sightline demo

    sightline demo --folder my-runs --fresh
    """
    from sightline import config
    from sightline.tasks.translation import TranslationSettings
    from sightline.training import train_run

    trained = {}
    for recipe, title in MODELS.items():
        say(f"\n{title}: sightline train {recipe}")
        where, text = config.read(recipe)
        settings = config.validate(TranslationSettings, config.parse(where, text), where, text)
        path = Path(folder) / f"demo-{recipe.removesuffix('-ko-en')}"
        outcome, evaluations = train_run(settings, path, fresh=fresh, report=say, log=_log)
        trained[title] = (path, outcome, evaluations)
    _table(trained)
    best = max(trained, key=lambda title: trained[title][2][0].score("BLEU"))
    _examples(trained)
    _attention(trained[best][0], best)
    path = trained[best][0]
    say(
        "\nnext:\n"
        f'  sightline translate {path} --text "선생님이 고양이를 찾고 있어요." --attention\n'
        f"  sightline evaluate {path} --by-length\n"
        f"  sightline serve {' '.join(str(path) for path, *_ in trained.values())} # a page to use and compare both\n"
        "  sightline train transformer-ko-en model.positions=rotary --run runs/rotary\n"
        "  sightline init my.toml --source train.ko --target train.en    # your own text"
    )


def _log(folder: Path):
    from rich.console import Console

    from sightline.train.log import TrainLog, display_on

    return TrainLog(folder, display_on(Console(stderr=True)))


def _table(trained: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Korean → English, combinations never seen in training")
    columns = ("model", "BLEU", "chrF", "BLEU, deeper nesting", "parameters", "training", "sentences/s")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for title, (path, outcome, evaluations) in trained.items():
        seen, deeper = evaluations
        table.add_row(
            title,
            f"{seen.score('BLEU'):.1f}",
            f"{seen.score('chrF2'):.1f}",
            f"{deeper.score('BLEU'):.1f}",
            f"{_parameters(path):,}",
            f"{outcome.seconds:.0f} s",
            f"{seen.sentences_per_second:.0f}",
        )
    Console(width=110).print(table)
    print("BLEU: " + next(iter(trained.values()))[2][0].scores[0].signature)


def _parameters(path: Path) -> int:
    from sightline.run import Run

    return Run(path).parameters()


def _examples(trained: dict) -> None:
    from sightline.translator import Translator

    evaluation = next(iter(trained.values()))[2][0]
    sources, references = [SENTENCE, *evaluation.sources[:4]], ["", *evaluation.references[:4]]
    found = {title: Translator(path).translate(sources) for title, (path, _, _) in trained.items()}
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
    from sightline.translator import Translator

    looked = Translator(path).translate(SENTENCE, attention=True).attention
    if looked is None:
        return
    print(f"\nwhere the {title} looked (rows: what it wrote, columns: what it read)\n")
    weights, source, target = looked.by_word()
    print(attention_text(weights, source, target))
    picture = path / "attention.svg"
    attention_picture(weights, source, target, picture, title)
    say(f"\nthe same as a picture: {picture}")
