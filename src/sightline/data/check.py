"""A look at a user's pairs before any training: counts, lengths, duplicates, overlap, and pairs that look wrong."""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sightline.data.pairs import PairSource, read_numbered_pairs
from sightline.data.text import is_blank
from sightline.errors import DataError

_PERCENTILES = (50, 90, 99, 100)
_EXAMPLES = 3
_UNREADABLE_SHOWN = 20
# How many times a length ratio may differ from the typical one. Ten characters are added to both sides, so that
# short sentences, whose ratios vary most, are not all suspects.
_RATIO = 3.0
_RATIO_STEP = 0.05
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def _mojibake_pattern() -> re.Pattern[str]:
    """UTF-8 read as Latin-1 or Windows-1252: a lead byte, then continuation bytes, each shown as a character.

    Of the two-byte leads only those of Latin, Greek and Cyrillic letters count: others end ordinary words before a
    closing quotation mark.
    """
    latin1 = "".join(map(chr, range(0x80, 0xC0)))
    windows = bytes(range(0x80, 0xA0)).decode("cp1252", errors="ignore")
    continuation = f"[{re.escape(latin1 + windows)}]"
    return re.compile(f"[\xc2\xc3\xce\xcf\xd0\xd1]{continuation}|[\xe0-\xef]{continuation}{{2}}")


_MOJIBAKE = _mojibake_pattern()


@dataclass(frozen=True)
class Lengths:
    """Length percentiles of one side's sentences that are not empty; the 100th is the longest."""

    characters: dict[int, int]
    words: dict[int, int]


