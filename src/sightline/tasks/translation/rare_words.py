"""Translations by how rare their words were in training: quality by the rare words of the source, and how often the
rare words of the reference were produced (as in compare-mt, Neubig et al. 2019)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sightline.data.pairs import PairSource, read_pairs
from sightline.data.sources import resolve
from sightline.errors import SightlineError
from sightline.predict.metrics import chrf
from sightline.sight.tables import Table
from sightline.tasks.details import Breakdown, Caution, Detail, Picture

RARE = 5  # times in training, and fewer
FREQUENT = 20
MOST_RARE = 3  # words of a source; those with more are counted together
SEEN = ("never", f"1–{RARE}", f"{RARE + 1}–{FREQUENT}", f"over {FREQUENT}")
# from a letter or digit to the last one before white space: punctuation at the ends is no part of a word
_WORD = re.compile(r"[^\W_](?:\S*[^\W_])?")


def words_of(text: str) -> list[str]:
    """The words between white space, without regard to case, without the punctuation around them."""
    return _WORD.findall(text.casefold())


def have_spaces(texts: Sequence[str]) -> bool:
    """Whether words of these texts stand between spaces, as Chinese, Japanese or Thai ones do not."""
    return 2 * sum(" " in text.strip() for text in texts) >= sum(len(text) > 8 for text in texts)


def counts_in(train: Sequence[PairSource], wanted: Sequence[Collection[str]]) -> list[Counter[str]]:
    """How often each of the wanted words of both sides comes in the training text, which is read once; nothing is
    fetched. Raises SightlineError where a file of it is not there or cannot be read."""
    for source in train:
        for spec in (source.source, source.target):
            if spec is not None and not source.embedded:
                resolve(spec, fetch=False)
    counts = [Counter[str](), Counter[str]()]
    for source in train:
        for pair in read_pairs(source):
            for count, side, text in zip(counts, wanted, pair, strict=True):
                count.update(word for word in words_of(text) if word in side)
    return counts


@dataclass(frozen=True)
class RareWords:
    """Two tables by the rare words of both sides, for which all of the training text is read when they are first asked
    for; a sentence in their place where it is not there any more."""

    train: Sequence[PairSource] = field(repr=False)
    sources: Sequence[str] = field(repr=False)
    references: Sequence[str] = field(repr=False)
    hypotheses: Sequence[str] = field(repr=False)
    name: str = "rare_words"
    short: bool = False

    def tables(self) -> Sequence[Table]:
        """Both, of the sides whose words stand between spaces."""
        return [table for one in self._found for table in one.tables()]

    def pictures(self) -> Sequence[Picture]:
        """None."""
        return ()

    def cautions(self) -> Sequence[str]:
        """Why a table is left out."""
        return [line for one in self._found for line in one.cautions()]

    def as_dict(self) -> dict[str, object]:
        """The tables and sentences as plain values."""
        return {"name": self.name, "parts": [one.as_dict() for one in self._found]}

    @cached_property
    def _found(self) -> list[Detail]:
        sides = (self.sources, self.references)
        spaced = [have_spaces(texts) for texts in sides]
        wanted = [{word for text in texts for word in words_of(text)} if on else set[str]()
                  for texts, on in zip(sides, spaced, strict=True)]  # fmt: skip
        found: list[Detail] = [
            Caution("no_words", f"rare words of the {side} are left out: no spaces stand between its words")
            for side, on in zip(("source", "reference"), spaced, strict=True)
            if not on
        ]
        if not any(wanted):
            return found
        try:
            counts = counts_in(self.train, wanted)
        except SightlineError as error:
            text = f"rare words are left out, as the training text cannot be read any more ({error})"
            return [Caution("no_training_text", text)]
        if wanted[0]:
            found.append(self._by_source(counts[0]))
        if wanted[1]:
            found.append(self._produced(counts[1]))
        return found

    def _by_source(self, counts: Counter[str]) -> Breakdown:
        words = [words_of(text) for text in self.sources]
        rare = [min(MOST_RARE, sum(counts[word] <= RARE for word in one)) for one in words]
        rows: list[tuple[str, int, float, float]] = []
        for number in sorted(set(rare)):
            inside = [row for row, one in enumerate(rare) if one == number]
            score = chrf([self.hypotheses[row] for row in inside], [self.references[row] for row in inside]).score
            length = sum(len(words[row]) for row in inside) / len(inside)
            rows.append((f"{number}+" if number == MOST_RARE else f"{number}", len(inside), length, score))
        title = f"by rare words of the source: those that training has at most {RARE} times"
        return Breakdown("by_rare_words", title, ("rare words", "sentences", "mean words", "chrF2"), tuple(rows))

    def _produced(self, counts: Counter[str]) -> Breakdown:
        there, produced = Counter[str](), Counter[str]()
        for reference, told in zip(self.references, self.hypotheses, strict=True):
            wanted, given = Counter(words_of(reference)), Counter(words_of(told))
            for word, count in wanted.items():
                bucket = SEEN[(counts[word] > 0) + (counts[word] > RARE) + (counts[word] > FREQUENT)]
                there[bucket] += count
                produced[bucket] += min(count, given[word])
        rows = tuple(
            (bucket, there[bucket], produced[bucket], 100 * produced[bucket] / there[bucket])
            for bucket in SEEN
            if there[bucket]
        )
        title = "words of the references that were produced, by how often training has them"
        return Breakdown("produced_words", title, ("times in training", "words", "produced", "%"), rows)
