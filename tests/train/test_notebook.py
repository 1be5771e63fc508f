"""Progress in a notebook: a bar in the cell, with IPython as far as it is used; elsewhere as on the command line."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sightline.train import notebook
from sightline.train.display import Judged, Standing


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A notebook: what its output shows, each time it changes."""
    shown: list[str] = []

    def display(html: str, *, display_id: bool) -> Any:
        assert display_id
        shown.append(html)
        return SimpleNamespace(update=shown.append)

    ipython, displayed = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    displayed.HTML, displayed.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", displayed)
    monkeypatch.setattr(notebook, "SECONDS_BETWEEN", 0.0)
    return shown


def test_a_training_has_a_bar(cells: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    display = notebook.display()
    display.advance(Standing("50/200", 0.25, 60.0))
    display.figures(50, {"loss": 1.5, "<b>": 1}, 60.0)
    assert "width: 25.0%" in cells[-1]
    assert "update 50/200; 0:01:00 left; loss 1.5, &lt;b&gt; 1; not saved yet" in cells[-1]
    display.judged(Judged("BLEU", "12.00", "12.50"))
    assert "BLEU 12.00, best 12.50" in cells[-1]
    display.saved(50)
    display.message("update 50: validation loss 2")
    notebook.say("precision fp32")
    display.advance(Standing("200/200", 1.0))
    display.close()
    assert "200/200" in cells[-1]
    assert "saved at 50" in cells[-1]
    assert capsys.readouterr() == ("update 50: validation loss 2\nprecision fp32\n", "")


def test_what_is_counted_has_one(cells: list[str]) -> None:
    with notebook.counting("evaluating test") as advance:
        advance(2)
        advance(3)
    assert "evaluating test: 5 records, 0:00:00" in cells[-1]


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_elsewhere_it_is_as_on_the_command_line(
    shell: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In plain Python with IPython imported, and in its terminal."""
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    display = notebook.display()
    display.figures(50, {"loss": 1.5}, None)
    notebook.say("precision fp32")
    with notebook.counting("evaluating") as advance:
        advance(1)
    display.close()
    assert capsys.readouterr() == ("", "update 50: loss 1.5\nprecision fp32\n")
