"""A look at a user's data before any training: counts, lengths, labels, duplicates, leakage, and what looks wrong."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sightline.data.check_records import PAIRS, CheckedData, CheckedRecord, Values
from sightline.data.check_report import DataReport, Finding, Labels, Lengths, Overlap, SetReport, Sizes
from sightline.data.check_text import faults, likely_longer, normalized, scripts_of
from sightline.data.pairs import PairSource
from sightline.data.sources import Source
from sightline.data.text import is_blank
from sightline.errors import DataError

_PERCENTILES = (50, 90, 99, 100)
_EXAMPLES = 3
_UNREADABLE_SHOWN = 20
_LABELS_KEPT = 1000
_FEW_RECORDS = 5  # of a label: too few to be learned or measured
_CLASSES = 20  # more different numbers are no classes
# How many times a length ratio may differ from the typical one. Ten characters are added to both sides, so that
# short sentences, whose ratios vary most, are not all suspects.
_RATIO = 3.0
_RATIO_STEP = 0.05
# A script that so many texts of so many have is that of a side; a size that so many images have is the usual one.
_SCRIPT_SHARE, _SCRIPT_TEXTS = 0.8, 10
_LINE_BITS = 44  # of a place; those above number the file


class Check:
    """The data of a task, looked over once; memory holds a few numbers for each record, and no texts."""

    def __init__(self, data: CheckedData, train: Sequence[Source], others: Mapping[str, Sequence[Source]]) -> None:
        """Reads every record. Raises DataError where nothing can be read of a source."""
        self._data, self._sources = data, train
        self._train = _scan(data, train)
        self._others = {name: _scan(data, sources) for name, sources in others.items()}

    @property
    def records(self) -> int:
        """How many training records could be read."""
        return self._train.records

    @property
    def unit(self) -> str:
        """What records are called."""
        return self._data.unit

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what records are written as."""
        return self._train.names

    def report(self) -> DataReport:
        """What was found."""
        overlaps = {name: _overlap(self._data, self._train, other) for name, other in self._others.items()}
        others = {name: one.report() for name, one in self._others.items()}
        return DataReport(self._train.report(), others, overlaps, self._data.near)

    def left_out(self) -> dict[str, int]:
        """By the reason, how many training records `kept` leaves out."""
        found = {"unreadable": self._train.unreadable}
        for name, mask in self._masks().items():
            found[name] = int(mask.sum())
        return {reason: count for reason, count in found.items() if count}

    def kept(self) -> Iterator[Values]:
        """The training records, read again, that are none of: unreadable, empty, a duplicate of an earlier one, or
        (nearly) one of another set; nor such that training skips."""
        out = np.zeros(self._train.records, dtype=bool)
        for mask in self._masks().values():
            out |= mask
        records = (one for source in self._sources for one in _readable(self._data, source))
        for number, record in enumerate(records):
            if number < len(out) and not out[number]:
                yield record.values

    def _masks(self) -> dict[str, np.ndarray]:
        """Which training records are left out, each by one reason alone."""
        train = self._train
        whole, near = np.asarray(train.digests[0]), np.asarray(train.near)
        empty = np.asarray(train.empties, dtype=bool)
        first = np.zeros(len(whole), dtype=bool)
        first[np.unique(whole, return_index=True)[1]] = True
        unusable = np.asarray(train.unusable, dtype=bool) & ~empty
        found = {"empty": empty, "unusable": unusable, "duplicate": ~first & ~empty & ~unusable}
        taken = empty | unusable | ~first
        for name, other in self._others.items():
            full = ~np.asarray(other.empties, dtype=bool)
            for how, own, theirs in (
                ("also", whole, np.asarray(other.digests[0])), ("nearly also", near, np.asarray(other.near)),
            ):  # fmt: skip
                leaking = np.isin(own, theirs[full]) & ~taken
                found[f"{how} in {name}"] = leaking
                taken |= leaking
        return found


