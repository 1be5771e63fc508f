"""Tables: TSV and CSV, their separators and quotes, and a first line that names the columns."""

from __future__ import annotations

import gzip
import json
import tomllib
from pathlib import Path

import pytest

from sightline.data.documents import TextSource, encode_text, read_pieces
from sightline.data.labelled import LabelledSource, read_labelled, suggest_columns
from sightline.data.pairs import PairSource, encode_pairs, read_pairs
from sightline.data.questions import QuestionSource, read_questions
from sightline.data.records import read_records
from sightline.data.sentences import SentenceSource
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, UsageError
from sightline.tasks.classification.examples import find_labels
from sightline.tasks.classification.settings import ClassificationSettings
from support.commands import sightline

REVIEWS = [("good film", "pos"), ("bad film", "neg"), ("fine", "pos"), ("dull", "neg")]


def write(path: Path, *rows: tuple[str, ...], separator: str = "\t") -> str:
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def labelled(path: str, **options: bool) -> list[tuple[tuple[str, ...], str]]:
    return list(read_labelled(LabelledSource(source=path, texts=(0,), label=1, **options)))


@pytest.mark.parametrize(
    "header", [("text", "label"), ("review", "sentiment"), ("utterance_1", "Class"), ("문장", "감정")]
)
def test_a_header_is_no_class(tmp_path: Path, header: tuple[str, str]) -> None:
    path = write(tmp_path / "x.tsv", header, *REVIEWS)
    assert labelled(path) == [((text,), label) for text, label in REVIEWS]
    (line,) = LabelledSource(source=path, texts=(0,), label=1).notices()
    assert line == f"{path}:1: columns: {', '.join(header)} (taken as their names, not as a record)"
    assert len(labelled(path, header=False)) == 5


