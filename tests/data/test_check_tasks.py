"""The look at data of every task: labels, limits, scripts, quotes, near-duplicates, leakage; what is written of it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from sightline.data.check import check, check_pairs
from sightline.data.check_records import LABELLED, TEXTS
from sightline.data.check_text import faults, likely_longer, normalized, scripts_of
from sightline.data.documents import TextSource
from sightline.data.labelled import LabelledSource, read_labelled
from sightline.data.pairs import PairSource, read_pairs
from sightline.data.tagged import TaggedSource, read_tagged
from sightline.tasks.registry import TASKS
from support.commands import sightline


def table(path: Path, *rows: Sequence[str]) -> str:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def reviews(count: int) -> list[tuple[str, str]]:
    words = ("film", "story", "music", "actor", "end")
    return [(f"the {words[n % 5]} was {'good' if n % 3 else 'bad'} number {'x' * n} to me", "pos" if n % 3 else "neg")
            for n in range(count)]  # fmt: skip


def labelled(path: str) -> LabelledSource:
    return LabelledSource(source=path, texts=(0,), label=1, header=False)


def test_labels_their_balance_and_what_contradicts(tmp_path: Path) -> None:
    path = table(tmp_path / "x.tsv", *reviews(60), (reviews(1)[0][0], "pos"), ("odd one", "meh"))
    report = check(LABELLED, [labelled(path)]).train
    assert report.labels is not None
    assert report.labels.counts == {"pos": 41, "neg": 20, "meh": 1}
    assert report.labels.majority == 41 / 62
    lines = report.lines("train")
    assert "  labels: 3 different: pos 41 (66.1 %), neg 20 (32.3 %), meh 1 (1.6 %)" in lines
    assert "  majority: always saying pos is right 66.1 %" in lines
    assert report.findings["labels that come fewer than 5 times"].examples == ("meh",)
    assert report.findings["the same text with other labels"].examples == (f"{path}:61",)


def test_numbers_to_be_predicted_are_no_classes(tmp_path: Path) -> None:
    path = table(tmp_path / "x.tsv", *[(f"text {n}", str(n / 10)) for n in range(50)])
    assert "  labels: numbers from 0 to 4.9, 50 different" in check(LABELLED, [labelled(path)]).train.lines("train")


def test_an_empty_label_is_told_by_its_line_and_an_empty_record_is_none(tmp_path: Path) -> None:
    path = table(tmp_path / "x.tsv", ("a", "pos"), ("b", " "), (), ("c", "neg"))
    report = check(LABELLED, [labelled(path)]).train
    assert (report.records, report.unreadable_lines) == (2, (f"{path}:2: the label is empty; check the line",))
    padded = table(tmp_path / "y.tsv", ("a", "pos"), (), ("c", "neg"), (" ", " "))
    assert [label for _, label in read_labelled(labelled(padded))] == ["pos", "neg"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('he said "no', ["unbalanced quotes"]),
        ("he said “no", ["unbalanced quotes"]),
        ('a 5" disk', []),
        ("„schön“ and “fine”, »oder« so", []),
        ('"she said ""no"""', ["quoted and with doubled quotes, as only a .csv has them"]),
        ('"a whole sentence"', []),
        ("a\nb\tc", []),
        ("a\x07", ["control characters"]),
    ],
)
def test_faults_of_a_text(text: str, found: list[str]) -> None:
    assert list(faults(text, breaks=True)) == found


def test_scripts_likeness_and_length() -> None:
    assert scripts_of("나는 iPhone 5") == {"Hangul", "Latin"}
    assert scripts_of("日本語の本") == {"Han", "kana"}
    assert scripts_of("12 – 3!") == frozenset()
    assert normalized("It's 5 O'Clock!") == normalized("its 17 oclock") != normalized("it is five")
    assert normalized("…") != normalized("?!")
    assert likely_longer("word " * 200, 128)
    assert likely_longer("글" * 2000, 128)
    assert not likely_longer("word " * 100, 128)


def test_a_line_in_the_wrong_language_and_its_near_copies(tmp_path: Path) -> None:
    pairs = [(f"나는 {'가' * n} 책을 읽는다", f"I read {'a' * n} books") for n in range(30)]
    path = table(tmp_path / "x.tsv", *pairs, ("I read it", "I read"), ("나는 책을 읽는다", "i READ  books!"))
    report = check_pairs([PairSource(source=path)]).train
    assert report.findings["source without Hangul, which 96.9 % of them have"].examples == (f"{path}:31",)
    near = report.findings["nearly the same but for case, white space, punctuation or numbers"]
    assert near.examples == (f"{path}:32 = {path}:1",)


