"""Progress of long readings, reported now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

Report = Callable[[str], None]  # takes a line for whoever waits

# What takes less than this many seconds needs no line.
SECONDS_BETWEEN_REPORTS = 20.0
VOCABULARY, ENCODING = "learning the vocabulary", "encoding"


@runtime_checkable
class LiveReport(Protocol):
    """A report that can also show how far a step is while it goes, as a terminal does."""

    def __call__(self, line: str, /) -> None: ...

    def step(self, what: str, done: int, unit: str) -> None:
        """`done` of `unit` so far, called as often as it is known; the next line ends the step."""
        ...


def silent(line: str) -> None:
    """A report that nobody reads."""


class ProgressReporter:
    """Called with the amount done so far, reports "encoding: 12,000,000 characters" at most every 20 seconds, and at
    once where the report is a live one.

    Args:
        report: where lines go. what: the work. unit: what is counted.
    """

    def __init__(self, report: Report, what: str, unit: str = "characters") -> None:
        self._report, self._what, self._unit = report, what, unit
        self._live = report if isinstance(report, LiveReport) else None
        self._next = time.monotonic() + SECONDS_BETWEEN_REPORTS

    def __call__(self, done: int) -> None:
        if self._live is not None:
            self._live.step(self._what, done, self._unit)
            return
        now = time.monotonic()
        if now >= self._next:
            self._report(f"{self._what}: {done:,} {self._unit}")
            self._next = now + SECONDS_BETWEEN_REPORTS

    def over(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts, reporting how many characters have passed."""
        done = 0
        for text in texts:
            done += len(text)
            self(done)
            yield text