def test_a_header_of_numbers_is_no_number(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", ("what was said of the film", "how good it is"), ("good", "4.5"), ("bad", "1"))
    assert [label for _, label in labelled(path)] == ["4.5", "1"]


def test_a_first_record_stays_one(tmp_path: Path) -> None:
    for rows in (REVIEWS, [("text", "pos"), *REVIEWS], [("a label", "label"), *REVIEWS, ("x", "label")], REVIEWS[:1]):
        path = write(tmp_path / "x.tsv", *rows)
        assert len(labelled(path)) == len(rows)
        assert LabelledSource(source=path, texts=(0,), label=1).notices() == []
    numbers = [("a", "1"), ("b", "2"), ("c", "3")]
    assert len(labelled(write(tmp_path / "x.tsv", *numbers))) == 3


def test_a_first_line_that_only_its_owner_can_tell_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", ("A longer text. Of two sentences.", "gut"), *REVIEWS * 3)
    with pytest.raises(DataError, match=r'x\.tsv:1: no other row has the label "gut"; say header = true'):
        labelled(path)
    assert len(labelled(path, header=True)) == 12
    assert len(labelled(path, header=False)) == 13


def test_a_header_is_no_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", ("ko", "en"), ("나", "I"), ("너", "you"))
    source = PairSource(source=path)
    assert list(read_pairs(source)) == [("나", "I"), ("너", "you")]
    assert next(iter(read_pairs(PairSource(source=path, header=False)))) == ("ko", "en")
    tokenizer = Tokenizer.train(["a"], kind="byte")
    said: list[str] = []
    encoded = encode_pairs(
        [source], tokenizer, tokenizer, max_source_tokens=9, max_target_tokens=9, cache_dir=tmp_path, report=said.append
    )
    assert len(encoded) == 2
    assert said == [f"{path}:1: columns: ko, en (taken as their names, not as a record)"]
    assert list(read_pairs(PairSource(source=write(tmp_path / "y.tsv", ("ko", "Knockout"), ("나", "I"))))) == [
        ("ko", "Knockout"),
        ("나", "I"),
    ]
    text = TextSource(source=path, column=1)
    assert [one for one, _ in read_pieces(text)] == ["I", "you"]
    assert list(SentenceSource(source=path, column=1).read_documents()) == [["I"], ["you"]]
    encode_text([text], tokenizer, cache_dir=tmp_path, report=said.append)
    assert len(said) == 2


def test_named_columns_need_their_line(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", ("ko", "en"), ("나", "I"))
    with pytest.raises(UsageError, match="header = false says that the first line is a record"):
        list(read_pairs(PairSource(source=path, source_column="ko", target_column="en", header=False)))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "X.CSV.gz"
    rows = ['"text"', "label"], ['"say ""no"", twice;\tor\nmore"', "pos"], ["plain", "neg"], [""], ["end", "pos"]
    path.write_bytes(gzip.compress("\r\n".join(separator.join(row) for row in rows).encode()))
    assert list(read_records(path, (0, 1), label=1)) == [
        (2, ('say "no", twice;\tor\nmore', "pos")),
        (4, ("plain", "neg")),
        (5, ("", "")),
        (6, ("end", "pos")),
    ]
    assert next(iter(read_records(path, ("label", 0)))) == (2, ("pos", 'say "no", twice;\tor\nmore'))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('a,b\n"never closed,b\n' + "x,y\n" * 50_000, "x.csv:2: not CSV"),
        ('a,b\n"x"y,z\n', "x.csv:2: not CSV"),
        ("a,b\nx\n", "x.csv:2: 1 comma-separated columns"),
        ("a,b\nx\0,y\n", "x.csv:2: NUL"),
    ],
)
def test_csv_that_is_none_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as error:
        list(read_records(path, (0, 1), header=False))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_columns_of_a_table_are_suggested_by_their_names(tmp_path: Path) -> None:
    csv = write(tmp_path / "x.csv", ("label", "id", "text"), ("pos", "1", "good"), ("neg", "2", "bad"), separator=",")
    assert suggest_columns(csv) == {"texts": ["text"], "label": "label"}
    assert suggest_columns(write(tmp_path / "x.tsv", *REVIEWS)) == {"texts": [0], "label": 1}
    assert suggest_columns(str(tmp_path / "absent.jsonl")) == {"texts": ["text"], "label": "label"}
    assert suggest_columns(str(tmp_path / "absent.tsv")) == {"texts": [0], "label": 1}


def test_a_csv_with_a_header_is_configured_and_learned_from(tmp_path: Path) -> None:
    rows = [(label, f'"{text}, indeed"') for text, label in REVIEWS * 3]
    csv = write(tmp_path / "x.csv", ("label", "text"), *rows, separator=",")
    assert sightline("init", f"{tmp_path}/x.toml", "--source", csv, "--task", "classification") == 0
    small = ["model.d_model=8", "model.num_layers=1", "model.num_heads=1", "model.d_ff=8", "training.max_updates=1"]
    small += ["tokenizer.kind=char", "training.warmup=1"]
    assert sightline("train", f"{tmp_path}/x.toml", *small, "--run", f"{tmp_path}/run") == 0
    config = (tmp_path / "run" / "config.toml").read_text(encoding="utf-8")
    assert '"neg",\n    "pos",\n]' in config


def test_the_look_at_data_says_what_it_took_for_a_header_and_which_columns_to_set(tmp_path: Path, capsys) -> None:
    path = write(tmp_path / "x.tsv", ("ko", "en"), ("나", "I"), ("너", "you"))
    assert sightline("data", "check", path, "--columns", "1,0") == 0
    out, err = capsys.readouterr()
    assert out.startswith("train: 2 pairs\n")
    assert f"{path}:1: columns: ko, en (taken as their names, not as a record)" in err
    assert "--columns 1,0" in err
    assert sightline("data", "check", path, "--columns", "en,ko") == 0
    assert "--columns en,ko" in capsys.readouterr().err
    assert sightline("data", "check", path, path, "--columns", "1,0") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "columns are for one file that holds both sides" in line


