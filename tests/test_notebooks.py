"""The notebooks of docs/notebooks run, print what stands in them, and show it in a browser."""

from __future__ import annotations

import ast
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api

from support.outputs import Opened, needs_browser

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.md"))
NUMBER = re.compile(r"-?\d[\d.,]*(?:e-?\d+)?")


def cells(file: Path) -> list[tuple[str, str]]:
    """The code of every cell, and the output that stands below it."""
    text = file.read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", text, re.DOTALL)


def run(code: str, names: dict[str, Any]) -> tuple[str, str]:
    """What a notebook would show of a cell: as text, and as HTML where it has some."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    if value is None:
        return printed.getvalue(), ""
    return printed.getvalue() + repr(value), value._repr_html_() if hasattr(value, "_repr_html_") else ""


def pattern(expected: str) -> str:
    """An output with any numbers; "…" stands for whatever is there."""
    parts = [NUMBER.sub("0", part) for part in expected.strip().split("…")]
    return ".*".join(re.escape(part) for part in parts)


@needs_browser
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_shows_what_stands_in_it(
    file: Path, browser: sync_api.Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown: list[str] = []
    for code, expected in cells(file):
        text, html = run(code, names)
        if expected:
            found = NUMBER.sub("0", text.strip())
            assert re.fullmatch(pattern(expected), found, re.DOTALL), f"{code}\n{text}"
        shown += [html] * bool(html)
    assert shown
    with Opened(browser, shown) as page:
        assert page.locator(".sightline[data-live]").count() == len(shown)
        for number in range(len(shown)):
            assert page.locator(f"#cell-{number} :is(.token, td, polyline):visible").count() > 0


def test_there_are_three() -> None:
    assert [file.stem for file in NOTEBOOKS] == ["first-translation", "looking-inside", "own-data"]