@dataclass(frozen=True)
class Finding:
    """Pairs with one thing wrong: how many, and where the first ones are (file:line)."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class SetReport:
    """What is in one set of pairs. `findings` is keyed by what is wrong and holds only what occurs; of the lines that
    are no pair, `unreadable` says how many they are, and `unreadable_lines` what is wrong with the first twenty."""

    pairs: int
    source: Lengths
    target: Lengths
    duplicate_pairs: int
    duplicate_sources: int
    findings: dict[str, Finding]
    unreadable: int
    unreadable_lines: tuple[str, ...]

    def lines(self, name: str) -> list[str]:
        """The report as text."""
        lines = [f"{name}: {self.pairs:,} pairs"]
        for side, lengths in (("source", self.source), ("target", self.target)):
            for unit, percentiles in (("characters", lengths.characters), ("words", lengths.words)):
                values = ", ".join(f"{_percentile_name(p)} {value:,}" for p, value in percentiles.items())
                lines.append(f"  {side} {unit}: {values or 'none'}")
        lines.append(f"  duplicates: {self.duplicate_pairs:,} pairs, {self.duplicate_sources:,} sources")
        for what, finding in self.findings.items():
            lines.append(f"  {what}: {finding.count:,} (first: {', '.join(finding.examples)})")
        if self.unreadable:
            lines.append(f"  cannot be read: {self.unreadable:,} lines, at the first of which a training stops")
            lines += [f"    {line}" for line in self.unreadable_lines]
            more = self.unreadable - len(self.unreadable_lines)
            lines += [f"    and {more:,} more"] * (more > 0)
        return lines


@dataclass(frozen=True)
class Overlap:
    """How many test pairs also occur in the training set: the whole pair, its source, its target."""

    pairs: int
    sources: int
    targets: int


@dataclass(frozen=True)
class DataReport:
    """What `check_pairs` found; `test` and `overlap` are None where no test set was given."""

    train: SetReport
    test: SetReport | None
    overlap: Overlap | None

    def lines(self) -> list[str]:
        """The report as text, one finding a line."""
        lines = self.train.lines("train")
        if self.test is not None:
            lines += self.test.lines("test")
        if self.overlap is not None:
            lines.append(
                f"overlap: of the test set, {self.overlap.pairs:,} pairs, {self.overlap.sources:,} sources and "
                f"{self.overlap.targets:,} targets also occur in train"
            )
        return lines

    @property
    def readable(self) -> bool:
        """Whether a training could read all of it."""
        return not (self.train.unreadable or (self.test and self.test.unreadable))

    def as_dict(self) -> dict[str, object]:
        """The report as plain values, ready for JSON."""
        return asdict(self)


def check_pairs(train: Sequence[PairSource], test: Sequence[PairSource] = ()) -> DataReport:
    """Reads every pair once and reports. Memory: 24 bytes a pair. Raises DataError where a source cannot be read."""
    train_set = _scan(train)
    if not test:
        return DataReport(train_set.report(), None, None)
    test_set = _scan(test)
    overlap = Overlap(
        *(
            int(np.isin(np.asarray(ours), np.asarray(theirs)).sum())
            for ours, theirs in zip(test_set.digests, train_set.digests, strict=True)
        )
    )
    return DataReport(train_set.report(), test_set.report(), overlap)


def _scan(sources: Sequence[PairSource]) -> _Scan:
    scan = _Scan()
    for source in sources:
        for number, (source_text, target_text) in read_numbered_pairs(source, scan.add_unreadable):
            scan.add(f"{source.source}:{number}", source_text, target_text)
    return scan


class _Scan:
    """Gathers one set's numbers, a pair at a time."""

    def __init__(self) -> None:
        self.pairs = self.unreadable = 0
        self.unreadable_lines: list[str] = []
        self.digests = (array("Q"), array("Q"), array("Q"))  # pair, source, target
        self._characters = (Counter[int](), Counter[int]())
        self._words = (Counter[int](), Counter[int]())
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        self._ratios: Counter[int] = Counter()
        self._ratio_examples: dict[int, list[str]] = {}

    def add(self, where: str, source: str, target: str) -> None:
        self.pairs += 1
        for k, text in enumerate((source, target)):
            if not is_blank(text):
                self._characters[k][len(text)] += 1
                self._words[k][len(text.split())] += 1
        if is_blank(source) or is_blank(target):
            self._note("empty side", where)
            return
        for digests, text in zip(self.digests, (f"{source}\0{target}", source, target), strict=True):
            digests.append(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))
        if source == target:
            self._note("source is its own target", where)
        both = f"{source} {target}"
        if not both.isprintable() and _CONTROL.search(both):
            self._note("control characters", where)
        if "\ufffd" in both:
            self._note("U+FFFD, left by a failed decoding", where)
        if not both.isascii() and _MOJIBAKE.search(both):
            self._note("looks like UTF-8 read in another encoding", where)
        ratio = round(math.log((len(source) + 10) / (len(target) + 10)) / _RATIO_STEP)
        self._ratios[ratio] += 1
        _keep(self._ratio_examples.setdefault(ratio, []), where)

    def add_unreadable(self, error: DataError) -> None:
        self.unreadable += 1
        if len(self.unreadable_lines) < _UNREADABLE_SHOWN:
            self.unreadable_lines.append(str(error))

    def _note(self, what: str, where: str) -> None:
        self._counts[what] += 1
        _keep(self._examples.setdefault(what, []), where)

    def report(self) -> SetReport:
        findings = {what: Finding(count, tuple(self._examples[what])) for what, count in sorted(self._counts.items())}
        odd = self._odd_ratios()
        if odd.count:
            findings["lengths out of proportion"] = odd
        source, target = (
            Lengths(_percentiles(characters), _percentiles(words))
            for characters, words in zip(self._characters, self._words, strict=True)
        )
        pairs, sources, _ = self.digests
        return SetReport(self.pairs, source, target, _repeats(pairs), _repeats(sources), findings,
                         self.unreadable, tuple(self.unreadable_lines))  # fmt: skip

    def _odd_ratios(self) -> Finding:
        """Pairs whose length ratio is far from the median one, which is the pair of languages' own."""
        if not self._ratios:
            return Finding(0, ())
        middle = _percentiles(self._ratios)[50]
        odd = sorted(ratio for ratio in self._ratios if abs(ratio - middle) * _RATIO_STEP > math.log(_RATIO))
        examples = [where for ratio in odd for where in self._ratio_examples[ratio]]
        return Finding(sum(self._ratios[ratio] for ratio in odd), tuple(examples[:_EXAMPLES]))


def _keep(examples: list[str], where: str) -> None:
    if len(examples) < _EXAMPLES:
        examples.append(where)


def _repeats(digests: array[int]) -> int:
    return len(digests) - len(np.unique(np.asarray(digests)))


def _percentiles(histogram: Counter[int]) -> dict[int, int]:
    """The least value that at least p percent of the counted values do not exceed, for each p."""
    values = np.array(sorted(histogram), dtype=np.int64)
    if not len(values):
        return {}
    reached = np.cumsum([histogram[int(value)] for value in values])
    return {p: int(values[np.searchsorted(reached, reached[-1] * p / 100)]) for p in _PERCENTILES}


def _percentile_name(percentile: int) -> str:
    return {50: "median", 100: "longest"}.get(percentile, f"{percentile} %")