def test_over_long_records_by_the_limits_of_each_task(tmp_path: Path, capsys) -> None:
    long = "word " * 300
    path = table(tmp_path / "x.tsv", *reviews(30), (long, "pos"))
    assert sightline("data", "check", path, "--task", "classification", "--no-header") == 0
    assert f"text likely over 128 tokens, which training cuts: 1 (first: {path}:31)" in capsys.readouterr().out
    pairs = table(tmp_path / "y.tsv", ("a", "b"), (long, long))
    assert sightline("data", "check", pairs) == 0
    out = capsys.readouterr().out
    assert f"source likely over 256 tokens, which training leaves out: 1 (first: {pairs}:2)" in out
    assert "target likely over 256 tokens" in out


def test_leakage_exact_and_near_and_labels_that_training_has_not(tmp_path: Path, capsys) -> None:
    train = table(tmp_path / "train.tsv", *reviews(30))
    test = table(tmp_path / "test.tsv", reviews(1)[0], (reviews(5)[4][0].upper() + "!", "pos"), ("new", "meh"))
    words = ("data", "check", train, "--task", "classification", "--no-header", "--test", test)
    assert sightline(*words) == 0
    out = capsys.readouterr().out.splitlines()
    assert "overlap: of the test set, 1 records also occur in train" in out
    assert "  and 1 nearly, but for case, white space, punctuation or numbers" in out
    assert f"  first: {test}:1 = {train}:1, {test}:2 = {train}:5" in out
    assert "  labels that train has not: meh 1" in out
    assert sightline(*words, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["overlap"] == {"records": 1}
    assert report["overlaps"]["test"]["near"] == 1
    assert report["left_out"] == {"also in test": 1, "nearly also in test": 1}
    assert report["train"]["labels"]["counts"] == {"pos": 20, "neg": 10}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".jsonl.zst"])
