"""What reports say beyond their figures: planted answers, counted by scikit-learn and by hand; shown by every door."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

import sightline as package
from sightline.errors import UsageError
from sightline.predict.metrics import calibration_error, chrf
from sightline.runs.evaluation_report import markdown, page, write_report
from sightline.tasks.breakdowns import class_details
from sightline.tasks.details import Breakdown, Detail
from sightline.tasks.question_answering.spec import _by_length
from sightline.tasks.question_answering.task import Answered
from sightline.tasks.report import Figures, details_of
from sightline.tasks.tagging.spec import _details as tag_details
from sightline.tasks.translation.details import is_copy, is_empty, repeats, translation_details
from sightline.train.metric import Metric, by_name
from support.commands import sightline


def by_names(details: list[Detail]) -> dict[str, dict[str, object]]:
    return {one.name: one.as_dict() for one in details}


def planted(classes: int, count: int, unknown: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(classes)
    logits_NC = random.normal(size=(count, classes)) * 2
    probabilities_NC = np.exp(logits_NC) / np.exp(logits_NC).sum(1, keepdims=True)
    true_N = np.where(random.random(count) < 0.5, probabilities_NC.argmax(1), random.integers(0, classes, count))
    if unknown:
        true_N[:3] = -1
    return true_N, probabilities_NC


@pytest.mark.parametrize("unknown", [False, True])
def test_classes_are_counted_as_scikit_learn_counts_them(unknown: bool) -> None:
    true_N, probabilities_NC = planted(4, 300, unknown)
    told_N = probabilities_NC.argmax(1)
    names = ["a", "b", "c", "d", *["(unknown)"] * unknown]
    numbers = [0, 1, 2, 3, *[-1] * unknown]
    found = by_names(class_details("records", [f"text {i}" for i in range(300)], names[:4], true_N, probabilities_NC))
    scores = precision_recall_fscore_support(true_N, told_N, labels=numbers, zero_division=0.0)
    for number, row in enumerate(found["per_class"]["rows"]):  # type: ignore[arg-type]
        assert row[0] == names[number]
        assert row[1:4] == pytest.approx([100 * one[number] for one in scores[:3]])
        assert row[4] == scores[3][number]
        assert row[5] == (told_N == numbers[number]).sum()
    matrix = confusion_matrix(true_N, told_N, labels=numbers)
    assert found["confusion_matrix"]["columns"] == ["label", *names]
    assert found["confusion_matrix"]["rows"] == [[name, *row] for name, row in zip(names, matrix.tolist(), strict=True)]
    wrong = true_N != told_N
    mistakes = found["confident_mistakes"]["rows"]
    assert [one[3] for one in mistakes] == sorted(probabilities_NC.max(1)[wrong])[::-1][:10]  # type: ignore[union-attr]
    for text, label, prediction, sure in mistakes:  # type: ignore[union-attr]
        number = int(text.split()[1])
        assert (label, prediction) == (names[numbers.index(true_N[number])], names[told_N[number]])
        assert label != prediction
        assert sure == probabilities_NC[number].max()
    assert not {"one_class", "never_predicted"} & set(found)


def test_the_gaps_of_reliability_are_the_calibration_error() -> None:
    true_N, probabilities_NC = planted(5, 400)
    found = by_names(class_details("records", [""] * 400, list("abcde"), true_N, probabilities_NC))
    rows = found["reliability"]["rows"]
    assert sum(count for _, count, _, _ in rows) == 400  # type: ignore[union-attr]
    gap = sum(count * abs(sure - right) for _, count, sure, right in rows) / 400  # type: ignore[union-attr]
    assert gap == pytest.approx(calibration_error(probabilities_NC, true_N))
    # by hand: two of 0.6, one of them right
    two = np.array([[0.6, 0.4], [0.4, 0.6]])
    (row,) = by_names(class_details("records", ["", ""], ["a", "b"], np.array([0, 0]), two))["reliability"]["rows"]  # type: ignore[misc]
    assert row == ["0.53–0.60", 2, pytest.approx(60), 50]


def test_many_classes_have_their_confusions_instead_of_a_matrix() -> None:
    names = [f"class {i}" for i in range(13)]
    told_N = np.array([1, 1, 1, 0, 3, 5])
    true_N = np.array([0, 0, 2, 0, 3, 4])
    details = class_details("records", list("abcdef"), names, true_N, np.eye(13)[told_N])
    found = by_names(details)
    assert "confusion_matrix" not in found
    rows = [["class 0", "class 1", 2, 200 / 3], ["class 2", "class 1", 1, 100], ["class 4", "class 5", 1, 100]]
    assert found["confusions"]["rows"] == [[*one[:3], pytest.approx(one[3])] for one in rows]
    assert {one.name for one in details if one.short} == {"never_predicted"}
    few = class_details("records", list("abcdef"), names[:12], true_N, np.eye(12)[told_N])
    assert {one.name for one in few if one.short} == {"never_predicted", "per_class"}


def test_cautions_of_one_class_and_of_those_never_told() -> None:
    def cautions(true: list[int], told: list[int]) -> dict[str, object]:
        details = class_details("records", [""] * len(true), list("abc"), np.array(true), np.eye(3)[told])
        return {one.name: one.cautions()[0] for one in details if one.cautions()}

    found = cautions([0, 0, 1, 1, 2], [1] * 5)
    assert str(found["one_class"]).startswith('100.0 % of predictions are "b", which 40.0 % of the records are; ')
    assert str(found["never_predicted"]).startswith('never predicted: class "a" (2), "c" (1); ')
    # what the records are themselves is no fault, and what is not there cannot be told
    assert cautions([1] * 20, [1] * 20) == {}
    assert cautions([1] * 20, [1] * 18 + [0, 0]) == {}
    assert list(cautions([0] * 10 + [1] * 90, [1] * 94 + [0] * 6)) == []
    assert list(cautions([0] * 10 + [1] * 90, [1] * 95 + [0] * 5)) == ["one_class"]


def test_spans_by_type_and_tags_where_there_are_no_spans() -> None:
    true = [["B-P", "I-P", "O", "B-L"], ["B-P", "O", "B-T", "O"]]
    told = [["B-P", "I-P", "O", "B-P"], ["B-P", "I-P", "O", "O"]]
    records = [(["x"] * 4, tags) for tags in true]
    found = by_names(tag_details(records, told))
    # P: three told, two there, one of them right
    assert found["per_type"]["rows"] == [
        ["L", 0, 0, 0, 1, 0],
        ["P", pytest.approx(100 / 3), 50, 40, 2, 3],
        ["T", 0, 0, 0, 1, 0],
    ]
    assert str(found["never_predicted"]["caution"]).startswith('never predicted: type "L" (1), "T" (1); ')
    found = by_names(tag_details([(["x", "y"], ["NOUN", "VERB"]), (["z"], ["NOUN"])], [["NOUN", "NOUN"], ["NOUN"]]))
    assert found["per_tag"]["rows"] == [
        ["NOUN", pytest.approx(200 / 3), 100, 80, 2, 3],
        ["VERB", 0, 0, 0, 1, 0],
    ]


def test_answers_by_the_length_of_the_right_one() -> None:
    references = ["the house", "a red dog", "old tree", "", "one two three four five six seven eight nine ten eleven"]
    found = Answered([""] * 5, [1.0, 1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.5, 0.0, 1.0], 0.0)
    # articles are not counted, as they are not compared
    (table,) = _by_length(references, found, "words")
    assert table.as_dict()["rows"] == [
        ["none", 1, 0, 0],
        ["1", 1, 100, 100],
        ["2", 2, 50, 75],
        ["11+", 1, 100, 100],
    ]
    (table,) = _by_length(["서울", "대한 민국"], Answered(["", ""], [1.0, 0.0], [1.0, 0.5], 0.0), "characters")
    assert table.as_dict()["rows"] == [["1–2", 1, 100, 100], ["3–5", 1, 0, 50]]


@pytest.mark.parametrize(
    ("reference", "told", "expected"),
    [
        ("a b c d e", "a b c d e", False),
        ("the end", "the the the end", True),
        ("the end", "the the end", False),
        ("no no no thanks", "no no no thanks", False),
        ("x", "we go to it and we go to it", True),
        ("x", "we go to and we go", False),
        ("we go to it and we go to it", "we go to it so we go to it", False),
        ("a house", "hhhhhhddd", True),
        ("a ship", "Schifffahrt", False),
        ("我们去那里", "我们今天去那里了我们今天去那里了", True),
        ("我们去那里", "我们去那里", False),
        ("x", "", False),
    ],
)
def test_repetitions(reference: str, told: str, expected: bool) -> None:
    assert repeats("", reference, told) is expected


def test_copies_and_empty_translations() -> None:
    assert is_copy("Ein Haus", "a house", "ein  haus")
    assert not is_copy("Paris", "paris", "Paris")
    assert not is_copy("", "a house", "")
    assert is_empty("ein haus", "a house", " ")
    assert not is_empty("", "", "")
    assert not is_empty("ein haus", "a house", "a")


def test_faults_of_translations_and_the_worst() -> None:
    sources = [f"quelle {i}" for i in range(40)]
    references = [f"a good source number {i}" for i in range(40)]
    told = list(references)
    told[3], told[4], told[5], told[6] = "", "", sources[5], "a a a a a source"
    found = by_names(translation_details(sources, references, told))
    assert [row[1:] for row in found["faults"]["rows"]] == [[2, 5.0], [1, 2.5], [1, 2.5]]  # type: ignore[union-attr]
    assert str(found["many_empty"]["caution"]).startswith("2 of 40 translations are empty; ")
    assert not {"many_copies", "many_repetitions"} & set(found)
    assert found["copies"]["rows"] == [["6", sources[5], sources[5]]]
    assert found["repetitions"]["rows"] == [["7", sources[6], told[6]]]
    worst = found["worst"]["rows"]
    assert [row[0] for row in worst[:2]] == ["4", "5"]  # type: ignore[index]
    assert {row[0] for row in worst[:4]} == {"4", "5", "6", "7"}  # type: ignore[index]
    for number, score, source, reference, translation in worst:  # type: ignore[union-attr]
        i = int(number) - 1
        assert (source, reference, translation) == (sources[i], references[i], told[i])
        assert score == pytest.approx(chrf([told[i]], [references[i]]).score)


def report() -> Figures:
    odd = '<script>alert("1")</script> | *x*\nnext'
    details = class_details("records", [odd, "b"], ["yes|no", "<b>"], np.array([1, 1]), np.eye(2)[[0, 0]])
    return Figures("test <set>", 2, "records", {"accuracy": 0.0}, 1.0, by_name([Metric("accuracy", True, "%")]),
                   details=details)  # fmt: skip


def test_a_report_is_a_page_of_its_own_and_markdown(tmp_path: Path) -> None:
    html = page("runs/<x>", [report()])
    HTMLParser().feed(html)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    # drawings name parts of themselves, and nothing of anywhere else
    assert not re.search(r"(src|href)=\"(?!#|data:)|@import|url\((?!#)", html)
    for wanted in ("prefers-color-scheme: dark", "@media print", "width=device-width", "accuracy", "never predicted",
                   "by class of the records", "most confident mistakes"):  # fmt: skip
        assert wanted in html
    text = markdown("runs/<x>", [report()])
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert any("\\<script\\>" in line for line in tables)
    assert all(len(re.findall(r"(?<!\\)\|", line)) >= 3 for line in tables)
    assert not re.search(r"(?<!\\)<", text)
    write_report(tmp_path / "one.HTML", "runs/<x>", [report()])
    assert (tmp_path / "one.HTML").read_text(encoding="utf-8") == html
    for name, message in (("one.pdf", r"a report is .html or .md"), ("no/one.md", r"there is no folder")):
        with pytest.raises(UsageError, match=message):
            write_report(tmp_path / name, "x", [report()])


def test_details_change_no_figures_and_may_be_absent() -> None:
    one = report()
    assert one.as_dict() == {"name": "test <set>", "count": 2, "unit": "records", "scores": {"accuracy": 0.0},
                             "seconds": 1.0}  # fmt: skip
    assert details_of(object()) == ()  # type: ignore[arg-type]
    (table,) = Breakdown("x", "t", ("a", "b"), (("y " * 200, float("nan")), ("z", 1234))).tables()
    assert (len(table.rows[0][0]), table.rows[0][1], table.rows[1][1]) == (200, "–", "1,234")


def test_the_command_line_shows_writes_and_prints_details(trained, tmp_path: Path, capsys) -> None:
    run = trained(["single"])["single"]
    assert sightline("evaluate", run) == 0
    short = capsys.readouterr().out
    assert "by class of" in short
    assert "mean confidence" not in short
    file = tmp_path / "report.md"
    assert sightline("evaluate", run, "--details", "--report", file) == 0
    out, told = capsys.readouterr()
    assert "mean confidence" in out
    assert f"written: {file}" in told
    assert "mean confidence" in file.read_text(encoding="utf-8")
    assert sightline("evaluate", run, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    (own,) = package.evaluate(run)
    assert found["details"] == [one.as_dict() for one in details_of(own)]
    rows = next(one["rows"] for one in found["details"] if one["name"] == "per_class")
    assert sum(row[4] for row in rows) == found["count"]
    assert np.mean([row[3] for row in rows]) == pytest.approx(found["scores"]["macro_f1"])
    assert sightline("evaluate", run, "--report", tmp_path / "report.pdf") == 2
    assert "--report: " in capsys.readouterr().err
