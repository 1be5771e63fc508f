"""`sightline translate`: text in, translations out, in order as they are ready."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sightline.cli.common import (
    DeviceOption,
    PrecisionOption,
    RunArgument,
    ThreadsOption,
    check_picture,
    either,
    print_json,
    say,
    say_drawn,
)
from sightline.cli.records import ColumnsOption, Given, OutputOption, check_output, given_records, predict_each


def register(app: typer.Typer) -> None:
    app.command(name="translate")(translate)


def translate(
    run: RunArgument,
    file: Annotated[
        str | None, typer.Argument(help="A text file, a text a line, or a table; standard input, or -, by default.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Translate this text instead of a file.")] = None,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width; 1 is greedy.")] = None,
    n_best: Annotated[int | None, typer.Option(min=1, help="How many translations of each sentence.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="What every translation must begin with; of several sentences the first.")
    ] = None,
    split: Annotated[
        bool, typer.Option("--split/--no-split", help="Translate each sentence of a text on its own.")
    ] = True,
    attention: Annotated[
        bool, typer.Option(help="Draw where the decoder looked; with --json, tell it by word.")
    ] = False,
    picture: Annotated[
        str | None, typer.Option(help="With --text: draw attention to this .svg, .png or .pdf, numbered by sentence.")
    ] = None,
    confidence: Annotated[
        bool, typer.Option(help="Before each translation, the probability that it is acceptable.")
    ] = False,
    abstain: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="P", help="Leave a line empty where that is below P; with --json it is marked."
        ),
    ] = None,
    columns: ColumnsOption = None,
    output: OutputOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences at a time; it does not change the result.")] = 64,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a sentence, with scores.")] = False,
) -> None:
    """Translate text with a trained run. A text may be of several sentences: each is translated on its own, and what
    stands between them stays.

    sightline translate runs/demo-transformer --text "나는 학생입니다." --attention

    sightline translate runs/multi30k-transformer captions.en > captions.de

    sightline translate runs/multi30k-transformer shop.csv --columns description --output shop.de.csv

    sightline translate runs/multi30k-transformer captions.en --confidence --abstain 0.5
    """
    from sightline.errors import UsageError
    from sightline.predict.confidence import require_confidence
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    source = either(file, text)
    check_output(output)
    if output is not None and (attention or picture is not None):
        raise UsageError("--output: a table holds no pictures; leave --attention and --picture out")
    if picture is not None and text is None:
        raise UsageError("--picture draws the sentences of one text; give it with --text")
    if picture is not None:
        check_picture(picture)
    setup(threads)
    translator: Any = load_for("translate", run, precision=precision, device=device)
    options = translator.settings.search.with_changes(
        **{name: value for name, value in (("beam", beam), ("n_best", n_best)) if value is not None}
    )
    given = given_records(translator.settings.inputs, source, None if text is None else [text], columns)
    looked = attention or picture is not None
    sure = confidence or abstain is not None
    if sure:
        require_confidence(translator.confidence, translator.run.path)
    told = _Told(sure, confidence, abstain)

    def compute(rows: list[Any]) -> list[Any]:
        _check(translator, given, rows, split)
        texts = [row.texts[0] for row in rows]
        return translator.translate(
            texts,
            options=options,
            prefix=prefix,
            attention=looked,
            batch_size=batch_size,
            split=split,
            confidence=sure,
        )

    def show(record: Any) -> None:
        told.print(record, as_json, lines=given.typed)
        if attention and not as_json:
            _draw(record)
        if picture is not None:
            _pictures(record, picture)

    predict_each(
        given,
        compute,
        show,
        told.values,
        model=translator,
        output=output,
        options={
            "search": options.model_dump(mode="json"),
            "prefix": prefix,
            "split": split,
            "precision": precision,
            "confidence": sure and translator.confidence.model_dump(),
            "abstain": abstain,
        },
        title="translating",
        unit="texts",
        most=batch_size * 4,
    )
    if abstain is not None:
        say(f"left empty, since less than {abstain:g} sure: {told.abstained:,} of {told.count:,} translations")
    if looked and not translator.attends:
        say("this model has a fixed context and no attention to draw")


def _check(translator: Any, given: Given, rows: list[Any], split: bool) -> None:
    """Refuses a sentence that is too long by its line, before anything of its chunk is translated."""
    from sightline.data.splitting import Passage
    from sightline.errors import UsageError

    for row in rows:
        try:
            for sentence in Passage.of(row.texts[0], split=split).sentences:
                translator.encode_source(sentence)
        except UsageError as error:
            raise UsageError(f"{given.where(row)}: {error}") from None


class _Told:
    """What is told of translations: with their confidence, or only those whose confidence is high enough."""

    def __init__(self, known: bool, shown: bool, least: float | None) -> None:
        """`known`: whether confidence was computed. `shown`: whether it stands before each text."""
        self.known, self.shown, self.least = known, shown, least
        self.count = self.abstained = 0

    def _abstains(self, record: Any) -> bool:
        abstains = self.least is not None and record.confidence is not None and record.confidence < self.least
        self.count += 1
        self.abstained += abstains
        return abstains

    def values(self, record: Any) -> dict[str, Any]:
        """The columns beside a record's own."""
        abstains = self._abstains(record)
        values = {"translation": "" if abstains else record.text}
        if self.known:
            values["confidence"] = record.confidence
        values |= {"log_probability": record.log_probability, "finished": record.finished}
        more = {"alternatives": [one.text for one in record.alternatives]} if record.alternatives else {}
        return {**values, **({} if abstains else more)}

    def print(self, record: Any, as_json: bool, lines: bool) -> None:
        """To standard output; `lines`: whether a text may be several."""
        abstains = self._abstains(record)
        if as_json:
            marked = {} if self.least is None else {"abstained": abstains}
            sentences = [_plain(one, self.known) for one in record.sentences]
            print_json({**_plain(record, self.known), "sentences": sentences, **marked})
            return
        for one in (record, *record.alternatives):
            before = f"{one.confidence:.2f}\t" if self.shown and one.confidence is not None else ""
            text = "" if abstains else one.text
            # of a file a translation is one line, whatever characters the model writes
            print(before + (text if lines else text.replace("\n", " ")), flush=True)


def _plain(record, sure: bool) -> dict[str, Any]:
    fields = ("source", "text", "tokens", "score", "log_probability", "token_log_probabilities", "finished")
    fields += ("confidence",) if sure else ()
    data = {name: getattr(record, name) for name in fields}
    if record.attention is not None:
        weights, source, target = record.attention.by_word()
        data["attention"] = {"weights": weights.tolist(), "source": source, "target": target}
    data["alternatives"] = [{name: getattr(one, name) for name in fields[1:]} for one in record.alternatives]
    return data


def _draw(record) -> None:
    from sightline.sight.terminal import attention_text

    for one in record.sentences or (record,):
        if one.attention is not None:
            print(attention_text(*one.attention.by_word()), flush=True)


def _pictures(record, path: str) -> None:
    """Attention of each sentence; of several each file has the sentence's number before its suffix."""
    from pathlib import Path

    from sightline.sight.pictures import attention_picture

    for number, one in enumerate(record.sentences or (record,), 1):
        if one.attention is not None:
            file = Path(path)
            drawn = file.with_name(f"{file.stem}-{number}{file.suffix}") if record.sentences else file
            weights, source, target = one.attention.by_word()
            attention_picture(weights, source, target, drawn)
            say_drawn(str(drawn))
