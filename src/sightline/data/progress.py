"""Progress of long readings, reported now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

from sightline.data.compression import bytes_read
from sightline.data.sources import Source

Report = Callable[[str], None]  # takes a line for whoever waits

# What takes less than this many seconds needs no line.
SECONDS_BETWEEN_REPORTS = 20.0
VOCABULARY, ENCODING, READING = "learning the vocabulary", "encoding", "reading"


@runtime_checkable
class LiveReport(Protocol):
    """A report that can also show how far a step is while it goes, as a terminal does."""

    def __call__(self, line: str, /) -> None: ...

    def step(self, what: str, done: int, unit: str, fraction: float | None = None) -> None:
        """`done` of `unit` so far, called as often as it is known, with what share is read where it is known; the next
        line ends the step."""
        ...


def silent(line: str) -> None:
    """A report that nobody reads."""


class ProgressReporter:
    """Called with the amount done so far, reports "encoding: 12,000,000 characters, 34 % read" at most every 20
    seconds, and at once where the report is a live one.

    Args:
        report: where lines go. what: the work. unit: what is counted.
        sources: what is read from now on, each of them once to its end, by this thread; none where that is not so.
        total: how many units there are, where that is known beforehand.
    """

    def __init__(
        self,
        report: Report,
        what: str,
        unit: str = "characters",
        sources: Sequence[Source] = (),
        total: int | None = None,
    ) -> None:
        self._report, self._what, self._unit = report, what, unit
        self._sources, self._total, self._begun = sources, total, bytes_read()
        self._live = report if isinstance(report, LiveReport) else None
        self._next = time.monotonic() + SECONDS_BETWEEN_REPORTS

    def __call__(self, done: int) -> None:
        if self._live is not None:
            self._live.step(self._what, done, self._unit, self.fraction(done))
            return
        now = time.monotonic()
        if now >= self._next:
            fraction = self.fraction(done)
            share = "" if fraction is None else f", {100 * fraction:.0f} % read"
            self._report(f"{self._what}: {done:,} {self._unit}{share}")
            self._next = now + SECONDS_BETWEEN_REPORTS

    @cached_property
    def _size(self) -> int | None:
        sizes = [one.reading_size for one in self._sources]
        known = [one for one in sizes if one is not None]
        return (sum(known) or None) if len(known) == len(sizes) else None

    def fraction(self, done: int) -> float | None:
        """What share is read where so many units are done: of all units, or else of the files' bytes; None where
        neither is known."""
        if self._total:
            return min(1.0, done / self._total)
        return None if self._size is None else min(1.0, (bytes_read() - self._begun) / self._size)

    def over(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts, reporting how many characters have passed."""
        done = 0
        for text in texts:
            done += len(text)
            self(done)
            yield text
