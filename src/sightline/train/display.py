"""How training is shown: a line that changes in place and fits any terminal, or plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

Figures = Mapping[str, float]
LEAST_BAR, MOST_BAR = 5, 24
_GAP = "  "


@dataclass(frozen=True)
class Standing:
    """How far a run is: "1,250/20,000" updates, the fraction of it that is done, and the seconds left, where known."""

    updates: str
    fraction: float | None = None
    eta: float | None = None


@dataclass(frozen=True)
class Judged:
    """The figure of a validation that chooses the best checkpoint: its name, its value and the best so far as text."""

    name: str
    value: str
    best: str | None


class Display(Protocol):
    """Shows training to whoever watches."""

    def advance(self, standing: Standing) -> None: ...
    def figures(self, update: int, figures: Figures, eta: float | None) -> None: ...
    def judged(self, judged: Judged) -> None: ...
    def saved(self, update: int) -> None: ...
    def message(self, line: str) -> None: ...
    def close(self) -> None: ...


class PlainDisplay:
    """One line for each thing worth telling, through `write`."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def advance(self, standing: Standing) -> None:
        pass

    def figures(self, update: int, figures: Figures, eta: float | None) -> None:
        self._write(f"update {update:,}: {describe(figures)}{f', {duration(eta)} left' if eta is not None else ''}")

    def judged(self, judged: Judged) -> None:
        pass

    def saved(self, update: int) -> None:
        self._write(f"update {update:,}: saved")

    def message(self, line: str) -> None:
        self._write(line)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Piece:
    """One part of a line: what it may say, from the shortest to the longest, and its style."""

    forms: tuple[str, ...]
    style: str = ""


def fit(pieces: Sequence[Piece], order: Sequence[int], needed: int, width: int) -> list[str]:
    """The form of every piece by which all fit a width in cells with two spaces between them; empty where left out.

    Args:
        order: indices of the pieces, the most important first. needed: how many of them come first and are spelled out
            before any of the others is shown.
    """
    shown = [""] * len(pieces)
    for group in (order[:needed], order[needed:]):
        for count in (1, None):  # the shortest form of each, and then longer ones
            for index in group:
                for form in pieces[index].forms[:count]:
                    candidate = [*shown[:index], form, *shown[index + 1 :]]
                    if (count or shown[index]) and _length(candidate) <= width:
                        shown = candidate
    return shown


def _length(parts: Iterable[str]) -> int:
    lengths = [cell_len(part) for part in parts if part]
    return sum(lengths) + len(_GAP) * max(0, len(lengths) - 1)


def bar_text(fraction: float | None, width: int, ascii_only: bool, clock: float = 0.0) -> tuple[str, str]:
    """(the filled part, the rest) of a bar; where nothing tells how much is done, a mark that moves with the clock."""
    full, empty = ("#", "-") if ascii_only else ("━", "╌")
    if fraction is None:
        place = int(clock * 4) % width
        return "", empty * place + full + empty * (width - place - 1)
    done = min(width, int(fraction * width + 1e-9))
    return full * done, empty * (width - done)


def progress_line(
    pieces: Sequence[Piece],
    order: Sequence[int],
    needed: int,
    fraction: float | None,
    width: int,
    *,
    ascii_only: bool,
    clock: float,
) -> Text:
    """A bar and what fits beside it, at most `width` cells; the bar gets what is left, within its bounds."""
    beside = fit(pieces, order, needed, width - LEAST_BAR - len(_GAP))
    room = min(MOST_BAR, width - _length(beside) - len(_GAP))
    line = Text(no_wrap=True, overflow="crop", end="")
    if room >= LEAST_BAR:
        filled, rest = bar_text(fraction, room, ascii_only, clock)
        line.append(filled, "green").append(rest, "dim")
    for piece, form in zip(pieces, beside, strict=True):
        if form:
            line.append(_GAP if line.plain else "").append(form, piece.style)
    return line


