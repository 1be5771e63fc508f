"""Verbs that predict read the tables that training read, and write what they find beside them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

import sightline as package
from sightline.cli.records import predict_each
from sightline.data.table_writing import table_line
from sightline.predict.output import Output
from support.commands import sightline

OldRun = Callable[[str], Path]
SOURCES = ("빨간 개가 집도 본다.", "새는 작은 나무도 그린다.", '그는 "고양이"를 찾는다.')


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path: str, header: list[str], *records: tuple[str, ...]) -> None:
    with Path(path).open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *records])


def test_translations_beside_a_tables_own_columns(old_run: OldRun, capsys: Any) -> None:
    run = old_run("transformer")
    model: Any = package.load(run)
    expected = [one.text for one in model.translate(list(SOURCES))]
    write_csv("shop.csv", ["id", "Source", "source", "price"], *(
        (str(n), "no", text, f"=1+{n}") for n, text in enumerate(SOURCES)
    ))  # fmt: skip
    assert sightline("translate", run, "shop.csv", "--output", "out.csv") == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "shop.csv: columns: source of id, Source, source, price" in told.err
    found = rows("out.csv")
    assert list(found[0])[:5] == ["id", "Source", "source", "price", "translation"]
    assert [one["translation"] for one in found] == expected
    assert [one["source"] for one in found] == list(SOURCES)
    assert [one["price"] for one in found] == ["=1+0", "=1+1", "=1+2"]  # formulas are left as they are
    assert not list(Path().glob("out.csv.*"))
    # the same columns of JSON Lines, with values of any kind beside them
    lines = [json.dumps({"source": text, "n": n, "more": {"a": [n]}}) for n, text in enumerate(SOURCES)]
    Path("shop.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert sightline("translate", run, "shop.jsonl", "--output", "out.jsonl", "--n-best", 2) == 0
    said = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(one["n"], one["more"], one["translation"]) for one in said] == [
        (n, {"a": [n]}, text) for n, text in enumerate(expected)
    ]
    assert all(len(one["alternatives"]) == 1 for one in said)
    # and of Parquet, with values that JSON has not
    columns = {"source": SOURCES, "day": [date(2026, 1, 1 + n) for n in range(len(SOURCES))]}
    pyarrow.parquet.write_table(pyarrow.table(columns), "shop.parquet")
    assert sightline("translate", run, "shop.parquet", "--output", "days.jsonl") == 0
    said = [json.loads(line) for line in Path("days.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(one["day"], one["translation"]) for one in said] == [
        (f"2026-01-0{1 + n}", text) for n, text in enumerate(expected)
    ]


def test_columns_that_cannot_be_told_are_asked_for(old_run: OldRun, capsys: Any) -> None:
    run = old_run("transformer")
    write_csv("shop.csv", ["id", "beschreibung"], ("1", SOURCES[0]))
    for words, says in (
        (("shop.csv",), "--columns), of: id, beschreibung"),
        (("shop.csv", "--columns", "beschreibng"), 'no column is named "beschreibng"; did you mean "beschreibung"?'),
        (("shop.csv", "--columns", "0,1"), "must name 1 columns"),
        (("shop.csv", "--columns", "7"), "there is no column 7"),
        (("--text", "나는", "--columns", "0"), "a line is a record"),
        (("data/test.ko", "--output", "out.xls"), ".csv, .tsv, .jsonl"),
        (("data/test.ko", "--output", "nowhere/out.csv"), "there is no folder nowhere"),
        (("shop.csv", "--columns", "1", "--output", "shop.csv"), "is what is read"),
        (("--text", "나는", "--attention", "--output", "out.csv"), "leave --attention"),
    ):
        assert sightline("translate", run, *words) == 2, words
        (line,) = [one for one in capsys.readouterr().err.splitlines() if "columns: " not in one or "--" in one]
        assert says in line, line
    assert sightline("translate", run, "shop.csv", "--columns", "beschreibung") == 0
    model: Any = package.load(run)
    assert capsys.readouterr().out == model.translate(SOURCES[0]).text + "\n"


def test_lines_and_standard_input_have_outputs_too(old_run: OldRun, monkeypatch: Any, capsys: Any) -> None:
    run = old_run("transformer")
    text = "".join(f"{one}\n" for one in SOURCES)
    Path("lines.txt").write_text(text, encoding="utf-8")
    assert sightline("translate", run, "lines.txt", "--output", "lines.tsv") == 0
    lines = Path("lines.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t")[:2] == ["source", "translation"]
    assert [line.split("\t")[0] for line in lines[1:]] == list(SOURCES)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert sightline("translate", run, "--output", "stdin.tsv") == 0
    assert Path("stdin.tsv").read_text(encoding="utf-8").splitlines() == lines
    capsys.readouterr()


def test_an_interrupted_output_goes_on(old_run: OldRun, monkeypatch: Any, capsys: Any) -> None:
    run = old_run("tagger")
    monkeypatch.setitem(predict_each.__kwdefaults__, "most", 3)
    write_csv("many.csv", ["text"], *((f"The red dog sees {n} houses",) for n in range(10)))
    words = ("tag", run, "many.csv")
    assert sightline(*words, "--output", "whole.csv") == 0
    written = Output.write
    computed: list[int] = []

    def stopped(self: Output, records: Any) -> None:
        written(self, records)
        computed.append(len(records))
        if sum(computed) >= 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", stopped)
        assert sightline(*words, "--output", "parts.csv") == 130
    assert not Path("parts.csv").exists()
    # what was written after the last record that is known of is no record
    with Path("parts.csv.partial").open("a", encoding="utf-8") as file:
        file.write('"half a rec')
    capsys.readouterr()
    assert sightline(*words, "--output", "parts.csv") == 0
    assert f"{sum(computed)} records are there from before" in capsys.readouterr().err
    assert Path("parts.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert not list(Path().glob("parts.csv.*"))
    # what was made otherwise is not gone on with
    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", stopped)
        assert sightline(*words, "--output", "parts.csv") == 130
    assert sightline(*words, "--precision", "bf16", "--output", "parts.csv") == 0
    assert "from before" not in capsys.readouterr().err
    assert len(rows("parts.csv")) == 10


def test_a_classifier_reads_the_columns_it_learned_from(
    classifiers: dict[str, Path], texts: Path, tmp_path: Path, capsys
):
    run = classifiers["single"]
    model: Any = package.load(run)
    table = (texts / "test.tsv").read_text(encoding="utf-8").splitlines()
    names = table[0].split("\t")
    wanted = [line.split("\t")[names.index("a")] for line in table[1:]]
    assert sightline("classify", run, texts / "test.tsv", "--output", tmp_path / "out.csv") == 0
    assert "columns: a of " in capsys.readouterr().err
    found = rows(str(tmp_path / "out.csv"))
    assert list(found[0])[: len(names)] == names
    assert [one["a"] for one in found] == wanted
    labels = [one.label for one in model.predict(wanted)]
    assert [one["label"] for one in found] == labels
    assert set(json.loads(found[0]["probabilities"])) == set(model.settings.data.labels)
    assert sightline("classify", run, texts / "test.tsv") == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == labels
    # a prediction that is called like one of the table's own columns
    write_csv(str(tmp_path / "own.csv"), ["a", "label"], (wanted[0], "mine"))
    assert sightline("classify", run, tmp_path / "own.csv", "--output", tmp_path / "own.jsonl") == 0
    one = json.loads((tmp_path / "own.jsonl").read_text(encoding="utf-8"))
    assert (one["label"], one["predicted_label"]) == ("mine", labels[0])
    assert sightline("evaluate", run, texts / "test.tsv", "--columns", "b,dog", "--json") == 0
    pairs = classifiers["pair"]
    assert sightline("classify", pairs, texts / "test.tsv", "--output", tmp_path / "pairs.tsv") == 0
    assert "columns: a, b of " in capsys.readouterr().err
    header = (tmp_path / "pairs.tsv").read_text(encoding="utf-8").split("\n")[0].split("\t")
    assert header[: len(names)] == names


@pytest.mark.parametrize(
    ("kind", "verb", "header", "record", "column"),
    [
        ("tagger", "tag", ["id", "text"], ("1", "The red dog sees the house"), "tagged"),
        ("answerer", "answer", ["question", "context"], ("Which animal?", "The red dog sees the house."), "answer"),
        ("bert", "fill", ["id", "text"], ("1", "The red [MASK] sees the house."), "filled"),
        ("gpt", "generate", ["text"], ("The red",), "generated"),
        ("gpt", "score", ["text"], ("The red dog sees the house.",), "perplexity"),
        ("transformer", "score", ["target", "source"], ("The red dog.", SOURCES[0]), "log_probability"),
    ],
)
def test_every_verb_has_an_output(kind: str, verb: str, header, record, column, old_run: OldRun, capsys: Any) -> None:
    run = old_run(kind)
    write_csv("in.csv", header, record, record)
    more = ("--max-tokens", 4, "--seed", 1) if verb == "generate" else ()
    assert sightline(verb, run, "in.csv", "--output", "out.csv", *more) == 0
    found = rows("out.csv")
    assert list(found[0])[: len(header) + 1] == [*header, column] or column in found[0]
    assert [tuple(one[name] for name in header) for one in found] == [record, record]
    assert found[0][column] == found[1][column]
    capsys.readouterr()
    assert sightline(verb, run, "in.csv", *more) == 0
    shown = capsys.readouterr().out
    assert found[0][column].strip()[:5] in shown


def test_a_record_that_the_first_ones_columns_do_not_hold(tmp_path: Path) -> None:
    with Output(tmp_path / "out.csv", None) as output, pytest.raises(Exception, match='record 2 has "b"'):
        output.write([({"a": 1}, {"x": None}), ({"b": 2}, {"x": 3})])


def test_cells_of_any_characters_are_read_back(tmp_path: Path) -> None:
    """A lone carriage return, too, which Python's writer leaves bare unless lines end in one."""
    cells = ["a\rb", "a\nb", 'say "no"', "one, two", " ", "", "\x13\x0b\u2028"]
    file = tmp_path / "t.csv"
    file.write_bytes(table_line(cells, tabs=False).encode() * 2)
    with file.open(encoding="utf-8", newline="") as lines:
        assert list(csv.reader(lines)) == [cells, cells]
    assert table_line(["a\tb", "c\r\nd"], tabs=True) == "a b\tc d\n"