def check(
    data: CheckedData, train: Sequence[Source], others: Mapping[str, Sequence[Source]] | None = None
) -> DataReport:
    """Reads every record once and reports; see `Check`."""
    return Check(data, train, others or {}).report()


def check_pairs(train: Sequence[PairSource], test: Sequence[PairSource] = ()) -> DataReport:
    """`check` of pairs of sentences."""
    return check(PAIRS, train, {"test": test} if test else {})


def _readable(data: CheckedData, source: Source) -> Iterator[CheckedRecord]:
    """The records of a source as far as they can be read."""
    try:
        for _, record in data.read(source, lambda error: None):
            yield record
    except DataError:
        return


def _scan(data: CheckedData, sources: Sequence[Source]) -> _Scan:
    scan = _Scan(data, sources, data.sides(sources[0]))
    for file, source in enumerate(sources):
        before = scan.records + scan.unreadable
        try:
            for number, record in data.read(source, scan.add_unreadable):
                scan.add(file, number, record)
        except DataError as error:
            if scan.records + scan.unreadable == before:
                raise  # nothing of it can be read
            scan.add_unreadable(error)
    return scan


def _overlap(data: CheckedData, train: _Scan, other: _Scan) -> Overlap:
    full = ~np.asarray(other.empties, dtype=bool)
    names = (data.unit, *(f"{side}s" for side in train.sides))
    found = [
        np.isin(np.asarray(ours), np.asarray(theirs)) & full
        for ours, theirs in zip(other.digests, train.digests, strict=True)
    ]
    near = np.isin(np.asarray(other.near), np.asarray(train.near)) & full & ~found[0]
    examples: list[str] = []
    for at in np.flatnonzero(found[0] | near)[:_EXAMPLES].tolist():
        there = np.flatnonzero(np.asarray(train.near) == np.uint64(other.near[at]))
        examples.append(f"{other.where(at)} = {train.where(int(there[0]))}")
    new = {label: count for label, count in other.labels.most_common() if label not in train.labels}
    shared = {name: int(one.sum()) for name, one in zip(names, found, strict=False)}
    return Overlap(shared, int(near.sum()), dict(list(new.items())[:_LABELS_KEPT]), tuple(examples))


