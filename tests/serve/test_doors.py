"""The same text has the same translation by every door: command line, Python, and both HTTP interfaces."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline import Translator
from sightline.data import grammar
from support.commands import sightline
from support.configs import MODELS, config_text
from support.serving import Server, events, post, serving

KOREAN = [one.korean for one in grammar.split("train", 300)]
A, B, C, D = KOREAN[:4]
ODD = [
    f"{A} {B}",
    f"{A}  {B}\t{C}",
    f"{A}\n{B}",
    f"{A}\r\n{B}\r\n\r\n{C} {D}\r\n",
    f"\n\n{A}",
    f"{A}\n",
    f" {A} ",
    f"  {A} {B}  ",
    f"{A}\n\u200b\n{B}",
    f"{A}\u3000{B}",
    f"“{A}” {B}",
    f"({A}) '{B}' 「{C}」",
    f"그는 “{A}”라고 했다. {B}",
    f"{A[:-1]}... {B[:-1]}… {C[:-1]}?! {D}",
    f"Dr. Kim은 3.5 m를 봤다. {B}",
    f"1. {A} 2. {B}",
    unicodedata.normalize("NFD", f"{A} {B}"),
    unicodedata.normalize("NFD", C),
    f"🙂 {A} 👩‍👩‍👧 {B} 🇰🇷",
    "🙂",
    "...",
    "! ? .",
    f"<b>{A}</b> & {B} &amp; <br> {C}",
    f"**{A}** `{B}` # {C}",
    f"- {A}\n  - {B}\n\n\t* {C}",
    f"a<b. {A} c>d! \\n \\ {B}",
    "今日は。元気？はい！",
    f"{A}。{B}",
    " ".join(KOREAN[:70]),
    "",
    " ",
    "\u3000",
    "\n",
    "\u200b",
    "끝",
]
TEXTS = [*ODD, *KOREAN[4:104], *(" ".join(KOREAN[at : at + 2]) for at in range(104, 104 + 2 * (100 - len(ODD)), 2))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned a little: what it writes is of its source."""
    folder = tmp_path_factory.mktemp("doors")
    pairs = grammar.split("train", 300)
    for name, part in (("train", pairs), ("val", pairs[:20]), ("test", pairs[20:40])):
        for ending, lines in (("de", [one.korean for one in part]), ("en", [one.english for one in part])):
            (folder / f"{name}.{ending}").write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    (folder / "config.toml").write_text(config_text(folder), encoding="utf-8")
    keys = ["data.source_language=Korean", "data.target_language=English", "training.max_updates=120",
            "training.learning_rate=0.02", "training.schedule=constant", "training.validate_every=120",
            "training.save_every=120", "model.width=64", "model.embedding_width=64",
            "tokenizer.kind=word", "tokenizer.min_frequency=1",
            "search.beam=1", "search.max_length_factor=1", "search.max_length_offset=3"]  # fmt: skip
    assert sightline("train", folder / "config.toml", "--run", folder / "ko-en", *MODELS["seq2seq"], *keys) == 0
    return folder / "ko-en"


@pytest.fixture(scope="module")
def expected(run: Path) -> list[str]:
    """What Python gives for each text on its own."""
    translator = Translator(run)
    return [translator.translate(text).text for text in TEXTS]


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[Server]:
    with serving([run]) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_there_is_something_to_tell_apart(expected: list[str]) -> None:
    assert len(TEXTS) == 200
    assert len(set(expected)) > 80


def test_python_gives_many_texts_as_it_gives_one(run: Path, expected: list[str]) -> None:
    translator = Translator(run)
    assert [one.text for one in translator.stream(TEXTS)] == expected


def test_the_command_line(run: Path, expected: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    wanted = dict(zip(TEXTS, expected, strict=True))
    lines = [text for text in TEXTS if "\n" not in text]
    (tmp_path / "lines.txt").write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    capsys.readouterr()
    assert sightline("translate", run, tmp_path / "lines.txt") == 0
    assert capsys.readouterr().out.split("\n") == [*(wanted[one] for one in lines), ""]
    stream = io.TextIOWrapper(io.BytesIO("\n".join(lines[:40]).encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    assert sightline("translate", run, "--json") == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["text"] for one in said] == [wanted[one] for one in lines[:40]]
    for text in TEXTS:
        if "\n" in text:
            assert sightline("translate", run, "--text", text) == 0
            assert capsys.readouterr().out == wanted[text] + "\n", text


def test_both_http_interfaces(client: httpx.Client, expected: list[str]) -> None:
    for start in range(0, len(TEXTS), 50):
        some, wanted = TEXTS[start : start + 50], expected[start : start + 50]
        ours = post(client, "/v1/translate", text=some)["translations"]
        assert [one["text"] for one in ours] == wanted
        theirs = post(client, "/translate", q=some, source="ko", target="en")
        assert theirs["translatedText"] == wanted


def test_what_is_streamed(client: httpx.Client, expected: list[str]) -> None:
    for text, wanted in zip(ODD[:16], expected, strict=False):
        told = events(client, "/v1/translate", text=text, stream=True)
        assert told[-1]["done"]["text"] == wanted
