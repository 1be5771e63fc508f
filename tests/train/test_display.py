"""The line of a training: what it holds at any width, and the steps before it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from sightline.data import progress
from sightline.data.batches import DataPosition
from sightline.data.progress import ProgressReporter
from sightline.train.display import (
    Judged,
    PlainDisplay,
    Standing,
    TerminalDisplay,
    bar_text,
    display_on,
    reporting_on,
)
from sightline.train.progress import Progress
from support.train_toys import settings

FIGURES = {"epoch": 3, "loss": 3.2144, "label_loss": 3.2144, "tokens_per_second": 4512.3, "learning_rate": 0.00071,
           "gradient_norm": 0.912, "tokens": 5_120_000}  # fmt: skip


CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def terminal(width: int, encoding: str = "utf-8") -> Console:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, force_terminal=True, width=width, _environ={"TERM": "xterm-256color"})


@pytest.fixture
def shown() -> Iterator[TerminalDisplay]:
    display = TerminalDisplay(terminal(80))
    display.advance(Standing("1,250/20,000", 0.0625, 753.0))
    display.figures(1250, FIGURES, 753.0)
    display.judged(Judged("BLEU", "30.10", "31.25"))
    display.saved(1000)
    yield display
    display.close()


def line(display: TerminalDisplay, width: int) -> str:
    display._console.size = (width, 24)
    text = display.line()
    assert text.cell_len <= width - 1
    return text.plain


def test_what_a_line_holds_at_any_width(shown: TerminalDisplay) -> None:
    found = {width: line(shown, width) for width in range(12, 220)}
    at_80 = "  1,250/20,000  loss 3.214  best 31.25  4,512 tokens/s  0:12:33 left"
    assert found[80].lstrip("━╌") == at_80
    assert found[60].lstrip("━╌") == "  1,250/20,000  loss 3.214  best 31.25  0:12:33 left"
    assert found[41].lstrip("━╌") == "  1,250/20,000  loss 3.214  0:12:33"
    assert found[40].lstrip("━╌") == "  1,250/20,000  0:12:33 left"
    assert all(one.count("━") + one.count("╌") >= 5 for width, one in found.items() if width >= 30)
    assert "BLEU 30.10, best 31.25" in found[100]
    for part in ("saved at 1,000", "learning rate 0.00071", "gradient norm 0.912", "epoch 3", "tokens 5,120,000"):
        assert part in found[219]
    assert "label loss" not in found[219]
    # what is there at one width is there at every greater one, but where the bar and the updates begin to fit
    for part in ("1,250/20,000", "0:12:33", "loss 3.214", "31.25", "tokens/s", "saved at"):
        there = [width for width, one in found.items() if part in one and width > 28]
        assert there == list(range(there[0], 220)), part


def test_bars() -> None:
    assert bar_text(0.5, 10, False) == ("━━━━━", "╌╌╌╌╌")
    assert bar_text(1.0, 4, True) == ("####", "")
    assert bar_text(0.99, 10, True) == ("#########", "-")
    assert {bar_text(None, 4, True, clock / 4)[1] for clock in range(8)} == {"#---", "-#--", "--#-", "---#"}


def test_a_terminal_that_has_no_such_letters_gets_others() -> None:
    display = TerminalDisplay(terminal(80, "latin-1"))
    display.advance(Standing("5/10", 0.5))
    assert display.line().plain.startswith("############------------  5/10")
    display.close()


def test_a_terminal_whose_lines_cannot_change_gets_plain_lines() -> None:
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(display_on(dumb), PlainDisplay)


@pytest.mark.parametrize(
    ("limits", "update", "seconds", "told"),
    [
        ({"max_updates": 20_000}, 1250, 60.0, "1,250/20,000"),
        ({"max_minutes": 2.0}, 50, 60.0, "50/~100"),
        ({"max_updates": 120, "max_minutes": 2.0}, 50, 60.0, "50/~100"),
        ({"max_updates": 80, "max_minutes": 2.0}, 50, 60.0, "50/80"),
        ({"max_epochs": 4}, 0, 0.0, "0"),
        ({"max_updates": 20}, 0, 0.0, "0/20"),
    ],
)
def test_updates_of_all(limits: dict[str, float], update: int, seconds: float, told: str) -> None:
    standing = Progress(position=DataPosition(1, 0, 0), update=update, seconds=seconds)
    assert standing.updates_of_all(settings(**{"max_updates": None, **limits})) == told


def test_steps_before_training_move_on_a_terminal_and_leave_nothing() -> None:
    console = terminal(60)
    with reporting_on(console) as report:
        reader = ProgressReporter(report, "encoding", "pairs")
        reader(5)
        report("pairs: 5")
    written = told(console)
    assert "  encoding  5 pairs  0:00:00" in CONTROL.sub("", written)
    # the line is erased before the next one, and is no longer than the terminal
    assert written.index("\x1b[2K", written.index("0:00:00")) < written.index("pairs: 5")
    assert max(map(len, CONTROL.sub("", written).split("\r"))) < 60


def test_a_step_whose_size_is_known_has_a_bar_and_says_how_much_is_read() -> None:
    console = terminal(60)
    with reporting_on(console) as report:
        report.step("encoding", 1200, "pairs", 0.5)  # type: ignore[attr-defined]
    written = CONTROL.sub("", told(console))
    assert re.search("(━+)(╌+)  encoding  50 % read  1,200 pairs  0:00:00", written)
    full, rest = re.search("(━+)(╌+)", written).groups()  # type: ignore[union-attr]
    assert abs(len(full) - len(rest)) <= 1


def test_steps_before_training_are_few_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 15))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    console = Console(file=io.StringIO())
    with reporting_on(console) as report:
        reader = ProgressReporter(report, "encoding", "pairs")
        for done in (5, 10, 15, 20):
            reader(done)
    assert console.file.getvalue().splitlines() == ["encoding: 10 pairs", "encoding: 20 pairs"]


def told(console: Console) -> str:
    console.file.flush()
    return console.file.buffer.getvalue().decode()
