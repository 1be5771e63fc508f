"""`sightline align`: which word is the translation of which, read off a model's attention."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli.common import (
    DeviceOption,
    RunArgument,
    ThreadsOption,
    print_json,
    progress,
    say,
    say_next,
)

if TYPE_CHECKING:
    from sightline.data.grammar import SplitName
    from sightline.sight.alignment import Aligner, Links
    from sightline.sight.reading import Look, Reading

Pair = tuple[str, str]  # a source and its translation


def register(app: typer.Typer) -> None:
    app.command(name="align")(align)


def align(
    run: RunArgument,
    source: Annotated[str | None, typer.Argument(help="Sentences; the embedded corpus by default.")] = None,
    target: Annotated[str | None, typer.Argument(help="Their translations, line by line.")] = None,
    gold: Annotated[
        str | None, typer.Option(help="Right alignments of these pairs, as 0-0 1-2, line by line, to measure against.")
    ] = None,
    site: Annotated[str | None, typer.Option(help='The head to read, as "decoder.1.cross_attention:3".')] = None,
    shift: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="With --site: 0 reads where it looked while it wrote a word, 1 once it read it, 0.2 a fifth of that.",
        ),
    ] = 0,
    share: Annotated[
        float | None,
        typer.Option(min=0.01, max=1, help="With --site: how much attention makes a link; 0.35 by default."),
    ] = None,
    near: Annotated[
        float | None,
        typer.Option(min=0.01, max=1, help="With --site: how much makes one beside a link; 0.25 by default."),
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="Only so many pairs; 0 takes all.")] = 0,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object: error rate, links, each head tried.")
    ] = False,
) -> None:
    """Align words by attention: a line of source-target links a pair, as Pharaoh writes them (0-0 1-2).

    The head, or mean of an attention's heads, is chosen on gold alignments: half of those given, or the embedded
    corpus' validation part.

    sightline align runs/demo-gru

    sightline align runs/multi30k-transformer captions.en captions.de > links.txt
    """
    from sightline.data.pairs import PairSource, read_pairs
    from sightline.errors import DataError, UsageError
    from sightline.runs.loading import load
    from sightline.sight import alignment
    from sightline.sight.heads import find as find_site
    from sightline.train.machine import setup

    setup(threads)
    if (source is None) != (target is None) or (gold and source is None):
        raise UsageError("give sources and their translations, or neither for the embedded corpus")
    if site is None and (shift or share is not None or near is not None):
        raise UsageError("--shift, --share and --near: of the head that --site names; without one they are chosen")
    share = share or alignment.SHARE
    near = near or min(share, alignment.NEAR)
    if near > share:
        raise UsageError(f"--near {near}: a link beside another needs no more than --share {share}")
    model = load(run, device=device)
    if "target" not in model.reading_options:
        raise UsageError(
            f"{run}: alignments are between a text and its translation; this is a run of {model.settings.task}"
        )
    choosing: tuple[list[Pair], list[Links]] | None = None
    if source is None or target is None:
        if not _knows_embedded(model.settings.data):
            raise UsageError(f"{run}: did not learn from the embedded corpus; give sources and their translations")
        pairs, right = _embedded("test", first)
        choosing = _embedded("validation", first)
    else:
        pairs = list(islice(read_pairs(PairSource.from_arguments(source=source, target=target)), first or None))
        right = _gold(gold, len(pairs), bool(first)) if gold else []
    if not pairs:
        raise DataError(f"{source}: no pairs; check the file")
    ranked: list[tuple[Aligner, float]] = []
    measured = slice(None)
    found: list[Links] = []
    with progress("aligning", "sentences") as advance:
        looks = _looks(model.reading, pairs, right, gold)
        # what chooses is not what measures
        half = max(1, len(pairs) // 2) if gold and site is None else 1
        kept = list(islice(looks, half))
        if site is not None:
            aligner = alignment.Aligner(find_site(kept[0], site), shift, share, near)
        else:
            if choosing is not None:
                ranked = alignment.rank_aligners(alignment.look_at_pairs(model.reading, choosing[0]), choosing[1])
            elif right:
                ranked, measured = alignment.rank_aligners(kept, right[:half]), slice(half, None)
            aligner = ranked[0][0] if ranked else alignment.Aligner(alignment.last_site(kept[0]))
        for one in chain(kept, looks):  # of the others no look is kept: each is far larger than its links
            found.append(aligner.links(one))
            if not as_json:
                print(alignment.to_pharaoh(found[-1]), flush=True)
            advance(1)
    error = alignment.alignment_error(found[measured], right[measured]) if right[measured] else None
    if as_json:
        tried = [{**_fields(one), "alignment_error": rate} for one, rate in ranked]
        print_json({**_fields(aligner), "alignment_error": error, "links": list(map(sorted, found)), "sites": tried})
        return
    say(f"read off {_in_words(aligner)}")
    if len(ranked) > 1:
        others = [f"{rate:.3f} {_in_words(one)}" for one, rate in ranked[1:4]]
        say("\n  ".join([f"error rates on the pairs that choose: {ranked[0][1]:.3f}; then", *others]))
    if gold and error is None:
        say("no error rate: one pair chooses the head, and none is left to measure on")
    if error is not None:
        say(f"alignment error rate {error:.3f} on {len(found[measured]):,} pairs")
    say_next(f"sightline look {shlex.quote(run)} --what alignment --picture alignment.svg")


def _looks(
    read: Callable[..., Reading], pairs: Sequence[Pair], right: Sequence[Links], gold: str | None
) -> Iterator[Look]:
    """A look at each pair, as it is asked for. Raises DataError for right links that are outside of their pair."""
    from sightline.sight.alignment import check_links, look_at_pairs

    for number, pair in enumerate(pairs):
        (seen,) = look_at_pairs(read, [pair])
        if gold:
            check_links(right[number], seen, f"{gold}:{number + 1}")
        yield seen


def _in_words(aligner: Aligner) -> str:
    when: dict[float, str] = {0: "while a word is written", 1: "once a word has been read"}
    parts = f"{1 - aligner.shift:.0%} while a word is written, {aligner.shift:.0%} once it has been read"
    return (
        f"{aligner.site.label}, {when.get(aligner.shift, parts)}; {aligner.share:.0%} of attention make a link, "
        f"{aligner.near:.0%} beside one"
    )


def _fields(aligner: Aligner) -> dict[str, object]:
    return {"site": aligner.site.label, "shift": aligner.shift, "share": aligner.share, "near": aligner.near}


def _embedded(part: SplitName, first: int) -> tuple[list[Pair], list[Links]]:
    """Pairs of a part of the embedded corpus with their gold links."""
    from sightline.data.grammar import split

    examples = list(islice(split(part), first or None))
    return [(one.korean, one.english) for one in examples], [frozenset(one.alignment) for one in examples]


def _knows_embedded(data: Any) -> bool:
    """Whether these settings are of the embedded corpus, or of its languages, from Korean."""
    from sightline.data.sources import EMBEDDED

    if (data.source_language, data.target_language) == ("Korean", "English"):
        return True
    return any(one.source.startswith(EMBEDDED) and one.source_column in (None, "ko") for one in data.train)


def _gold(file: str, count: int, only_first: bool) -> list[Links]:
    """The links of a file's lines. Raises DataError where they are not as many as the pairs, or there is none."""
    from sightline.data.sources import read_lines
    from sightline.errors import DataError
    from sightline.sight.alignment import from_pharaoh

    found = [from_pharaoh(line, f"{file}:{number}") for number, line in enumerate(read_lines(file), 1)]
    found = found[:count] if only_first else found
    if len(found) != count:
        raise DataError(f"{file}: {len(found)} alignments for {count} pairs")
    if not any(found):
        raise DataError(f"{file}: no line has a link such as 0-0, so nothing can be measured")
    return found