class TerminalDisplay:
    """One line that changes in place, and above it what should stay."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._standing = Standing("0")
        self._figures: dict[str, float] = {}
        self._judged: Judged | None = None
        self._saved = "not saved yet"
        self._live = Live(console=console, transient=True, refresh_per_second=4, get_renderable=self.line)
        self._live.start()

    def line(self) -> Text:
        """The line as it fits the terminal now."""
        # the last cell stays free: some terminals wrap when it is filled
        width = self._console.width - 1
        named = self._pieces()
        needed = ["updates", "left", "loss", "metric", "speed"]
        first = [*needed, *(name for name in ("saved", "learning_rate", "gradient_norm") if name in named)]
        names = list(named)
        order = [names.index(name) for name in [*first, *(name for name in names if name not in first)]]
        return progress_line(
            list(named.values()),
            order,
            len(needed),
            self._standing.fraction,
            width,
            ascii_only=not self._console.encoding.startswith("utf"),
            clock=time.monotonic(),
        )

    def _pieces(self) -> dict[str, Piece]:
        """The parts by name, from left to right."""
        standing, more = self._standing, dict(self._figures)
        loss = more.pop("loss", None)
        speed = next((name for name in more if name.endswith("_per_second")), None)
        left = () if standing.eta is None else (duration(standing.eta), f"{duration(standing.eta)} left")
        return {
            "updates": Piece((standing.updates,), "bold"),
            "loss": Piece(() if loss is None else (f"loss {short(loss)}",), "cyan"),
            "metric": Piece(_judged_forms(self._judged), "cyan"),
            "speed": Piece(() if speed is None else (_speed(speed, more.pop(speed)),), "cyan"),
            **{name: Piece((describe({name: value}),)) for name, value in without_parts(more, loss).items()},
            "left": Piece(left),
            "saved": Piece((self._saved,), "green"),
        }

    def advance(self, standing: Standing) -> None:
        self._standing = standing

    def figures(self, update: int, figures: Figures, eta: float | None) -> None:
        self._figures = dict(figures)

    def judged(self, judged: Judged) -> None:
        self._judged = judged

    def saved(self, update: int) -> None:
        self._saved = f"saved at {update:,}"

    def message(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._live.stop()


def _judged_forms(judged: Judged | None) -> tuple[str, ...]:
    if judged is None:
        return ()
    best = () if judged.best is None else (f"best {judged.best}",)
    return (*(best or (f"{judged.name} {judged.value}",)), ", ".join((f"{judged.name} {judged.value}", *best)))


def _speed(name: str, value: float) -> str:
    return f"{short(value)} {name.removesuffix('_per_second')}/s"


class TerminalReport:
    """Lines for whoever waits, and under them the step that is under way, in a line that changes in place.

    Use as a context manager: at its end nothing of that line is left.
    """

    SECONDS_BETWEEN = 0.1

    def __init__(self, console: Console) -> None:
        self._console, self._what = console, ""
        self._begun = self._next = 0.0

    def __enter__(self) -> TerminalReport:
        return self

    def __exit__(self, *error: object) -> None:
        self._clear()

    def __call__(self, line: str, /) -> None:
        self._clear()
        self._console.print(line, markup=False, highlight=False)

    def step(self, what: str, done: int, unit: str, fraction: float | None = None) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._begun, self._next = what, now, 0.0
        if now < self._next:
            return
        self._next, seconds = now + self.SECONDS_BETWEEN, now - self._begun
        pieces = [
            Piece((what,)),
            Piece(() if fraction is None else (f"{100 * fraction:.0f} %", f"{100 * fraction:.0f} % read"), "bold"),
            Piece((f"{done:,} {unit}",), "cyan"),
            Piece((f"{short(round(done / seconds))}/s",) if seconds > 1 else ()),
            Piece((duration(seconds),)),
        ]
        ascii_only = not self._console.encoding.startswith("utf")
        line = progress_line(pieces, range(5), 3, fraction, self._console.width - 1, ascii_only=ascii_only, clock=now)
        self._to_start()
        self._console.print(line, end="", soft_wrap=True)

    def _clear(self) -> None:
        if self._what:
            self._what = ""
            self._to_start()

    def _to_start(self) -> None:
        self._console.control(Control((ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2)))


@contextmanager
def reporting_on(console: Console) -> Generator[Callable[[str], None], None, None]:
    """Inside, a report of what comes before training: its steps move where the console is a terminal."""
    if not is_lively(console):
        yield lambda line: print(line, file=console.file, flush=True)
        return
    with TerminalReport(console) as report:
        yield report


def is_lively(console: Console) -> bool:
    """Whether a line can change in place there."""
    return console.is_terminal and not console.is_dumb_terminal


def display_on(console: Console) -> Display:
    """A progress line where the console is a terminal, else plain lines."""
    if is_lively(console):
        return TerminalDisplay(console)
    # Not through the console's layout, which would break long lines.
    return PlainDisplay(lambda line: print(line, file=console.file, flush=True))


def describe(figures: Figures) -> str:
    """ "loss 4.213, learning rate 0.0005": whole numbers in full, others to four digits."""
    told = without_parts(figures, figures.get("loss"))
    return ", ".join(f"{name.replace('_', ' ')} {short(value)}" for name, value in told.items())


def without_parts(figures: Figures, loss: float | None) -> dict[str, float]:
    """The figures but for a part of the loss that is all of it, as a classifier's without a language model's beside
    it: that is not said twice."""
    whole = None if loss is None else short(loss)
    return {
        name: value
        for name, value in figures.items()
        if not (name.endswith(("_loss", "nll")) and short(value) == whole)
    }


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def short(value: float) -> str:
    """A whole number in full, another to four digits."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
