"""`sightline generate`: text that goes on from a prompt, as it comes; `sightline score`: how probable text is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from sightline.cli.common import (
    STDIN,
    DeviceOption,
    GivenLines,
    Lines,
    PrecisionOption,
    RunArgument,
    ThreadsOption,
    either,
    lines_of,
    named_as_options,
    parse_columns,
    print_json,
    say,
)
from sightline.cli.records import ColumnsOption, Given, OutputOption, check_output, given_records, predict_each, shown


def register(app: typer.Typer) -> None:
    app.command(name="generate")(generate)
    app.command(name="score")(score)


def generate(
    run: RunArgument,
    file: Annotated[
        str | None, typer.Argument(help="Prompts: a text file, one a line, or a table; - for standard input.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What the text begins with; \\n is a new line, \\\\ a backslash.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest output in tokens.")] = 200,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many texts.")] = 1,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Below 1 safer, above 1 wilder; 0 always takes the likeliest.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Only the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Only the likeliest tokens that hold this probability.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Only tokens with this share of the likeliest's.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1: fewer repetitions.")] = None,
    beam: Annotated[
        int | None, typer.Option(min=1, help="Beam search of this width instead of sampling; 1: greedy.")
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this string; may be given again.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of sampling.")] = None,
    confidence: Annotated[bool, typer.Option(help="Before each text, the probability that it is acceptable.")] = False,
    columns: ColumnsOption = None,
    output: OutputOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text, with probabilities.")] = False,
) -> None:
    """Let a language model go on from a prompt.

    sightline generate runs/shakespeare --prompt "ROMEO:" --max-tokens 300

    sightline generate runs/shakespeare --prompt "To be" -n 3 --temperature 0.8 --json
    """
    from sightline.errors import UsageError
    from sightline.predict.confidence import require_confidence
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    if file is not None and prompt is not None:
        raise UsageError(f"--prompt is instead of a file, and {file} is one; give either")
    check_output(output)
    setup(threads)
    model: Any = load_for("generate", run, precision=precision, device=device)
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "seed": seed}
    given |= {"repetition_penalty": repetition_penalty, "beam": beam}
    changes = {name: value for name, value in given.items() if value is not None}
    text, stops = _spelled(prompt or ""), [_spelled(one) for one in stop or []]
    options = model.options(max_tokens, n, **changes)
    fitted = require_confidence(model.confidence, model.run.path) if confidence else None
    if file is not None or output is not None:
        given = given_records(model.settings.inputs, file or "", None if file is not None else [text], columns)
        asked = {"search": options.model_dump(mode="json"), "n": n, "stop": stops, "precision": precision}
        asked["confidence"] = fitted and fitted.model_dump()
        changes |= {"max_tokens": max_tokens, "n": n, "stop": stops, "confidence": confidence}
        _generate_each(model, given, as_json, output, asked, **changes)
        return
    if columns is not None:
        raise UsageError("--columns: names columns of a .csv, .tsv or .jsonl of prompts; give one")
    # before it is written: it may take long, and may be stopped
    if note := model.prompt_note(model.encode_prompt(text)):
        say(f"note: {note}")
    if n == 1 and not (as_json or confidence) and (options.strategy == "sample" or options.beam == 1):
        pieces = model.stream(text, max_tokens=max_tokens, stop=stops, **changes)
        # nothing is shown before something is there
        sys.stdout.write(text + next(pieces, ""))
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
        print()
        return
    first = model.generate(text, max_tokens=max_tokens, n=n, stop=stops, confidence=confidence, **changes)
    _show_generated(first, as_json)


def _generate_each(
    model: Any, given: Given, as_json: bool, output: str | None, options: dict[str, Any], **changes: Any
) -> None:
    def compute(rows: list[Any]) -> list[Any]:
        found = model.generate([row.texts[0] for row in rows], **changes)
        for row, one in zip(rows, found, strict=True):
            if one.note:
                say(f"note: {given.where(row)}: {one.note}")
        return found

    def values(one: Any) -> dict[str, Any]:
        sure = {} if one.confidence is None else {"confidence": one.confidence}
        found = {"generated": one.text, **sure, "log_probability": one.log_probability, "finished": one.finished}
        return found | ({"alternatives": [other.text for other in one.alternatives]} if one.alternatives else {})

    predict_each(
        given,
        compute,
        lambda one: _show_generated(one, as_json),
        values,
        model=model,
        output=output,
        options=options,
        title="writing",
        unit="prompts",
        most=16,
    )


def _show_generated(first: Any, as_json: bool) -> None:
    for number, one in enumerate((first, *first.alternatives)):
        if as_json:
            fields = ("prompt", "text", "tokens", "log_probability", "token_log_probabilities", "finished")
            more = {"note": one.note} if one.note else {}
            more |= {} if one.confidence is None else {"confidence": one.confidence}
            print_json({name: getattr(one, name) for name in fields} | more)
        else:
            sure = "" if one.confidence is None else f"{one.confidence:.2f}\t"
            print(("\n" if number else "") + sure + one.prompt + one.text)


def score(
    run: RunArgument,
    file: Annotated[
        str | None,
        typer.Argument(help="A text file; standard input by default. Of a translation: sources, or pairs."),
    ] = None,
    translations: Annotated[
        str | None, typer.Argument(help="Of a translation: a file of translations, line by line.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Score this text instead of a file.")] = None,
    translation: Annotated[str | None, typer.Option(help="Of a translation, with --text: its translation.")] = None,
    documents: Annotated[
        str | None,
        typer.Option(help="line, block, article, file or running: what counts as one text; line by default."),
    ] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="New tokens per window of a limited context.")] = None,
    columns: ColumnsOption = None,
    output: OutputOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text, token by token.")] = False,
) -> None:
    """How probable text is: per line and in all, by token, word, byte and character. Of a translation: how probable
    translations are, given their sources.

    sightline score runs/shakespeare play.txt

    sightline score runs/shakespeare --text "To be, or not to be" --json

    sightline score runs/multi30k-transformer captions.en captions.de

    sightline score runs/multi30k-transformer pairs.csv --columns en,de --output scored.csv
    """
    from sightline.errors import UsageError
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    source = either(file, text)
    check_output(output)
    setup(threads)
    model: Any = load_for("score", run, precision=precision, device=device)
    if model.scores_pairs:
        if documents is not None or stride is not None:
            raise UsageError("--documents and --stride are for language models; a translation is scored pair by pair")
        given = _given_pairs(model, source, translations, text, translation, columns)
        _score_pairs(model, given, as_json, output, {"precision": precision})
    elif translations is not None or translation is not None:
        raise UsageError(f"{run}: a language model scores texts, not translations; give one file, or --text alone")
    else:
        if text is not None and documents is not None:
            raise UsageError("--documents: cuts a file into texts, and --text is one; leave it out")
        given = _given_texts(model, source, text, documents, columns)
        asked = {"precision": precision, "stride": stride, "documents": documents}
        _score_texts(model, given, stride, as_json, output, asked)


def _score_texts(
    model: Any, given: Given, stride: int | None, as_json: bool, output: str | None, options: dict[str, Any]
) -> None:
    import math

    from sightline.predict.metrics import exponential

    totals = {"nats": 0.0, "tokens": 0, "words": 0, "utf8_bytes": 0, "characters": 0}

    def compute(rows: list[Any]) -> list[Any]:
        found = model.score([row.texts[0] for row in rows], stride=stride)
        for one in found:
            totals["nats"] -= one.log_probability
            totals["tokens"] += one.predicted
            totals["words"] += one.words + (one.tokens[-1:] == (model.tokenizer.END,))
            totals["utf8_bytes"] += one.utf8_bytes
            totals["characters"] += one.characters
        return found

    def line(one: Any) -> str:
        return f"{one.log_probability:.4f}\t{one.perplexity:.3f}\t{one.text.replace(chr(10), ' ')}"

    def data(one: Any) -> dict[str, Any]:
        tokens = {"tokens": one.tokens, "token_log_probabilities": one.token_log_probabilities}
        return {"text": one.text, **_score(one), **tokens}

    predict_each(
        given,
        compute,
        shown(as_json, line, data),
        _score,
        model=model,
        output=output,
        options=options,
        title="scoring",
        unit="texts",
        most=64,
    )
    if totals["tokens"]:
        by_token, by_word = totals["nats"] / totals["tokens"], totals["nats"] / max(1, totals["words"])
        bits = totals["nats"] / math.log(2)
        say(
            f"{totals['tokens']:,} tokens: perplexity {exponential(by_token):.3f} a token, "
            f"{exponential(by_word):.3f} a word; "
            f"{bits / totals['utf8_bytes']:.4f} bits a byte, {bits / totals['characters']:.4f} a character"
        )


def _score(one: Any) -> dict[str, Any]:
    return {"log_probability": one.log_probability, "perplexity": one.perplexity}


def _given_texts(model: Any, source: str, text: str | None, documents: str | None, columns: str | None) -> Given:
    """Records of a table, or documents of a text."""
    from sightline.data.inputs import Row, is_table
    from sightline.data.sources import resolve

    whole = documents is not None and documents != "line"
    if text is not None or (not whole and (source == STDIN or columns is not None or is_table(resolve(source)))):
        return given_records(model.settings.inputs, source, None if text is None else [text], columns)
    lines = lines_of(source)
    rows = (
        Row(number, (one,), {"text": one}) for number, one in enumerate(_texts(source, lines, documents or "line"), 1)
    )
    files = [] if source == STDIN else [resolve(source)]
    return Given(source, rows, lines, tuple(file for file in files if file.is_file()))


def _given_pairs(
    model: Any,
    source: str,
    translations: str | None,
    text: str | None,
    translation: str | None,
    columns: str | None,
) -> Given:
    """The pairs that are to be scored: one that was typed, those of a table, or of two files line by line."""
    from sightline.data.inputs import Row, Table
    from sightline.data.pairs import read_numbered_pairs
    from sightline.data.sources import resolve
    from sightline.errors import UsageError

    if (text is None) != (translation is None) or (text is not None and translations is not None):
        raise UsageError("--text and --translation are one pair, instead of files; give both, or a file of each side")
    if text is not None and translation is not None:
        row = Row(1, (text, translation), {"source": text, "target": translation})
        return Given("--text", iter([row]), GivenLines([]), typed=True)
    if STDIN in (source, translations):
        raise UsageError("a translation is scored from files; give one of sources and one of translations")
    inputs = model.settings.pair_inputs
    if translations is None:
        with named_as_options("columns"):
            table = Table.of(resolve(source), inputs, None if columns is None else parse_columns(columns, 2))
        say(table.describe())
        return Given(source, table.rows(), GivenLines([]), (table.path,))
    if columns is not None:
        raise UsageError(
            "--columns: names columns of one file that holds both sides; leave out the file of translations"
        )
    rows = (
        Row(number, pair, {"source": pair[0], "target": pair[1]})
        for number, pair in read_numbered_pairs(model.settings.given(source, translations))
    )
    return Given(source, rows, GivenLines([]), (resolve(source), resolve(translations)))


def _score_pairs(model: Any, given: Given, as_json: bool, output: str | None, options: dict[str, Any]) -> None:
    from sightline.errors import UsageError
    from sightline.predict.metrics import exponential

    totals = {"nats": 0.0, "tokens": 0}

    def compute(rows: list[Any]) -> list[Any]:
        for row in rows:
            try:
                model.encode_source(row.texts[0])
                model.encode_target(row.texts[1])
            except UsageError as error:
                raise UsageError(f"{given.where(row)}: {error}") from None
        scored = model.score([row.texts[0] for row in rows], [row.texts[1] for row in rows])
        for one in scored:
            totals["nats"] -= one.log_probability
            totals["tokens"] += len(one.token_log_probabilities)
        return list(zip(rows, scored, strict=True))

    def show(found: Any) -> None:
        row, one = found
        source, translation = row.texts
        if as_json:
            values = {"source": source, "translation": translation, "log_probability": one.log_probability}
            values |= {"perplexity": one.perplexity, "token_log_probabilities": one.token_log_probabilities}
            print_json(values)
        else:
            shown = "\t".join(" ".join(side.split()) for side in (source, translation))
            print(f"{one.log_probability:.4f}\t{one.perplexity:.3f}\t{shown}", flush=True)

    predict_each(
        given,
        compute,
        show,
        lambda found: _score(found[1]),
        model=model,
        output=output,
        options=options,
        title="scoring",
        unit="pairs",
        most=64,
    )
    if totals["tokens"]:
        say(f"{totals['tokens']:,} tokens: perplexity {exponential(totals['nats'] / totals['tokens']):.3f} a token")


def _spelled(text: str) -> str:
    r"""The text with \n as a line feed, and \\ as one backslash."""
    return re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", text)


def _texts(file: str, lines: Lines, documents: str) -> Iterator[str]:
    from sightline.data.documents import DOCUMENT_SPLITTERS, TextSource, read_pieces
    from sightline.errors import UsageError, nearest

    kinds = ("line", "block", "article", "file", "running")
    if documents not in kinds:
        raise UsageError(f'--documents: no "{documents}"{nearest(documents, kinds)}')
    if file == STDIN:
        cut = {"line": iter, **DOCUMENT_SPLITTERS}.get(documents, lambda lines: iter(["\n".join(lines)]))
        yield from cut(lines)
        return
    whole: list[str] = []
    for piece, ended in read_pieces(TextSource.from_arguments(source=file, documents=documents)):
        whole.append(piece)
        if ended:
            yield "".join(whole)
            whole = []
    if whole:
        yield "".join(whole)
