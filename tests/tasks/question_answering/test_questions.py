"""Questions and answers: files, windows, places, scores as SQuAD's and KorQuAD's, and that a BERT learns to answer."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text.squad import squad
from transformers import AutoTokenizer, BertForQuestionAnswering, BertForTokenClassification

import sightline as package
from sightline.data.questions import (
    Question,
    QuestionSource,
    answer_tokens,
    exact_match,
    find_answer,
    normalize_answer,
    overlap_f1,
    read_questions,
    windows,
)
from sightline.data.tagged import to_valid_bio
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError
from sightline.tasks.question_answering.settings import QuestionSettings
from sightline.tasks.question_answering.spans import (
    Found,
    Inputs,
    answerable,
    answers,
    inputs_of,
    span_loss,
    targets_of,
)
from support.bert_cases import SIZES
from support.commands import sightline
from support.hf_bert import SHAPE, theirs


def settings(**data: Any) -> QuestionSettings:
    return QuestionSettings.model_validate({"data": {"train": [], "max_tokens": 20, **data}, "model": SIZES})


def test_both_layouts(tmp_path: Path) -> None:
    record = {"question": "who?", "answers": [{"text": "Ann", "answer_start": 0}, {"text": "Ann B", "answer_start": 0}]}
    nobody = {"question": "when?", "answers": [], "is_impossible": True}
    whole = {"data": [{"paragraphs": [{"context": "Ann B sang", "qas": [record, nobody]}]}]}
    expected = [
        Question("who?", "Ann B sang", (("Ann", 0), ("Ann B", 0))),
        Question("when?", "Ann B sang", ()),
    ]
    path = tmp_path / "x.json"
    for indent in (None, 2):
        path.write_text(json.dumps(whole, indent=indent))
        assert list(read_questions(QuestionSource(source=str(path)))) == expected
    assert expected[1].texts == ("",)
    line = {"question": "who?", "context": "Ann B sang", "answers": {"text": ["Ann", "Ann B"], "answer_start": [0, 0]}}
    path.write_text(
        "\n \n" + json.dumps(line) + "\n\n" + json.dumps({**line, "question": "when?", "answers": {}}) + "\n"
    )
    assert list(read_questions(QuestionSource(source=str(path)))) == expected
    path.write_text(json.dumps(line) + "\n" + json.dumps({**line, "answers": {"text": ["Ann"]}}) + "\n")
    with pytest.raises(DataError, match=r"x\.json:2: not a question with its answers"):
        list(read_questions(QuestionSource(source=str(path))))
    path.write_text(json.dumps({**line, "context": None}))
    with pytest.raises(DataError, match=r"x\.json:1: question, context and answers must be strings"):
        list(read_questions(QuestionSource(source=str(path))))
    for text, says in (('{"data": []}', "no questions"), ('{"data": [{}]}', "not SQuAD's layout"), ("[1]", "not a")):
        path.write_text(text)
        with pytest.raises(DataError, match=says):
            list(read_questions(QuestionSource(source=str(path))))


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 30))
def test_windows_cover_a_text(length: int, room: int, step: int) -> None:
    found = windows(length, room, step)
    assert {token for low, high in found for token in range(low, high)} == set(range(length))
    assert all(high - low <= room for low, high in found)
    assert len(found) == 1 or all(other[0] - one[0] == min(step, room) for one, other in pairwise(found))
    assert len(found) == 1 or found[-2][1] < length


def test_places() -> None:
    assert find_answer("ab ab ab", "ab", 3) == 3
    assert find_answer("ab ab ab", "ab", 4) == 3
    assert find_answer("ab ab ab", "ab", 5) == 6
    assert find_answer("ab", "ab", 90) == 0
    assert find_answer("ab", "abc", 0) is None
    spans = [(0, 2), (2, 3), (4, 6), (6, 6)]
    assert answer_tokens(spans, 0, 3) == (0, 1)
    assert answer_tokens(spans, 1, 5) == (0, 2)
    assert answer_tokens(spans, 3, 4) is None


def test_scores_by_hand() -> None:
    assert normalize_answer("The  Cat's, an hour!", "words") == "cats hour"
    assert normalize_answer("《서울》 에서.", "characters") == "서울 에서"
    assert not exact_match("1990년 5월", ["1990년5월"], "characters")
    assert exact_match("$5", ["5"], "characters")
    assert not exact_match("서울·부산", ["서울부산"], "characters")
    assert overlap_f1("1990년 5월", ["1990년5월"], "characters") == 1
    assert exact_match("the cat.", ["a dog", "Cat"])
    assert not exact_match("", ["cat"])
    assert exact_match("", [""])
    assert overlap_f1("red cat", ["cat", "the red dog sat"]) == pytest.approx(2 / 3)
    assert overlap_f1("cat cat", ["cat"]) == pytest.approx(2 / 3)
    assert overlap_f1("", [""]) == 1
    assert overlap_f1("", ["cat"]) == 0
    assert overlap_f1("서울에", ["서울"], "characters") == pytest.approx(4 / 5)


def test_scores_are_torchmetrics() -> None:
    cases = [("the red cat", ["a red cat", "cats"]), ("it's 3.5", ["its 35"]), ("nothing", ["of this"]), ("", ["x"])]
    for told, right in cases:
        found = squad(
            [{"prediction_text": told, "id": "1"}],
            [{"answers": {"answer_start": [0] * len(right), "text": right}, "id": "1"}],
        )
        assert 100 * exact_match(told, right) == float(found["exact_match"])
        assert 100 * overlap_f1(told, right) == pytest.approx(float(found["f1"]))


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_answers_lie_in_their_inputs(kind: str) -> None:
    """What the targets point at is the answer, in some window of each text, and nowhere where it is not there."""
    context = "the dog walks home, 서울에서 12 cats sing and the dog sees them all day long" + ", the dog" * 9
    tokenizer = Tokenizer.train([context] * 3, kind=kind, vocab_size=300, min_frequency=1)
    asked = [Question("dog?", context, ((text, context.index(text)),)) for text in ("walks home", "서울", "day long")]
    asked += [Question("none?", context, ()), Question("lost?", context, (("tiger", 3),))]
    one = settings(max_tokens=24, step=5)
    inputs = inputs_of(one, tokenizer, ((each.question, each.context) for each in asked))
    targets, usable = targets_of(inputs, asked)
    assert max(map(len, inputs.sequences)) <= 24
    for number, question in enumerate(asked):
        rows = [row for row, of in enumerate(inputs.question) if of == number]
        assert len(rows) > 1
        assert all(usable[row] == (question.question != "lost?") for row in rows)
        pointed = [targets[row] for row in rows if targets[row].any()]
        assert bool(pointed) == (question.question == "dog?")
        for row in rows:
            if targets[row].any():
                ids = inputs.sequences[row][targets[row][0] : targets[row][1] + 1]
                assert question.texts[0].replace(" ", "") in tokenizer.decode(ids).replace(" ", "")


def test_the_best_span_by_brute_force() -> None:
    torch.manual_seed(0)
    context = " ".join(f"w{number}" for number in range(40))
    tokenizer = Tokenizer.train([context], kind="word", vocab_size=100, min_frequency=1)
    for unanswerable, threshold in ((False, 0.0), (True, 0.0), (True, -3.0)):
        one = settings(max_tokens=20, step=7, max_answer=4, unanswerable=unanswerable, threshold=threshold)
        inputs = inputs_of(one, tokenizer, [("w1", context), ("w2 w3", "w5 w6"), ("w1", "")])
        logits = [torch.randn(len(ids), 2) for ids in inputs.sequences]
        for number, found in enumerate(answers(one, inputs, logits)):
            spans, none = {}, []
            for row, of in enumerate(inputs.question):
                if of == number:
                    none.append(float(logits[row][0].sum()))
                    low, high = inputs.windows[row]
                    for i in range(low, high):
                        for j in range(i, min(i + 4, high)):
                            at = inputs.offset[row] - low
                            value = float(logits[row][at + i, 0] + logits[row][at + j, 1])
                            place = (inputs.spans[number][i][0], inputs.spans[number][j][1])
                            spans[place] = max(value, spans.get(place, -torch.inf))
            best = max(((value, *place) for place, value in spans.items()), default=(-torch.inf, 0, 0))
            # every span once, however many windows it stands in
            everything = torch.tensor([*spans.values(), *[min(none)] * unanswerable])
            if unanswerable and best[0] <= min(none) + threshold:
                best = (min(none), 0, 0)
            if not len(everything):
                assert found.probability == 1
                continue
            assert (found.start, found.end) == best[1:]
            assert found.probability == pytest.approx(float((best[0] - everything.logsumexp(0)).exp()), abs=1e-5)


def one_by_one(one: QuestionSettings, inputs: Inputs, number: int, logits: list[torch.Tensor]) -> Found:
    """The answer found by a table of all spans."""
    rows = [row for row, of in enumerate(inputs.question) if of == number]
    nowhere = min((float(logits[row][0].sum()), row) for row in rows)
    spans, best = {}, (-math.inf, rows[0], 0, 0)
    for row in rows:
        low, high = inputs.windows[row]
        sums = logits[row][inputs.offset[row] : -1, :1] + logits[row][inputs.offset[row] : -1, 1]
        for first in range(high - low):
            for last in range(first, min(first + one.data.max_answer, high - low)):
                value, place = float(sums[first, last]), (low + first, low + last)
                spans[place] = max(value, spans.get(place, -math.inf))
                best = max(best, (value, row, *place), key=lambda found: found[0])
    values = [*spans.values(), *[nowhere[0]] * one.data.unanswerable]
    total = float(torch.tensor(values, dtype=torch.float64).logsumexp(0)) if values else 0.0
    if one.data.unanswerable and best[0] <= nowhere[0] + one.data.threshold:
        return Found(0, 0, math.exp(nowhere[0] - total), nowhere[1])
    if not values:
        return Found(0, 0, 1.0, rows[0])
    value, row, first, last = best
    shift, places = inputs.offset[row] - inputs.windows[row][0], inputs.spans[number]
    return Found(places[first][0], places[last][1], math.exp(value - total), row, (first + shift, last + shift))


@pytest.mark.parametrize("max_answer", [1, 4, 30])
@pytest.mark.parametrize("step", [1, 7, 40])
@pytest.mark.parametrize("ties", [False, True])
def test_answers_are_those_of_a_table_of_all_spans(max_answer: int, step: int, ties: bool) -> None:
    torch.manual_seed(step)
    context = " ".join(f"w{number}" for number in range(60))
    tokenizer = Tokenizer.train([context], kind="word", vocab_size=100, min_frequency=1)
    for threshold in (None, 0.0, -3.0):
        one = settings(max_answer=max_answer, step=step, unanswerable=threshold is not None, threshold=threshold or 0.0)
        inputs = inputs_of(one, tokenizer, [("w1", context), ("w2 w3", "w5 w6"), ("w1", ""), ("w1", context[:70])])
        logits = [torch.randn(len(ids), 2) for ids in inputs.sequences]
        logits = [found.round() for found in logits] if ties else logits
        for number, found in enumerate(answers(one, inputs, logits)):
            expected = one_by_one(one, inputs, number, logits)
            assert found.probability == pytest.approx(expected.probability, rel=1e-12)
            assert replace(found, probability=0) == replace(expected, probability=0)


def test_a_long_text_takes_its_length() -> None:
    context = " ".join(f"w{number % 90}" for number in range(20_000))
    tokenizer = Tokenizer.train([context[:1000]], kind="word", vocab_size=100, min_frequency=1)
    data = {"train": [], "max_tokens": 384, "max_answer": 30, "step": 128}
    one = QuestionSettings.model_validate({"data": data, "model": SIZES.model_copy(update={"max_length": 384})})
    inputs = inputs_of(one, tokenizer, [("w1", context)])
    logits = [torch.randn(len(ids), 2) for ids in inputs.sequences]
    start = time.process_time()
    answers(one, inputs, logits)
    assert time.process_time() - start < 3


def test_any_right_answer_that_stands_in_the_text_is_learned() -> None:
    tokenizer = Tokenizer.train(["the dog walks home"], kind="word", vocab_size=100, min_frequency=1)
    asked = [Question("dog?", "the dog walks home", (("tiger", 0), ("dog", 4)))]
    inputs = inputs_of(settings(), tokenizer, [(asked[0].question, asked[0].context)])
    targets, usable = targets_of(inputs, asked)
    assert usable.all()
    assert tokenizer.decode([inputs.sequences[0][int(targets[0][0])]]) == "dog"


def test_loss_is_over_the_text_and_none() -> None:
    torch.manual_seed(0)
    tokens = torch.tensor([[1, 9, 2, 7, 8, 7, 2], [1, 9, 9, 2, 6, 2, 0]])
    real = tokens != 0
    allowed = answerable(tokens, real)
    assert allowed.int().tolist() == [[1, 0, 0, 1, 1, 1, 0], [1, 0, 0, 0, 1, 0, 0]]
    logits, targets = torch.randn(2, 7, 2), torch.tensor([[3, 5], [0, 0]])
    expected = 0.0
    for row in range(2):
        for side in range(2):
            inside = logits[row, :, side][allowed[row]]
            expected += float(inside.logsumexp(0) - logits[row, targets[row, side], side]) / 2
    assert float(span_loss(logits, allowed, targets)) == pytest.approx(expected, abs=1e-5)


def test_a_bert_learns_to_answer(answerer: Path, texts: Path, capsys, tmp_path: Path) -> None:
    capsys.readouterr()
    assert sightline("evaluate", answerer, "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["scores"]["exact_match"] > 80
    assert report["scores"]["f1"] >= report["scores"]["exact_match"]
    model: Any = package.load(answerer)
    context = "red sees a dog blue old a tree old red"
    one, other, none = model.answer(["which animal?", "which place?", "which animal?"], context)[:3]
    assert (one.text, other.text) == ("a dog blue", "a tree old")
    assert context[one.start : one.end] == one.text
    assert none == one
    assert model.answer("which place?", "sees a cat blue").text == ""
    assert model.answer("which place?", "").text == ""
    # a text of many windows
    long = "red sees old " * 30 + "a house blue " + "red old sees " * 30
    assert model.answer("which place?", long).text == "a house blue"
    alone = model.answer("which animal?", context)
    assert alone.probability == pytest.approx(one.probability, abs=1e-5)
    (tmp_path / "text").write_text("red sees\na dog blue\n")
    assert sightline("answer", answerer, tmp_path / "text", "--question", "which animal?", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["text"], found["start"]) == ("a dog blue", 9)
    assert sightline("answer", answerer, "--context", "a tree old", "--question", "which animal?") == 0
    assert capsys.readouterr().out.startswith("(no answer)\t")
    assert sightline("answer", answerer, "--question", "which animal?") == 2
    assert "name one text to answer from" in capsys.readouterr().err
    assert sightline("evaluate", answerer, texts / "val.squad.json") == 0


def test_questions_without_an_answer_must_be_allowed(question_file: Path, tmp_path: Path, capsys) -> None:
    assert sightline("train", question_file, "--run", tmp_path / "run", "data.unanswerable=false") == 1
    assert "no answer; set data.unanswerable = true" in capsys.readouterr().err


def test_from_a_pretrained_run(bert: Path, question_file: Path, tmp_path: Path) -> None:
    text = question_file.read_text(encoding="utf-8")
    begin, end = text.index("[tokenizer]"), text.index("[training]")
    (tmp_path / "fine.toml").write_text(text[:begin] + text[end:], encoding="utf-8")
    words = ["train", tmp_path / "fine.toml", "--run", tmp_path / "run", f"pretrained={bert}",
             "training.max_updates=5"]  # fmt: skip
    assert sightline(*words) == 0
    before, after = package.load(bert), package.load(tmp_path / "run")
    assert (before.model.bert.embedding - after.model.body.embedding).abs().max() < 0.1  # pyright: ignore


def test_an_answerer_comes_and_goes(tmp_path: Path) -> None:
    model = theirs(BertForQuestionAnswering, tmp_path / "theirs")
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    question, context = "the dog?", "Café 중국 long, red dogs the house"
    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    again = BertForQuestionAnswering.from_pretrained(tmp_path / "again").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "again")
    read = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    spans = read.pop("offset_mapping")[0]
    with torch.inference_mode():
        got = again(**read)
    there = read["token_type_ids"][0].bool()
    there[-1] = False
    sums = got.start_logits[0][:, None] + got.end_logits[0]
    sums = sums.masked_fill(~(there[:, None] & there).triu(), -torch.inf)
    first, last = divmod(int(sums.argmax()), len(there))
    found = ours.answer(question, context)
    if float(sums.max()) > float(got.start_logits[0, 0] + got.end_logits[0, 0]):
        assert (found.start, found.end) == (int(spans[first][0]), int(spans[last][1]))
    else:
        assert found.text == ""
    mine, other = dict(again.named_parameters()), dict(model.named_parameters())
    for name in ("qa_outputs.weight", "bert.encoder.layer.1.output.dense.weight"):
        torch.testing.assert_close(mine[name], other[name])
    assert SHAPE["hidden_size"] == ours.settings.model.d_model


def test_a_tagger_comes_and_goes(tmp_path: Path) -> None:
    tags = {0: "O", 1: "B-AN", 2: "I-AN"}
    model = theirs(BertForTokenClassification, tmp_path / "theirs", num_labels=3, id2label=tags)
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    assert ours.settings.data.tags == tuple(tags.values())
    text = "the red dogs 중국 long"
    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    again = BertForTokenClassification.from_pretrained(tmp_path / "again").eval()
    assert again.config.id2label == tags
    read = AutoTokenizer.from_pretrained(tmp_path / "again")(text, return_tensors="pt")
    with torch.inference_mode():
        logits = again(**read).logits[0]
    words = read.word_ids()
    firsts = [words.index(number) for number in range(5)]
    assert list(ours.tag(text).tags) == to_valid_bio([tags[i] for i in logits[firsts].argmax(1).tolist()])
    torch.testing.assert_close(dict(again.named_parameters())["classifier.weight"], model.classifier.weight)


def test_the_probability_of_no_answer_is_not_of_how_many_windows(answerer: Path) -> None:
    model: Any = package.load(answerer)
    short, long = (model.answer("which animal?", "red old sees " * count) for count in (1, 60))
    assert short.text == long.text == ""
    assert long.probability > 0.5 * short.probability


def test_heads_of_another_kind_are_refused(tmp_path: Path, capsys) -> None:
    from transformers import BertForMultipleChoice, BertForSequenceClassification

    cases = {
        "which one must be named": (type("Other", (BertForMultipleChoice,), {}), {}),
        "multi_label": (BertForSequenceClassification, {"problem_type": "multi_label_classification"}),
        "names two outputs alike": (BertForSequenceClassification, {"id2label": {0: "a", 1: "a"}, "num_labels": 2}),
    }
    for number, (says, (kind, more)) in enumerate(cases.items()):
        theirs(kind, tmp_path / str(number), **more)
        capsys.readouterr()
        assert sightline("import", tmp_path / str(number), "--run", tmp_path / "run") == 1, says
        assert says in capsys.readouterr().err


def test_half_a_surrogate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"question": "a\ud800", "context": "b", "answers": []}))
    with pytest.raises(DataError, match="half a surrogate"):
        list(read_questions(QuestionSource(source=str(tmp_path / "x.jsonl"))))
