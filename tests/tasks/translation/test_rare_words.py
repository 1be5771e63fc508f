"""Translations by the rare words of both sides: counted by hand, from training text that may have gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sightline.data.pairs import PairSource
from sightline.predict.metrics import chrf
from sightline.tasks.translation import rare_words
from sightline.tasks.translation.rare_words import RareWords, counts_in, have_spaces, words_of
from support.commands import sightline


def files(folder: Path, pairs: list[tuple[str, str]]) -> PairSource:
    for side, name in enumerate(("train.de", "train.en")):
        (folder / name).write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")
    return PairSource(source=str(folder / "train.de"), target=str(folder / "train.en"))


def test_words_are_what_stands_between_spaces_without_punctuation() -> None:
    assert words_of('«Das  Haus», it\'s 3.5 km (re-read) — … "나는 간다."') == [
        "das", "haus", "it's", "3.5", "km", "re-read", "나는", "간다"]  # fmt: skip
    assert have_spaces(["a house is here", "nothing", "나는 집에 간다"])
    assert not have_spaces(["我们今天一起去那里看一看", "她说她不去那里了", "好"])


def test_both_tables_counted_by_hand(tmp_path: Path) -> None:
    pairs = [("das haus", "the house")] * 21 + [("Der Hund,", "a dog!")] * 6 + [("die katze", "one cat")]
    train = files(tmp_path, pairs)
    wanted = ({"haus", "hund"}, {"cat", "ship"})
    assert counts_in([train, train], wanted) == [{"haus": 42, "hund": 12}, {"cat": 2}]
    sources = ["das haus", "der hund", "die katze", "das schiff und die katze im tal"]
    references = ["the house", "a dog", "one cat", "the ship and one cat"]
    told = ["the house", "the dog", "a cat cat", "the ship"]
    by_source, produced = RareWords([train], sources, references, told).as_dict()["parts"]  # type: ignore[misc]
    assert by_source["rows"] == [
        ["0", 2, 2.0, chrf(told[:2], references[:2]).score],
        ["2", 1, 2.0, chrf(told[2:3], references[2:3]).score],
        ["3+", 1, 7.0, chrf(told[3:], references[3:]).score],
    ]
    # never: ship, and; 1–5: one cat twice; 6–20: a dog; over 20: the house, the
    assert produced["rows"] == [["never", 2, 1, 50.0], ["1–5", 4, 1, 25.0], ["6–20", 2, 1, 50.0],
                                ["over 20", 3, 3, 100.0]]  # fmt: skip


def test_a_side_without_spaces_is_left_out_and_said(tmp_path: Path) -> None:
    chinese = ["我们今天一起去那里看一看", "她说她不去那里了今天"]
    found = RareWords([files(tmp_path, [("ein haus", "房子")])], ["ein haus", "ein hund"], chinese, chinese)
    (line,) = found.cautions()
    assert line.startswith("rare words of the reference are left out: ")
    (table,) = found.tables()
    assert table.columns[0] == "rare words"


@pytest.mark.parametrize("gone", ["a/train.de", "multi30k:train.de.gz"])
def test_training_text_that_is_not_there_is_said_in_one_line_and_never_fetched(
    gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGHTLINE_DATA", raising=False)
    monkeypatch.setattr("sightline.data.catalogue._download", lambda *arguments: pytest.fail("fetched"))
    found = RareWords([PairSource(source=gone, target=gone)], ["ein haus"], ["a house"], ["a house"])
    assert not found.tables()
    (line,) = found.cautions()
    assert line.startswith(f"rare words are left out, as the training text cannot be read any more ({gone}: ")
    assert "\n" not in line


def test_a_run_reads_its_training_text_when_it_is_asked_and_once(
    trained, texts: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(["transformer"])["transformer"]
    reads: list[int] = []
    plain = rare_words.counts_in
    monkeypatch.setattr(rare_words, "counts_in", lambda *arguments: (reads.append(1), plain(*arguments))[1])
    files = (texts / "test.de", texts / "test.en")
    assert sightline("evaluate", run, *files, "--beam", 1) == 0
    assert not reads
    assert "produced" not in capsys.readouterr().out
    assert sightline("evaluate", run, *files, "--beam", 1, "--details", "--report", tmp_path / "r.html") == 0
    assert reads == [1]
    out = capsys.readouterr().out
    assert "by rare words of the source" in out
    assert "by how often training has them" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert sightline("evaluate", run, *files, "--beam", 1, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert "train" not in found
    by_source, produced = next(one["parts"] for one in found["details"] if one["name"] == "rare_words")
    assert sum(row[1] for row in by_source["rows"]) == found["sentences"]
    references = (texts / "test.en").read_text(encoding="utf-8")
    assert sum(row[1] for row in produced["rows"]) == len(words_of(references))