@pytest.mark.parametrize(
    ("task", "columns", "expected"),
    [
        ("translation", "ko,en", {"source_column": "ko", "target_column": "en"}),
        ("translation", "1,0", {"source_column": 1, "target_column": 0}),
        ("language", "en", {"column": "en"}),
        ("masked_language", "en", {"column": "en"}),
        ("classification", "en,ko", {"texts": ["en"], "label": "ko"}),
        ("tagging", "1,0", {"columns": [1, 0]}),
    ],
)
def test_columns_are_named_to_init(task: str, columns: str, expected: dict[str, object], tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", ("ko", "en"), ("나", "I"), ("너", "you"))
    words = ["--source", path, "--task", task, "--columns", columns]
    assert sightline("init", tmp_path / "x.toml", *words) == 0
    written = tomllib.loads((tmp_path / "x.toml").read_text(encoding="utf-8"))
    validation = written["data"]["validation"]
    for files in (written["data"]["train"][0], validation[0] if isinstance(validation, list) else validation):
        assert expected.items() <= files.items()


@pytest.mark.parametrize(
    ("task", "columns", "says"),
    [
        ("translation", "ko", "name 2, for source_column and target_column"),
        ("translation", "ko,", "joined by commas"),
        ("classification", "ko", "that of the text, then that of the label"),
        ("tagging", "ko", "columns"),
        ("image_classification", "0,1", "have no columns"),
    ],
)
def test_columns_that_init_cannot_take(task: str, columns: str, says: str, tmp_path: Path, capsys) -> None:
    path = write(tmp_path / "x.tsv", ("ko", "en"), ("나", "I"))
    assert sightline("init", tmp_path / "x.toml", "--source", path, "--task", task, "--columns", columns) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (tmp_path / "x.toml").exists()


def test_a_column_of_text_is_not_taken_for_classes(tmp_path: Path) -> None:
    settings = ClassificationSettings.model_validate(
        {"data": {"train": [{"source": write(tmp_path / "x.tsv", *[(f"text {n}", f"a{n}") for n in range(30)]),
                             "texts": [0], "label": 1}]}}
    )  # fmt: skip
    with pytest.raises(DataError, match="30 different labels in 30 records; column 1 looks like text"):
        find_labels(settings)


def test_a_cell_may_be_a_document_and_not_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    write(path, ("a" * 200_000, "pos"), ("b", "neg"), separator=",")
    assert [len(text) for (text,), _ in labelled(str(path), header=False)] == [200_000, 1]
    monkeypatch.setattr("sightline.data.delimited.MAX_LINE_BYTES", 1000)
    with pytest.raises(DataError, match=r"x\.csv:1: a cell of more than 1,000 characters"):
        labelled(str(path), header=False)


def test_one_json_value_may_be_one_line_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SQuAD 2.0's training file is, of 42 MB."""
    monkeypatch.setattr("sightline.data.text.MAX_LINE_BYTES", 1000)
    context = "x" * 100_000
    question = {"question": "what?", "answers": [{"text": "x", "answer_start": 0}]}
    squad, rows = tmp_path / "squad.json", tmp_path / "rows.json"
    squad.write_text(
        json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [question]}]}]}), encoding="utf-8"
    )
    (found,) = read_questions(QuestionSource(source=str(squad)))
    assert found.context == context
    rows.write_text(json.dumps([{"text": context, "label": "a"}]), encoding="utf-8")
    assert list(read_records(rows, ["text", "label"])) == [(1, (context, "a"))]
    monkeypatch.setattr("sightline.data.json_records.MAX_JSON_BYTES", 1000)
    for path in (squad, rows):
        with pytest.raises(DataError, match=r"more than 1,000 bytes in one value"):
            list(read_records(path, ["text"])) if path == rows else list(
                read_questions(QuestionSource(source=str(path)))
            )