class _Scan:
    """Gathers one set's numbers, a record at a time."""

    def __init__(self, data: CheckedData, sources: Sequence[Source], sides: Sequence[str]) -> None:
        self.sides = sides if len(sides) > 1 else ()
        self.records = self.unreadable = 0
        self.unreadable_lines: list[str] = []
        self.names: tuple[str, ...] = ()  # of what a record is written as
        # of each record: of all of it, of each of several sides, of its texts without labels, of what is near to it
        self.digests = tuple(array("Q") for _ in range(1 + len(self.sides)))
        self._texts, self.near, self._places = array("Q"), array("Q"), array("Q")
        self.empties, self.unusable = array("b"), array("b")
        self.labels: Counter[str] = Counter()
        self._data, self._all_sides = data, sides
        self._place_of = [data.places(source) for source in sources]
        self._characters = [Counter[int]() for _ in sides]
        self._words = [Counter[int]() for _ in sides]
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._size_examples: dict[tuple[int, int], list[str]] = {}
        self._ratios: Counter[int] = Counter()
        self._ratio_examples: dict[int, list[str]] = {}
        self._scripts = [Counter[frozenset[str]]() for _ in sides]
        self._script_examples: list[dict[frozenset[str], list[str]]] = [{} for _ in sides]

    def where(self, at: int) -> str:
        """The file and line of a record, by its number from 0."""
        file, line = divmod(self._places[at], 1 << _LINE_BITS)
        return self._place_of[file](line)

    def add(self, file: int, line: int, record: CheckedRecord) -> None:
        texts = record.texts
        self._places.append((file << _LINE_BITS) + line)
        self.records += 1
        self.names = self.names or tuple(record.values)
        blank = [is_blank(text) for text in texts]
        joined = record.content or "\0".join(texts)
        for digests, text in zip(self.digests, ("\0".join((joined, *record.labels)), *texts), strict=False):
            digests.append(_digest(text))
        self._texts.append(self.digests[0][-1] if not record.labels else _digest(joined))
        self.near.append(_digest(record.content or "\0".join(map(normalized, texts))))
        self.empties.append(any(blank))
        self.unusable.append(bool(record.unusable))
        self.labels.update(record.labels)
        for k, text in enumerate(texts):
            if not blank[k]:
                self._characters[k][len(text)] += 1
                self._words[k][len(text.split())] += 1
        where = self._place_of[file](line)
        if record.size is not None:
            self._sizes[record.size] += 1
            _keep(self._size_examples.setdefault(record.size, []), where)
        if any(blank):
            self._note("empty side" if len(texts) > 1 else "empty", where)
            return
        if record.unusable:
            self._note(record.unusable, where)
        for what in dict.fromkeys(what for text in texts for what in faults(text, breaks=self._data.breaks)):
            self._note(what, where)
        for k, text in enumerate(texts):
            limit = self._data.limits.get(self._all_sides[k])
            if limit is not None and likely_longer(text, limit.tokens):
                self._note(
                    f"{self._all_sides[k]} likely over {limit.tokens} tokens, which training {limit.what}", where
                )
            scripts = scripts_of(text)
            self._scripts[k][scripts] += bool(scripts)
            _keep(self._script_examples[k].setdefault(scripts, []), where)
        if self._data.parallel:
            self._add_parallel(texts[0], texts[1], where)

    def _add_parallel(self, source: str, target: str, where: str) -> None:
        if source == target:
            self._note("source is its own target", where)
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
        findings |= {what: found for what, found in self._found_of_all() if found.count}
        full = ~np.asarray(self.empties, dtype=bool)
        sides = (
            Lengths(_percentiles(characters), _percentiles(words))
            for characters, words in zip(self._characters, self._words, strict=True)
        )
        names = (self._data.unit, *(f"{side}s" for side in self.sides))
        return SetReport(
            self._data.unit,
            self.records,
            dict(zip(self._all_sides, sides, strict=True)),
            {name: _repeats(np.asarray(one)[full]) for name, one in zip(names, self.digests, strict=True)},
            self._labels_report(),
            findings,
            self.unreadable,
            tuple(self.unreadable_lines),
            self._sizes_report(),
        )

    def _sizes_report(self) -> Sizes | None:
        if self._data.what != "image":
            return None
        if not self._sizes:
            return Sizes(0, None, 0, None, None)
        ordered = sorted(self._sizes, key=lambda size: (size[0] * size[1], size))
        return Sizes(len(ordered), *self._sizes.most_common(1)[0], ordered[0], ordered[-1])

    def _labels_report(self) -> Labels | None:
        if not self._data.labels:
            return None
        numbers = None
        if len(self.labels) > _CLASSES:
            try:
                values = [float(label) for label in self.labels]
                numbers = (min(values), max(values))
            except ValueError:
                pass
        most = dict(self.labels.most_common(_LABELS_KEPT))
        return Labels(self._data.labels, most, len(self.labels), self.labels.total(), numbers)

    def _found_of_all(self) -> Iterator[tuple[str, Finding]]:
        """What can be said once all records are known."""
        yield "lengths out of proportion", self._odd_ratios()
        yield from self._odd_sizes()
        for k, side in enumerate(self._all_sides):
            yield from self._odd_scripts(k, side)
        yield "nearly the same but for case, white space, punctuation or numbers", self._near_duplicates()
        if self._data.labels:
            yield from self._label_faults()

    def _odd_sizes(self) -> Iterator[tuple[str, Finding]]:
        """Images of another size than nearly all have; where sizes are many, none is odd."""
        usual, count = self._sizes.most_common(1)[0] if self._sizes else ((0, 0), 0)
        odd = [size for size in self._sizes if size != usual]
        if count >= _SCRIPT_SHARE * self._sizes.total():
            examples = [where for size in odd for where in self._size_examples[size]]
            what = f"of another size than {usual[0]} × {usual[1]}"
            yield what, Finding(self._sizes.total() - count, tuple(examples[:_EXAMPLES]))

    def _label_faults(self) -> Iterator[tuple[str, Finding]]:
        few = [label for label, count in self.labels.items() if count < _FEW_RECORDS]
        if self.labels.total() >= 10 * _FEW_RECORDS and len(self.labels) <= self.labels.total() / 10:
            shown = tuple(label[:40] for label in few[:_EXAMPLES])
            yield f"{self._data.labels} that come fewer than {_FEW_RECORDS} times", Finding(len(few), shown)
        texts, whole = np.asarray(self._texts), np.asarray(self.digests[0])
        full = np.flatnonzero(~np.asarray(self.empties, dtype=bool))
        # of each pair of text and labels the first; a text that is among them twice has other labels there
        pairs = full[np.sort(np.unique(whole[full], return_index=True)[1])]
        again = _later(texts[pairs])
        examples = tuple(self.where(at) for at in pairs[again][:_EXAMPLES].tolist())
        yield f"the same {self._data.what} with other {self._data.labels}", Finding(int(again.sum()), examples)

    def _near_duplicates(self) -> Finding:
        """Records that are near to an earlier one and not the same."""
        full = np.flatnonzero(~np.asarray(self.empties, dtype=bool))
        different = full[np.sort(np.unique(np.asarray(self._texts)[full], return_index=True)[1])]
        near = np.asarray(self.near)[different]
        later = _later(near)
        examples: list[str] = []
        for at in np.flatnonzero(later)[:_EXAMPLES].tolist():
            first = int(np.flatnonzero(near == near[at])[0])
            examples.append(f"{self.where(int(different[at]))} = {self.where(int(different[first]))}")
        return Finding(int(later.sum()), tuple(examples))

    def _odd_scripts(self, k: int, side: str) -> Iterator[tuple[str, Finding]]:
        """Texts without the script that nearly all texts of their side have."""
        total = self._scripts[k].total()
        counts = Counter[str]()
        for scripts, count in self._scripts[k].items():
            for script in scripts:
                counts[script] += count
        if total < _SCRIPT_TEXTS or not counts:
            return
        script, count = counts.most_common(1)[0]
        if count < _SCRIPT_SHARE * total:
            return
        odd = [one for one in self._scripts[k] if one and script not in one]
        examples = [where for one in odd for where in self._script_examples[k][one]]
        what = f"{side} without {script}, which {100 * count / total:.1f} % of them have"
        yield what, Finding(sum(self._scripts[k][one] for one in odd), tuple(examples[:_EXAMPLES]))

    def _odd_ratios(self) -> Finding:
        """Pairs whose length ratio is far from the median one, which is the pair of languages' own."""
        if not self._ratios:
            return Finding(0, ())
        middle = _percentiles(self._ratios)[50]
        odd = sorted(ratio for ratio in self._ratios if abs(ratio - middle) * _RATIO_STEP > math.log(_RATIO))
        examples = [where for ratio in odd for where in self._ratio_examples[ratio]]
        return Finding(sum(self._ratios[ratio] for ratio in odd), tuple(examples[:_EXAMPLES]))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _keep(examples: list[str], where: str) -> None:
    if len(examples) < _EXAMPLES:
        examples.append(where)


def _later(values: np.ndarray) -> np.ndarray:
    """Which values have come before."""
    later = np.ones(len(values), dtype=bool)
    later[np.unique(values, return_index=True)[1]] = False
    return later


def _repeats(digests: np.ndarray) -> int:
    return len(digests) - len(np.unique(digests))


def _percentiles(histogram: Counter[int]) -> dict[int, int]:
    """The least value that at least p percent of the counted values do not exceed, for each p."""
    values = np.array(sorted(histogram), dtype=np.int64)
    if not len(values):
        return {}
    reached = np.cumsum([histogram[int(value)] for value in values])
    return {p: int(values[np.searchsorted(reached, reached[-1] * p / 100)]) for p in _PERCENTILES}
