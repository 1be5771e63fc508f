"""How far a long reading is, told now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

# Seconds between two lines: what takes less needs none.
EVERY = 20.0
VOCABULARY, ENCODING = "learning the vocabulary", "encoding"


class Ticker:
    """Called with what is done so far, reports it: "encoding: 12,000,000 characters", at most every `EVERY` seconds.

    Args:
        report: where lines go. what: what is done. unit: what is counted.
    """

    def __init__(self, report: Callable[[str], None], what: str, unit: str = "characters") -> None:
        self._report, self._what, self._unit = report, what, unit
        self._next = time.monotonic() + EVERY

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._report(f"{self._what}: {done:,} {self._unit}")
            self._next = now + EVERY

    def over(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts, their characters counted."""
        done = 0
        for text in texts:
            done += len(text)
            self(done)
            yield text
