"""How a command ends: interrupted, with nobody who reads what it says, without standard input; and what is said to do
next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sightline as package
from sightline import config
from sightline.cli import common
from sightline.errors import UsageError
from sightline.runs import dry_run
from sightline.sight import alignment
from sightline.tasks.language.predictor import LanguageModel
from support.commands import sightline


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (EOFError("cut short"), 1, "unexpected EOFError: cut short; run again with --debug and report it"),
    ],
)
def test_one_line_and_the_right_code(error: BaseException, code: int, told: str, monkeypatch, capsys) -> None:
    def raising() -> None:
        raise error

    monkeypatch.setattr(config, "recipes", raising)
    assert sightline("recipes") == code
    assert capsys.readouterr().err == f"sightline: {told}\n"


def test_a_shell_is_told_what_a_word_may_be(monkeypatch, capsys) -> None:
    for name, value in (("_SIGHTLINE_COMPLETE", "complete_bash"), ("COMP_WORDS", "sightline tra"), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    assert sightline() == 0
    assert capsys.readouterr().out.split() == ["train", "translate"]


def test_a_reader_that_has_gone_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "sightline", "recipes"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("next: ")] == []


def test_standard_input_that_is_closed(old_run: Callable[[str], Path], monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    for words in (("translate", old_run("transformer")), ("score", old_run("ngram")), ("fill", old_run("bert"), "-")):
        assert sightline(*words) == 2
        assert capsys.readouterr().err == "sightline: standard input: is closed; name a file\n"
    asked = ("--context", "red dog house", "--question", "which animal ?")  # and what does not read it needs none
    assert sightline("answer", old_run("answerer"), *asked) == 0


class Typed:
    """Standard input that comes line by line."""

    def __init__(self, *lines: bytes) -> None:
        self._lines = iter(lines)

    def read1(self, size: int = -1) -> bytes:
        return next(self._lines, b"")


def test_lines_are_answered_as_they_come(old_run: Callable[[str], Path], monkeypatch) -> None:
    asked: list[list[str]] = []
    score: Any = LanguageModel.score

    def recorded(model: LanguageModel, texts: list[str], **more: Any) -> Any:
        asked.append(list(texts))
        return score(model, texts, **more)

    monkeypatch.setattr(LanguageModel, "score", recorded)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Typed(b"The dog\n", b"A cat\nThe\n")))
    assert sightline("score", old_run("ngram")) == 0
    assert asked == [["The dog"], ["A cat", "The"]]


def test_a_line_of_standard_input_is_called_so(old_run: Callable[[str], Path], monkeypatch, capsys) -> None:
    run = old_run("transformer")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Typed("나는\n".encode(), "나는 ".encode() * 500)))
    assert sightline("translate", run, "-") == 2
    assert capsys.readouterr().err.startswith("sightline: standard input:2: source of ")


def test_pairs_are_aligned_one_by_one(old_run: Callable[[str], Path], monkeypatch, capsys) -> None:
    """No look at a pair is kept where none is ranked."""
    run, order = old_run("transformer"), []
    look, links = alignment.look_at_pairs, alignment.Aligner.links
    monkeypatch.setattr(alignment, "look_at_pairs", lambda *one: order.append("look") or look(*one))
    monkeypatch.setattr(alignment.Aligner, "links", lambda *one: order.append("links") or links(*one))
    assert sightline("align", run, "data/test.ko", "data/test.en", "--first", 3) == 0
    assert order == ["look", "links"] * 3
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_next_step_has_what_this_one_was_given(monkeypatch, capsys) -> None:
    given = common.PLUGINS.set(("my own.py", "sums.py"))
    try:
        common.say_next("sightline predict runs/sums --plugin sums.py")
    finally:
        common.PLUGINS.reset(given)
    assert capsys.readouterr().err == "next: sightline predict runs/sums --plugin sums.py --plugin 'my own.py'\n"
    monkeypatch.setattr(dry_run, "dry_run", lambda *settings, **reports: None)
    assert sightline("train", "gru-ko-en", "--dry-run", "--fresh", "--run", "my run") == 0
    assert "next: sightline train gru-ko-en --run 'my run' --fresh\n" in capsys.readouterr().err


def test_plugins_of_the_environment_count_in_python_too(old_run: Callable[[str], Path], monkeypatch) -> None:
    run = old_run("ngram")
    Path("empty.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("SIGHTLINE_PLUGINS", "empty.py")
    with pytest.raises(UsageError, match=r"^empty\.py: adds nothing"):
        package.load(run)
