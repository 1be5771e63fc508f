"""Tagging: units and tokens, spans in BIO, and that a tagger learns names from their surroundings."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification

import sightline as package
from sightline.cli.common import chunks
from sightline.data.tagged import TaggedSource, align, read_tagged, span_f1, spans, split_words, to_valid_bio, unit_tags
from sightline.data.text import StreamLines
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError
from sightline.models.classifier import BertTokenClassifier, Tuning
from sightline.tasks.tagging.task import Pieces, cut
from support.bert_cases import SIZES, batch_of_tokens, random_of, take
from support.commands import sightline
from support.hf_bert import SHAPE


@pytest.fixture(scope="module")
def pieces() -> Tokenizer:
    """Word pieces that cut "walking" in two, and Korean into syllables and some pairs of them."""
    words = ["walk", "##ing", "home", "서울", "##에", "##서", "경", "##찰", "a"]
    return Tokenizer.train([" ".join(words)], kind="wordpiece", vocab_size=60, min_frequency=1)


def test_records_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("## head\n## id\n경\tB-OG\n \tO\n찰\tI-OG\n\n\t\n\nAnn B-PER\nsang O\n", encoding="utf-8")
    found = list(read_tagged(TaggedSource(source=str(path), comment="##")))
    assert found == [(("경", " ", "찰"), ("B-OG", "O", "I-OG")), (("Ann", "sang"), ("B-PER", "O"))]
    parts = [
        list(read_tagged(TaggedSource(source=str(path), comment="##", part=part))) for part in ((0.0, 0.5), (0.5, 1.0))
    ]
    assert parts == [found[:1], found[1:]]
    with pytest.raises(ValueError, match=r"part .* must be two rising fractions"):
        TaggedSource(source=str(path), part=(0.5, 0.2))
    path.write_text("Ann B-PER\nsang\n")
    with pytest.raises(DataError, match=r"x\.tsv:2: 'sang' is no unit with a tag"):
        list(read_tagged(TaggedSource(source=str(path))))


CONLL = "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n"


def test_columns_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    for separator in (" ", "  ", "\t"):
        path.write_text(CONLL.replace(" ", separator))
        with pytest.raises(DataError, match=r"x\.conll:1: .* has 4 fields; say which .* columns = \[0, 3\]"):
            list(read_tagged(TaggedSource(source=str(path))))
        assert list(read_tagged(TaggedSource(source=str(path), columns=(0, 3)))) == [
            (("EU", "rejects"), ("B-ORG", "O"))
        ]
    assert list(read_tagged(TaggedSource(source=str(path), columns=(1, 2)))) == [(("NNP", "VBZ"), ("B-NP", "B-VP"))]
    with pytest.raises(DataError, match=r"x\.conll:1: .* is no unit with a tag"):
        list(read_tagged(TaggedSource(source=str(path), columns=(0, 4))))
    for columns in ((0, -1), (2, 2)):
        with pytest.raises(ValueError, match="must be two"):
            TaggedSource(source=str(path), columns=columns)
    path.write_text("New York\tB-LC\n")
    assert list(read_tagged(TaggedSource(source=str(path)))) == [(("New York",), ("B-LC",))]


@pytest.mark.parametrize("tag", ["S-PER", "E-PER", "PER_B", "PER", "B-", "b-PER"])
def test_tags_that_are_not_bio(tag: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(f"Ann\tO\nAnn\t{tag}\n")
    with pytest.raises(DataError, match=rf"x\.tsv:2: the tag '{tag}' is not BIO") as error:
        list(read_tagged(TaggedSource(source=str(path))))
    assert ("S- is written B-, and E- is written I-" in str(error.value)) == (tag[:2] in ("S-", "E-"))


@pytest.mark.parametrize(
    ("text", "joined_by", "units"),
    [
        ("Ann  saw\tBob\u3000Lee ", " ", [("Ann", 0), ("saw", 5), ("Bob", 9), ("Lee", 13)]),
        ("", " ", []),
        (" \t ", " ", []),
        ("a b", "", [("a", 0), (" ", 1), ("b", 2)]),
        ("a_b__c d", "_", [("a", 0), ("b", 2), ("c d", 5)]),
    ],
)
def test_words_are_parted_by_white_space_however_much(text: str, joined_by: str, units: list[tuple[str, int]]) -> None:
    assert split_words(text, joined_by) == units
    assert all(text[at : at + len(unit)] == unit for unit, at in units)


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram", "char"])
@pytest.mark.parametrize("joined_by", [" ", ""])
def test_every_unit_has_its_token(kind: str, joined_by: str) -> None:
    text = "the dog 서울에서 walks home, 경찰 said: 12 dogs"
    tokenizer = Tokenizer.train([text] * 3, kind=kind, vocab_size=400, min_frequency=1)
    draw = random.Random(1)
    for _ in range(20):
        units = tuple(draw.choices(text.split(), k=6)) if joined_by else tuple(draw.sample(text, 20))
        aligned = align(units, joined_by, tokenizer)
        whole = joined_by.join(units)
        assert aligned.ids == tokenizer.encode(whole)
        at = 0
        for unit, token in zip(units, aligned.token_of, strict=True):
            if unit.strip():
                start, end = tokenizer.spans(whole)[token]
                assert start <= at + len(unit) - 1
                assert end > at
                before = [end for _, end in tokenizer.spans(whole)[:token]]
                assert not before or max(before) <= at
            at += len(unit) + len(joined_by)
        firsts = aligned.first_units()
        assert all(aligned.token_of[unit] == token for token, unit in enumerate(firsts) if unit >= 0)


def test_tags_of_units_from_those_of_tokens() -> None:
    from sightline.data.tagged import Aligned

    # two characters in the first token, a space, one more
    assert unit_tags(Aligned([5, 6], [0, 0, -1, 1]), ["B-LC", "I-LC"]) == ["B-LC", "I-LC", "I-LC", "I-LC"]
    assert unit_tags(Aligned([5, 6], [0, 0, -1, 1]), ["B-LC", "B-LC"]) == ["B-LC", "I-LC", "O", "B-LC"]
    assert unit_tags(Aligned([5], [0, 1]), ["I-PS"]) == ["I-PS", "O"]  # cut off
    assert unit_tags(Aligned([5, 6], [0, 1]), ["O", "B-PS"]) == ["O", "B-PS"]
    # several units in no token, between two tokens and inside one
    assert unit_tags(Aligned([5, 6], [0, -1, -1, 1]), ["B-LC", "I-LC"]) == ["B-LC", "I-LC", "I-LC", "I-LC"]
    assert unit_tags(Aligned([5], [0, -1, -1, 0]), ["B-LC"]) == ["B-LC", "I-LC", "I-LC", "I-LC"]
    assert unit_tags(Aligned([5, 6], [-1, -1, 0, -1, 1, -1]), ["I-LC", "I-PS"]) == ["O", "O", "I-LC", "O", "I-PS", "O"]


def test_repaired_tags_mark_the_same_spans() -> None:
    draw = random.Random(4)
    for _ in range(200):
        tags = draw.choices(["O", "B-A", "I-A", "B-B", "I-B"], k=draw.randint(0, 9))
        found = to_valid_bio(tags)
        assert spans(found) == spans(tags)
        for before, tag in zip(["O", *found], found, strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:]


def test_a_taggers_tags_are_bio(tagger: Path, monkeypatch) -> None:
    from sightline.tasks.tagging.task import Tagged

    model: Any = package.load(tagger)
    monkeypatch.setattr(
        "sightline.tasks.tagging.predictor.tag", lambda *_: Tagged([["O", "I-LC", "I-AN"]], Pieces([], [], []), [])
    )
    one = model.tag("a b c")
    assert one.tags == ("O", "B-LC", "B-AN")
    assert [span.kind for span in one.spans] == ["LC", "AN"]


def test_spans() -> None:
    assert spans(["B-A", "I-A", "O", "B-A", "B-A", "I-B", "O", "I-C", "I-C"]) == [
        (0, 2, "A"), (3, 4, "A"), (4, 5, "A"), (5, 6, "B"), (7, 9, "C"),
    ]  # fmt: skip
    assert spans([]) == []
    assert spans(["I-A"]) == [(0, 1, "A")]


def test_span_f1_by_hand() -> None:
    gold = [["B-A", "I-A", "O", "B-B"], ["O", "B-A"]]
    found = [["B-A", "I-A", "O", "B-A"], ["B-A", "B-A"]]
    assert span_f1(gold, found) == pytest.approx((50, 200 / 3, 100 * 2 * 0.5 * (2 / 3) / (0.5 + 2 / 3)))
    assert span_f1(gold, gold) == pytest.approx((100, 100, 100))
    assert span_f1([["O"]], [["O"]]) == (0, 0, 0)


def test_logits_are_those_of_transformers() -> None:
    theirs = BertForTokenClassification(BertConfig(**SHAPE, vocab_size=30, num_labels=5))
    found = random_of(theirs)
    ours = BertTokenClassifier(29, SIZES, 5, Tuning.model_validate({}))
    take(ours.body, {**found, **{f"bert.pooler.dense.{part}": torch.zeros_like(ours.body.pooler.get_parameter(part))
                                 for part in ("weight", "bias")}})  # fmt: skip
    with torch.no_grad():
        ours.head.weight.copy_(found["classifier.weight"])
        ours.head.bias.copy_(found["classifier.bias"])  # pyright: ignore
    tokens, real, _ = batch_of_tokens()
    tokens[:, :-1][tokens[:, :-1] == 2] = 3
    with torch.inference_mode():
        expected = theirs(tokens, attention_mask=real.long()).logits
        logits = ours.outputs(ours.read(tokens, real))
    torch.testing.assert_close(logits[real], expected[real], atol=1e-4, rtol=1e-4)


def test_long_records_are_read_in_parts(pieces: Tokenizer) -> None:
    records = [("walking", "home", "a") * 9, ("home",), ("a" * 3,)]
    found = cut(records, " ", pieces, 12)
    assert max(map(len, found.sequences)) <= 12
    for number, record in enumerate(records):
        parts = [units for units, of in zip(found.units, found.record, strict=True) if of == number]
        assert tuple(unit for part in parts for unit in part) == record


def test_a_tagger_learns(tagger: Path, tagged_file: Path, texts: Path, capsys, tmp_path: Path) -> None:
    assert sightline("evaluate", tagger, "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["scores"]["span_f1"] > 85
    model: Any = package.load(tagger)
    one = model.tag("blau ein hund alt  sieht")
    assert one.marked == "blau [ein hund alt:AN]  sieht"
    assert one.spans[0].text == one.text[one.spans[0].start : one.spans[0].end]
    parted = model.tag("blau\tein  hund alt")
    assert parted.units == ("blau", "ein", "hund", "alt")
    assert parted.marked == "blau\t[ein  hund alt:AN]"
    assert model.tag([]) == []
    assert model.tag("") == model.tag([""])[0]
    assert (model.tag(" \t ").units, model.tag(" \t ").spans) == ((), ())
    many = model.tag(["ein haus rot"] + ["blau"] * 50)
    assert many[0] == model.tag("ein haus rot")
    assert sightline("tag", tagger, "--text", "ein haus rot blau") == 0
    assert capsys.readouterr().out == "[ein haus rot:LC] blau\n"
    (tmp_path / "lines").write_text("blau\nein hund rot\n")
    assert sightline("tag", tagger, tmp_path / "lines", "--json") == 0
    assert [len(json.loads(line)["spans"]) for line in capsys.readouterr().out.splitlines()] == [0, 1]
    assert sightline("evaluate", tagger, texts / "val.bio") == 0


def test_lines_of_standard_input_are_told_as_they_come(tagger: Path, classifiers, kinds, monkeypatch, capsys) -> None:
    for verb, run in (("tag", tagger), ("classify", classifiers["single"]), ("translate", kinds["seq2seq"])):

        class Slow:
            """A line once all before it has been told."""

            def __init__(self) -> None:
                self.waiting = [b"ein haus\n", b"ein hund\n", b""]
                self.told = 0
                self.buffer = self

            def read1(self, size: int) -> bytes:
                self.told += len(capsys.readouterr().out.splitlines())
                assert self.told == 3 - len(self.waiting)
                return self.waiting.pop(0)

        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", Slow())
        assert sightline(verb, run, "-") == 0
        assert sightline(verb, run, "file", "--text", "haus") == 2
        assert "--text is instead of a file" in capsys.readouterr().err


def test_lines_that_have_come_are_computed_together() -> None:
    blocks = [b"a\nb\nc", b"d\n", b"\n\n", b"e\nf\ng\nh"]
    lines = StreamLines(SimpleNamespace(read1=lambda size: blocks.pop(0) if blocks else b""), "x")  # pyright: ignore
    assert list(chunks(lines, lines, 3)) == [["a", "b"], ["cd"], ["", ""], ["e", "f", "g"], ["h"]]
    assert list(chunks(iter("abcde"), SimpleNamespace(ready=True), most=2)) == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize(
    ("text", "says"), [("haus\tB-XY\n", 'no training record has the tag "B-XY"'), ("\n\n", "no records")]
)
def test_a_file_that_cannot_be_measured(text: str, says: str, tagger: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "odd.bio").write_text(text)
    assert sightline("evaluate", tagger, tmp_path / "odd.bio") == 1
    assert says in capsys.readouterr().err


def test_tags_that_training_has_not(tagged_file: Path, texts: Path, tmp_path: Path, capsys) -> None:
    (texts / "odd.bio").write_text("haus\tB-XY\n")
    words = ["train", tagged_file, "--run", tmp_path / "run"]
    assert sightline(*words, f"data.validation={{ source = '{texts}/odd.bio' }}") == 1
    assert 'no training record has the tag "B-XY"' in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["full", "lora"])
def test_from_a_pretrained_run(weights: str, bert: Path, tagged_file: Path, tmp_path: Path) -> None:
    text = tagged_file.read_text(encoding="utf-8")
    begin, end = text.index("[tokenizer]"), text.index("[training]")
    (tmp_path / "fine.toml").write_text(text[:begin] + text[end:], encoding="utf-8")
    words = ["train", tmp_path / "fine.toml", "--run", tmp_path / "run", f"pretrained={bert}",
             f"tuning.weights={weights}", "training.max_updates=5"]  # fmt: skip
    assert sightline(*words) == 0
    before, after = package.load(bert), package.load(tmp_path / "run")
    near = (before.model.bert.embedding - after.model.body.embedding).abs().max()  # pyright: ignore
    assert (near == 0) == (weights == "lora")
    assert near < 0.1
