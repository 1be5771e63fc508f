"""`sightline generate`: text that goes on from a prompt, as it comes; `sightline score`: how probable text is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from sightline.cli.common import STDIN, Lines, RunArgument, chunks, either, lines_of, print_json, say


def register(app: typer.Typer) -> None:
    app.command(name="generate")(generate)
    app.command(name="score")(score)


def generate(
    run: RunArgument,
    prompt: Annotated[str, typer.Option(help="What the text begins with; \\n is a new line, \\\\ a backslash.")] = "",
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
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text, with probabilities.")] = False,
) -> None:
    """Let a language model go on from a prompt.

    sightline generate runs/shakespeare --prompt "ROMEO:" --max-tokens 300

    sightline generate runs/shakespeare --prompt "To be" -n 3 --temperature 0.8 --json
    """
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    setup(threads)
    model: Any = load_for("generate", run, precision=precision, device=device)
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "seed": seed}
    given |= {"repetition_penalty": repetition_penalty, "beam": beam}
    changes = {name: value for name, value in given.items() if value is not None}
    text, stops = _spelled(prompt), [_spelled(one) for one in stop or []]
    options = model.options(max_tokens, n, **changes)
    read, most = len(model.encode_prompt(text)), model.model.context_length
    if model.attends and most is not None and read > most:
        say(f"note: the prompt has {read:,} tokens; of more than {most:,} the model reads the last {most // 2 + 1:,}")
    if n == 1 and not as_json and (options.strategy == "sample" or options.beam == 1):
        pieces = model.stream(text, max_tokens=max_tokens, stop=stops, **changes)
        # nothing is shown before something is there
        sys.stdout.write(text + next(pieces, ""))
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
        print()
        return
    first = model.generate(text, max_tokens=max_tokens, n=n, stop=stops, **changes)
    for number, one in enumerate((first, *first.alternatives)):
        if as_json:
            fields = ("prompt", "text", "tokens", "log_probability", "token_log_probabilities", "finished")
            print_json({name: getattr(one, name) for name in fields})
        else:
            print(("\n" if number else "") + text + one.text)


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
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text, token by token.")] = False,
) -> None:
    """How probable text is: per line and in all, by token, word, byte and character. Of a translation: how probable
    translations are, given their sources.

    sightline score runs/shakespeare play.txt

    sightline score runs/shakespeare --text "To be, or not to be" --json

    sightline score runs/multi30k-transformer captions.en captions.de
    """
    from sightline.errors import UsageError
    from sightline.runs.loading import load_for
    from sightline.train.machine import setup

    source = either(file, text)
    setup(threads)
    model: Any = load_for("score", run, precision=precision, device=device)
    if model.scores_pairs:
        if documents is not None or stride is not None:
            raise UsageError("--documents and --stride are for language models; a translation is scored pair by pair")
        _score_pairs(model, _pairs(model, source, translations, text, translation), as_json)
    elif translations is not None or translation is not None:
        raise UsageError(f"{run}: a language model scores texts, not translations; give one file, or --text alone")
    else:
        if text is not None and documents is not None:
            raise UsageError("--documents: cuts a file into texts, and --text is one; leave it out")
        lines = lines_of(source, text)
        texts = lines if text is not None else _texts(source, lines, documents or "line")
        _score_texts(model, chunks(texts, lines, 64), stride, as_json)


def _score_texts(model: Any, texts: Iterator[list[str]], stride: int | None, as_json: bool) -> None:
    import math

    from sightline.predict.metrics import exponential

    totals = {"nats": 0.0, "tokens": 0, "words": 0, "utf8_bytes": 0, "characters": 0}
    for chunk in texts:
        for one in model.score(chunk, stride=stride):
            totals["nats"] -= one.log_probability
            totals["tokens"] += one.predicted
            totals["words"] += one.words + (one.tokens[-1:] == (model.tokenizer.END,))
            totals["utf8_bytes"] += one.utf8_bytes
            totals["characters"] += one.characters
            if as_json:
                values = {"text": one.text, "log_probability": one.log_probability, "perplexity": one.perplexity}
                values |= {"tokens": one.tokens, "token_log_probabilities": one.token_log_probabilities}
                print_json(values)
            else:
                print(f"{one.log_probability:.4f}\t{one.perplexity:.3f}\t{one.text.replace(chr(10), ' ')}", flush=True)
    if totals["tokens"]:
        by_token, by_word = totals["nats"] / totals["tokens"], totals["nats"] / max(1, totals["words"])
        bits = totals["nats"] / math.log(2)
        say(
            f"{totals['tokens']:,} tokens: perplexity {exponential(by_token):.3f} a token, "
            f"{exponential(by_word):.3f} a word; "
            f"{bits / totals['utf8_bytes']:.4f} bits a byte, {bits / totals['characters']:.4f} a character"
        )


def _pairs(
    model: Any, source: str, translations: str | None, text: str | None, translation: str | None
) -> Iterator[tuple[str, str, str]]:
    """(where, source, translation) of each pair that is to be scored."""
    from sightline.data.pairs import read_numbered_pairs
    from sightline.errors import UsageError

    if (text is None) != (translation is None) or (text is not None and translations is not None):
        raise UsageError("--text and --translation are one pair, instead of files; give both, or a file of each side")
    if text is not None and translation is not None:
        yield "--text", text, translation
        return
    if STDIN in (source, translations):
        raise UsageError("a translation is scored from files; give one of sources and one of translations")
    for number, (one, other) in read_numbered_pairs(model.settings.given(source, translations)):
        yield f"{source}:{number}", one, other


def _score_pairs(model: Any, pairs: Iterator[tuple[str, str, str]], as_json: bool) -> None:
    from itertools import islice

    from sightline.errors import UsageError
    from sightline.predict.metrics import exponential

    total, count = 0.0, 0
    while chunk := list(islice(pairs, 64)):
        for where, source, translation in chunk:
            try:
                model.encode_source(source)
                model.encode_target(translation)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None
        scored = model.score([source for _, source, _ in chunk], [translation for _, _, translation in chunk])
        for (_, source, translation), one in zip(chunk, scored, strict=True):
            total, count = total + one.log_probability, count + len(one.token_log_probabilities)
            if as_json:
                values = {"source": source, "translation": translation, "log_probability": one.log_probability}
                values |= {"perplexity": one.perplexity, "token_log_probabilities": one.token_log_probabilities}
                print_json(values)
            else:
                shown = "\t".join(" ".join(side.split()) for side in (source, translation))
                print(f"{one.log_probability:.4f}\t{one.perplexity:.3f}\t{shown}", flush=True)
    if count:
        say(f"{count:,} tokens: perplexity {exponential(-total / count):.3f} a token")


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
