"""What a check of data found, as records and as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

_SHOWN_LABELS = 10
NEARLY = "but for case, white space, punctuation or numbers"  # how texts that are nearly the same differ


@dataclass(frozen=True)
class Lengths:
    """Length percentiles of one side's texts that are not empty; the 100th is the longest."""

    characters: dict[int, int]
    words: dict[int, int]


@dataclass(frozen=True)
class Finding:
    """Records with one thing wrong: how many, and where the first ones are (file:line)."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """How often each label comes, the most frequent first; of tags, units are counted.

    Attributes:
        called: what they are called, in plural. counts: of each, or the first thousand. different: how many there are.
        numbers: the least and the greatest, where all are numbers and too many to be classes.
    """

    called: str
    counts: dict[str, int]
    different: int
    total: int
    numbers: tuple[float, float] | None = None

    @property
    def majority(self) -> float:
        """The share of the most frequent label: what always saying it would get right."""
        return max(self.counts.values(), default=0) / max(self.total, 1)

    def lines(self) -> Iterator[str]:
        """As text."""
        if self.numbers is not None:
            low, high = self.numbers
            yield f"  {self.called}: numbers from {low:g} to {high:g}, {self.different:,} different"
            return
        shown = [
            f"{label[:40]} {count:,} ({_share(count, self.total)})"
            for label, count in list(self.counts.items())[:_SHOWN_LABELS]
        ]
        more = [f"and {self.different - _SHOWN_LABELS:,} more"] if self.different > _SHOWN_LABELS else []
        yield f"  {self.called}: {self.different:,} different: {', '.join(shown + more) or 'none'}"
        if self.different > 1:
            yield f"  majority: always saying {next(iter(self.counts))[:40]} is right {_share(1, 1 / self.majority)}"


@dataclass(frozen=True)
class Sizes:
    """Sizes of images in pixels, across and down: how many there are, the most frequent one, how many have it, and the
    least and the greatest by their pixels; None where there are no images."""

    different: int
    usual: tuple[int, int] | None
    usual_count: int
    least: tuple[int, int] | None
    greatest: tuple[int, int] | None

    def line(self, records: int) -> str:
        """As text."""
        if self.usual is None or self.least is None or self.greatest is None:
            return "  sizes: none"
        if self.different == 1:
            return f"  sizes: all {_size(self.usual)}"
        usual = f"{_size(self.usual)} {self.usual_count:,} ({_share(self.usual_count, records)})"
        span = f"from {_size(self.least)} to {_size(self.greatest)}"
        return f"  sizes: {self.different:,} different: {usual} most often, {span}"


@dataclass(frozen=True)
class SetReport:
    """What is in one set of records.

    `findings` is keyed by what is wrong and holds only what occurs; of the lines that are no record, `unreadable` says
    how many they are, and `unreadable_lines` what is wrong with the first twenty. `duplicates` is keyed by what comes
    again: the unit and, where records have several texts, each side.
    """

    unit: str
    records: int
    sides: dict[str, Lengths]
    duplicates: dict[str, int]
    labels: Labels | None
    findings: dict[str, Finding]
    unreadable: int
    unreadable_lines: tuple[str, ...]
    sizes: Sizes | None = None

    def lines(self, name: str) -> list[str]:
        """The report as text."""
        lines = [f"{name}: {self.records:,} {self.unit}"]
        for side, lengths in self.sides.items():
            for unit, percentiles in (("characters", lengths.characters), ("words", lengths.words)):
                values = ", ".join(f"{_percentile_name(p)} {value:,}" for p, value in percentiles.items())
                lines.append(f"  {side} {unit}: {values or 'none'}")
        if self.labels is not None:
            lines += self.labels.lines()
        if self.sizes is not None:
            lines.append(self.sizes.line(self.records))
        lines.append(f"  duplicates: {', '.join(f'{count:,} {what}' for what, count in self.duplicates.items())}")
        for what, finding in self.findings.items():
            lines.append(f"  {what}: {finding.count:,} (first: {', '.join(finding.examples)})")
        if self.unreadable:
            what = "lines" if self.sizes is None else "files"
            lines.append(f"  cannot be read: {self.unreadable:,} {what}, at the first of which a training stops")
            lines += [f"    {line}" for line in self.unreadable_lines]
            more = self.unreadable - len(self.unreadable_lines)
            lines += [f"    and {more:,} more"] * (more > 0)
        return lines

    def as_dict(self) -> dict[str, object]:
        """As plain values; count, lengths and duplicates also by their own names, as in "duplicate_pairs"."""
        named: dict[str, object] = {self.unit: self.records, **{side: asdict(one) for side, one in self.sides.items()}}
        labels = None if self.labels is None else {**asdict(self.labels), "majority": self.labels.majority}
        return {
            **named,
            **{f"duplicate_{what}": count for what, count in self.duplicates.items()},
            **asdict(self),
            "labels": labels,
        }


@dataclass(frozen=True)
class Overlap:
    """How much of another set also occurs in the training set.

    Attributes:
        shared: by what is shared: whole records, and each side of several. near: how many more records are the same but
            for case, white space, punctuation and numbers; of images, but for their class.
        new_labels: labels that training has not.
        examples: the first records of the other set that occur in training too, exactly or nearly, and where there.
    """

    shared: dict[str, int]
    near: int
    new_labels: dict[str, int]
    examples: tuple[str, ...]

    def lines(self, name: str, called: str, nearly: str) -> list[str]:
        """As text."""
        shared = [f"{count:,} {what}" for what, count in self.shared.items()]
        joined = " and ".join([", ".join(shared[:-1]), shared[-1]] if len(shared) > 1 else shared)
        lines = [f"overlap: of the {name} set, {joined} also occur in train"]
        if self.near:
            lines.append(f"  and {self.near:,} nearly, {nearly}")
        if self.examples:
            lines.append(f"  first: {', '.join(self.examples)}")
        if self.new_labels:
            shown = ", ".join(
                f"{label[:40]} {count:,}" for label, count in list(self.new_labels.items())[:_SHOWN_LABELS]
            )
            lines.append(f"  {called} that train has not: {shown}")
        return lines


@dataclass(frozen=True)
class DataReport:
    """What `check` found, of the training set, of the others by name, and of what they share with it."""

    train: SetReport
    others: Mapping[str, SetReport]
    overlaps: Mapping[str, Overlap]
    nearly: str = NEARLY  # how records differ that are nearly the same

    def lines(self) -> list[str]:
        """The report as text, one finding a line."""
        lines = self.train.lines("train")
        for name, report in self.others.items():
            lines += report.lines(name)
        called = self.train.labels.called if self.train.labels else "labels"
        for name, overlap in self.overlaps.items():
            lines += overlap.lines(name, called, self.nearly)
        return lines

    @property
    def readable(self) -> bool:
        """Whether a training could read all of it."""
        return not any(one.unreadable for one in (self.train, *self.others.values()))

    def as_dict(self) -> dict[str, object]:
        """The report as plain values, ready for JSON; what the test set shares with training is also `overlap`."""
        sets: dict[str, object] = {name: one.as_dict() for name, one in _pairs(("train", self.train), self.others)}
        test = self.overlaps.get("test")
        return {
            "test": None,
            **sets,
            "overlap": None if test is None else test.shared,
            "overlaps": {name: asdict(one) for name, one in self.overlaps.items()},
        }


def _pairs(first: tuple[str, SetReport], rest: Mapping[str, SetReport]) -> Iterable[tuple[str, SetReport]]:
    return [first, *rest.items()]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _percentile_name(percentile: int) -> str:
    return {50: "median", 100: "longest"}.get(percentile, f"{percentile} %")


def _share(count: float, total: float) -> str:
    return f"{100 * count / total:.1f} %"