def test_fix_writes_what_training_would_read(suffix: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "x.csv"
    rows = ["korean,english", '"나, 너",I', "only one", "둘,two", "둘,two", ",empty", '"a" b,c', "셋,three", "넷,four"]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    test = table(tmp_path / "test.csv", ("korean,english",), ("셋,THREE!",))
    out = tmp_path / f"clean{suffix}"
    words = ("data", "check", path, "--columns", "korean,english", "--test", test)
    assert sightline(*words, "--fix", out) == 0
    err = capsys.readouterr().err
    reasons = "2 unreadable, 1 empty, 1 duplicate, 1 nearly also in test"
    assert f"written: {out}, 3 pairs; left out: {reasons}" in err
    assert f"next: sightline init my.toml --source {out} --columns source,target" in err
    source = PairSource(source=str(out), source_column="source", target_column="target")
    assert list(read_pairs(source)) == [("나, 너", "I"), ("둘", "two"), ("넷", "four")]
    assert sightline("data", "check", out, "--columns", "source,target") == 0
    assert sightline(*words, "--fix", out) == 2
    assert "is there already" in capsys.readouterr().err


def test_fix_of_other_tasks(tmp_path: Path, capsys) -> None:
    tagged = tmp_path / "x.conll.txt"
    tagged.write_text("Ada B-PER\nsang O\n\nbad\n\nOslo B-LOC\n\nOslo B-LOC\n", encoding="utf-8")
    for name, columns in (("y.tsv", None), ("y.jsonl", ("tokens", "tags")), ("y.parquet", None)):
        assert sightline("data", "check", tagged, "--task", "tagging", "--fix", tmp_path / name) == 0
        found = list(read_tagged(TaggedSource(source=str(tmp_path / name), columns=columns)))
        assert found == [(("Ada", "sang"), ("B-PER", "O")), (("Oslo",), ("B-LOC",))]
        err = capsys.readouterr().err
        assert "left out: 1 unreadable, 1 duplicate" in err
        assert ("--columns tokens,tags" in err) == (name != "y.tsv")
    asked = tmp_path / "q.csv"
    asked.write_text("question,context,answer\nWho?,Ada sang.,Ada\nWho?,Ada sang.,Bob\nWhy?,,x\n", encoding="utf-8")
    assert sightline("data", "check", asked, "--task", "question_answering", "--fix", tmp_path / "q.jsonl") == 0
    (line,) = (tmp_path / "q.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["answers"] == {"text": ["Ada"], "answer_start": [0]}
    out, err = capsys.readouterr()
    assert f"the answer does not stand in the text, so training leaves it out: 1 (first: {asked}:3)" in out
    assert "left out: 1 empty, 1 unusable" in err
    (tmp_path / "t.txt").write_text("a line\n\nanother\na line\n", encoding="utf-8")
    assert sightline("data", "check", tmp_path / "t.txt", "--task", "language", "--fix", tmp_path / "u.txt") == 0
    assert (tmp_path / "u.txt").read_text(encoding="utf-8") == "a line\nanother\n"
    assert f"next: sightline init my.toml --source {tmp_path / 'u.txt'} --task language" in capsys.readouterr().err


def test_fix_that_cannot_be_written_says_so_before_reading(tmp_path: Path, capsys) -> None:
    path = table(tmp_path / "x.tsv", ("a", "b"))
    for out, says in ((".xlsx", 'nothing can be written as ".xlsx"; choose .csv, .tsv, .jsonl, .parquet'),
                      ("/no/y.csv", "there is no folder")):  # fmt: skip
        assert sightline("data", "check", path, "--fix", f"{tmp_path / 'y'}{out}") == 2
        assert says in capsys.readouterr().err
    empty = table(tmp_path / "z.tsv", ("a", ""), ("", "b"))
    assert sightline("data", "check", empty, "--fix", tmp_path / "y.csv") == 1
    assert "no record is left (left out: 2 empty)" in capsys.readouterr().err
    assert not (tmp_path / "y.csv").exists()


def test_data_of_another_task_is_hinted_at(tmp_path: Path, capsys) -> None:
    path = table(tmp_path / "x.tsv", ("text", "label"), *reviews(40))
    assert sightline("data", "check", path) == 0
    err = capsys.readouterr().err
    assert f"hint: {path} looks like data of task classification (column 1, counted from 0, holds 2 short values" in err
    assert "check it with --task classification" in err
    assert sightline("data", "check", path, "--task", "classification") == 0
    err = capsys.readouterr().err
    assert "hint" not in err
    assert "--task classification" in err
    tagged = table(tmp_path / "y.tsv", *[("Ada", "B-PER"), ("sang", "O"), ()] * 9)
    sightline("data", "check", tagged)
    assert "looks like data of task tagging (lines end in tags such as B-…)" in capsys.readouterr().err
    pairs = table(tmp_path / "z.tsv", *[(f"Das hier ist {'x' * n}.", f"This is a {'y' * n}.") for n in range(40)])
    assert sightline("data", "check", pairs) == 0
    assert "hint" not in capsys.readouterr().err


def test_a_damaged_end_is_told_after_what_could_be_read(tmp_path: Path, capsys) -> None:
    one, other = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_bytes(b"x\n\xff\ny\nz\n")
    other.write_bytes(b"1\n2\n3\n")
    report = check_pairs([PairSource(source=str(one), target=str(other))]).train
    assert (report.records, report.unreadable) == (2, 2)
    assert report.unreadable_lines[0].startswith(f"{one}:2: not UTF-8")
    assert "has 4 lines but" in report.unreadable_lines[1]
    assert sightline("data", "check", tmp_path / "absent.tsv") == 1
    assert "no such file" in capsys.readouterr().err


def test_every_task_can_be_checked_and_wrong_words_are_told(tmp_path: Path, capsys) -> None:
    assert [name for name, spec in TASKS.items() if spec.check is None] == []
    path = table(tmp_path / "x.tsv", ("a", "b"))
    for words, says in (
        (("--task", "taging"), 'there is no "taging"; did you mean "tagging"'),
        (("--task", "language", path), "is of translation"),
        (("--task", "question_answering", "--columns", "a"), "have no columns to choose"),
        (("--test", path, "--test-source", path), "are both test data"),
    ):
        assert sightline("data", "check", path, *words) == 2
        assert says in capsys.readouterr().err


def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("".join(f"{n} " + "words" * 2000 + "\n" for n in range(1200)), encoding="utf-8")  # 12 MB
    tracemalloc.start()
    report = check(TEXTS, [TextSource(source=str(path))]).train
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.records == 1200
    assert peak < 4_000_000
