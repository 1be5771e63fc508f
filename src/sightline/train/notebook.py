"""Progress where a person works from Python: a bar in the cell of a notebook, else as on the command line."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console

from sightline.train.display import Display, Figures, Judged, Standing, describe, display_on, duration, reporting_on

SECONDS_BETWEEN = 0.2  # between two pictures of a bar
# what is done of a bar, and the text beside it; without styles, the text alone says how far it is
BAR = (
    '<div style="font: 13px/1.6 system-ui, sans-serif">'
    '<span style="display: inline-block; width: 12em; height: .7em; border: 1px solid rgba(128, 128, 128, .6)">'
    '<span style="display: block; height: 100%; width: {percent:.1f}%; background: rgb(31, 95, 168)"></span></span> '
    "{text}</div>"
)


def shell() -> Any | None:
    """IPython of the notebook that this process computes for; None elsewhere. IPython is never imported for it."""
    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython is not None else None
    return found if found is not None and hasattr(found, "kernel") else None


def say(line: str) -> None:
    """A message to whoever waits: standard error, in a notebook the output of the cell, where that would be red."""
    print(line, file=sys.stderr if shell() is None else sys.stdout, flush=True)


@contextmanager
def reporting() -> Generator[Callable[[str], None], None, None]:
    """Inside, a report of what comes before training."""
    if shell() is not None:
        yield say
        return
    with reporting_on(Console(stderr=True)) as report:
        yield report


def display() -> Display:
    """How a training is shown here."""
    return display_on(Console(stderr=True)) if shell() is None else NotebookDisplay()


class Bar:
    """HTML in the output of a cell that changes in place."""

    def __init__(self) -> None:
        shown: Any = importlib.import_module("IPython.display")
        self._html: Callable[[str], object] = shown.HTML
        self._handle: Any = shown.display(shown.HTML(""), display_id=True)
        self._shown = -SECONDS_BETWEEN

    def show(self, fraction: float | None, text: str, *, now: bool = False) -> None:
        """The bar as it is, but for pictures that would follow each other too fast."""
        if now or time.monotonic() >= self._shown + SECONDS_BETWEEN:
            self._shown = time.monotonic()
            self._handle.update(self._html(BAR.format(percent=100 * (fraction or 0.0), text=escape(text))))


class NotebookDisplay:
    """A bar with the newest figures; below it, as text, what should stay."""

    def __init__(self) -> None:
        self._bar, self._standing = Bar(), Standing("0", 0.0)
        self._figures, self._judged, self._saved = "", "", "not saved yet"

    def advance(self, standing: Standing) -> None:
        self._standing = standing
        self._show()

    def figures(self, update: int, figures: Figures, eta: float | None) -> None:
        self._figures = describe(figures)
        self._show()

    def judged(self, judged: Judged) -> None:
        self._judged = f"{judged.name} {judged.value}" + ("" if judged.best is None else f", best {judged.best}")
        self._show()

    def saved(self, update: int) -> None:
        self._saved = f"saved at {update:,}"
        self._show()

    def message(self, line: str) -> None:
        print(line, flush=True)

    def close(self) -> None:
        self._show(now=True)

    def _show(self, now: bool = False) -> None:
        standing = self._standing
        left = "" if standing.eta is None else f"{duration(standing.eta)} left"
        parts = filter(None, (f"update {standing.updates}", left, self._figures, self._judged, self._saved))
        self._bar.show(standing.fraction, "; ".join(parts), now=now)


@contextmanager
def counting(title: str, unit: str = "records") -> Generator[Callable[[int], None], None, None]:
    """Yields `advance(count)`: in a notebook how many are done, and the time; elsewhere silence."""
    if shell() is None:
        yield lambda count: None
        return
    bar, done, started = Bar(), 0, time.monotonic()

    def advance(count: int, now: bool = False) -> None:
        nonlocal done
        done += count
        bar.show(None, f"{title}: {done:,} {unit}, {duration(time.monotonic() - started)}", now=now)

    try:
        yield advance
    finally:
        advance(0, now=True)
