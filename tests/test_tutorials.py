"""The ways of new users, as the tutorials tell them: every command as it stands, on files as messy as people's are."""

from __future__ import annotations

import csv
import random
import shlex
from pathlib import Path

import pytest

from support.commands import sightline
from support.configs import MODELS
from test_docs import ROOT, commands, commands_of_python

# What a command trains is made tiny; the command stays as it stands.
TINY = ("training.max_updates=3", "training.tokens_per_batch=512", "training.threads=1", "training.validate_every=3",
        "model.num_layers=1")  # fmt: skip
SHORT = ("search.beam=1", "search.max_length_factor=0", "search.max_length_offset=8", "validation.sentences=2")
WORDS = [
    "the",
    "a",
    "small",
    "large",
    "dog",
    "cat",
    "house",
    "tree",
    "sees",
    "likes",
    "very",
    "old",
    "young",
    "man",
    "woman",
    "near",
    "behind",
]
SUBJECTS = {"나는": "I", "우리는": "we", "그들은": "they", "학생들은": "the students", "아이들은": "the children",
            "선생님은": "the teacher"}  # fmt: skip
OBJECTS = {
    "고양이를": "a cat",
    "개를": "a dog",
    "책을": "a book",
    "집을": "a house",
    "나무를": "a tree",
    "말을": "a horse",
}
VERBS = {"봅니다": "see", "찾습니다": "look for", "좋아합니다": "like", "그립니다": "draw", "기다립니다": "wait for",
         "부릅니다": "call", "압니다": "know"}  # fmt: skip
WHEN = {"": "", "오늘 ": " today", "매일 ": " every day", "아침에 ": " in the morning", "가끔 ": " sometimes"}


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\n') else cell


def write_messy(path: Path, header: str, rows: list[str]) -> None:
    """A spreadsheet's own: a byte order mark, CRLF, an empty row, one cell too many, a row that stands twice."""
    lines = [header, *rows, rows[0]]
    lines.insert(40, ",".join("" for _ in header.split(",")))
    lines.insert(90, rows[3] + ",one,too,many")
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")


def write_reviews(path: Path) -> None:
    """Labelled texts, fewer good ones than bad ones, some with quotes, line breaks, or as long as a chapter."""
    chance = random.Random(1)
    rows: list[str] = []
    for number in range(600):
        text = " ".join(chance.choice(WORDS) for _ in range(chance.randint(4, 12)))
        label = "good" if "dog" in text else "bad"
        if number % 50 == 7:
            text = f'he said "{text}", and left'
        if number % 90 == 11:
            text += "\nand a second line"
        if number == 300:
            text += " word" * 3000
        rows.append(f"{number},{quoted(text)},{label}")
    write_messy(path, "id,text,label", rows)


def write_sentences(path: Path) -> None:
    """Pairs, some with quotes; an empty side, and a source that has two translations."""
    rows = [
        f"{quoted(f'{subject} {when}{thing} {verb}.')},{quoted(f'{who.capitalize()} {do} {what}{at}.')}"
        for subject, who in SUBJECTS.items()
        for when, at in WHEN.items()
        for thing, what in OBJECTS.items()
        for verb, do in VERBS.items()
    ]
    random.Random(2).shuffle(rows)
    rows[5] = '"그는 ""네"", 라고 말했다.","He said ""yes"", and left."'
    rows[6] = '"그는 ""네"", 라고 말했다.","He said ""yes""."'
    rows[7] = "나는 갑니다.,"
    write_messy(path, "korean,english", rows)


def read_csv(name: str) -> list[list[str]]:
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def follow(name: str, capsys: pytest.CaptureFixture[str], *short: str) -> str:
    """Runs every command of a tutorial in the present folder; everything that they said."""
    said: list[str] = []
    for line in commands(ROOT / "docs" / name, "sh"):
        words = shlex.split(line)[1:]
        if words[0] == "train" and "--dry-run" not in words:
            words += [*TINY, *short]
        if words[0] == "compare":
            words += ["--resamples", "100", "--no-speed"]
        code = sightline(*words)
        out, told = capsys.readouterr()
        assert code == 0, (line, told)
        said += [out, told]
    return "\n".join(said)


def test_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_reviews(Path("reviews.csv"))
    said = follow("tutorial-classes.md", capsys)
    assert "1 unreadable" in said
    assert "gpt and bert: no difference" in said or "than bert by" in said
    rows, cleaned = read_csv("labelled.csv"), read_csv("clean.csv")
    assert [row[:2] for row in rows] == cleaned
    assert rows[0][2] == "predicted_label"
    assert "<svg" in Path("comparison.html").read_text(encoding="utf-8")
    assert Path("theirs/gpt/model.safetensors").exists()


def test_translation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_sentences(Path("pairs.csv"))
    said = follow("tutorial-translation.md", capsys, *SHORT)
    assert "1 unreadable" in said
    assert "BLEU" in said
    rows = read_csv("translated.csv")
    assert [row[:2] for row in rows] == read_csv("clean.csv")
    assert rows[0][2] == "translation"
    assert read_csv("sure.csv")[0][2:4] == ["translation", "confidence"]
    assert Path("attention.svg").exists()
    assert Path("theirs/gru/model.safetensors").exists()


def test_notebook(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With tiny models of another language in place of the recipes."""
    monkeypatch.chdir(tmp_path)
    names = {"gru-ko-en": "seq2seq", "transformer-ko-en": "transformer"}
    state: dict[str, object] = {}
    for code in commands_of_python(ROOT / "docs" / "tutorial-notebook.md"):
        for recipe, kind in names.items():
            sizes = dict(one.removeprefix("model.").split("=") for one in MODELS[kind])
            model = {key: value if key == "kind" else int(value) for key, value in sizes.items()}
            code = code.replace(f'"{recipe}"', f'"{config_file}", model={model}, search={{"beam": 1}}')
        *body, last = code.strip().splitlines()
        exec(compile("\n".join([*body, f"shown = {last}" if last.isidentifier() else last]), "notebook", "exec"), state)
        if last.isidentifier():
            assert "<" in state["shown"]._repr_html_()  # pyright: ignore[reportAttributeAccessIssue]
    assert "no difference" in (said := capsys.readouterr().out) or "than gru" in said
    assert Path("comparison.html").stat().st_size > 10_000
    for line in commands(ROOT / "docs" / "tutorial-notebook.md", "sh"):
        assert sightline(*shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    assert Path("theirs/gru/model.safetensors").exists()
