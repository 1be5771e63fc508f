"""Splits by content: nothing straddles, classes have their shares, and what identifies data counts them."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from sightline.data.documents import TextSource, read_pieces
from sightline.data.images import ImageSource, read_images
from sightline.data.labelled import LabelledSource, read_labelled
from sightline.data.pairs import PairSource, read_pairs
from sightline.data.questions import QuestionSource, read_questions
from sightline.data.sentences import SentenceSource
from sightline.data.splits import place, stratify
from sightline.data.tagged import TaggedSource, read_tagged
from sightline.errors import DataError

SIDES = ((0.0, 0.8), (0.8, 0.9), (0.9, 1.0))


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_place_is_that_of_the_words_alone() -> None:
    assert place("Red  dog") == place(" red dog\t") != place("red dogs")
    places = [place(str(number)) for number in range(4000)]
    assert min(places) >= 0
    assert max(places) < 1
    assert sum(number < 0.1 for number in places) == pytest.approx(400, abs=60)


def test_pairs_of_one_source_are_on_one_side(tmp_path: Path) -> None:
    rows = [f"red dog {n}\ttarget {n}" for n in range(500)] + [f"Red  dog {n}\tanother {n}" for n in range(500)]
    source = PairSource(source=write(tmp_path / "x.tsv", "\n".join(rows) + "\n"))
    sides = [list(read_pairs(source.model_copy(update={"split": side}))) for side in SIDES]
    assert sum(map(len, sides)) == 1000
    assert len(sides[1]) == pytest.approx(100, abs=50)
    words = [{" ".join(one.lower().split()) for one, _ in side} for side in sides]
    assert sum(map(len, words)) == len(set.union(*words)) == 500
    # wherever the records lie
    other = PairSource(source=write(tmp_path / "y.tsv", "\n".join(reversed(rows)) + "\n"), split=SIDES[2])
    assert sorted(read_pairs(other)) == sorted(sides[2])
    assert sides[0] == [one for one in read_pairs(source) if one in set(sides[0])]


def save_forms(folder: Path, columns: dict[str, list[Any]]) -> list[str]:
    """The same records in each form of a table that can hold them."""
    records = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    written = {
        "jsonl": "".join(json.dumps(one) + "\n" for one in records),
        "json": json.dumps(records),
        "csv": "".join(f"{';'.join(map(str, row))}\n" for row in (columns, *(one.values() for one in records))),
        "tsv": "".join("\t".join(map(str, row)) + "\n" for row in (columns, *(one.values() for one in records))),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "x.parquet")
    return [*(write(folder / f"x.{suffix}", text) for suffix, text in written.items()), str(folder / "x.parquet")]


def test_records_are_split_alike_in_every_form_of_file(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(200)]
    tags = [["O", "B-X"]] * 200
    answers = [{"text": [f"{n}"], "answer_start": [5]} for n in range(200)]
    of_pairs = save_forms(tmp_path, {"source": texts, "target": ["y"] * 200})
    pairs = [PairSource(source=path, source_column="source", target_column="target") for path in of_pairs]
    assert_alike([[list(read_pairs(one.model_copy(update={"split": side}))) for side in SIDES] for one in pairs])
    of_labelled = save_forms(tmp_path, {"text": texts, "label": ["a", "b"] * 100})
    labelled = [LabelledSource(source=path, texts=("text",), label="label") for path in of_labelled]
    assert_alike([[list(read_labelled(one.model_copy(update={"split": side}))) for side in SIDES] for one in labelled])
    plain = [TextSource(source=path, column="text") for path in of_labelled]
    assert_alike([[list(read_pieces(one.model_copy(update={"split": side}))) for side in SIDES] for one in plain])
    lists = save_forms(tmp_path, {"tokens": [text.split() for text in texts], "tags": tags})
    tagged = [TaggedSource(source=path) for path in lists if not path.endswith("sv")]
    assert_alike([[list(read_tagged(one.model_copy(update={"split": side}))) for side in SIDES] for one in tagged])
    objects = save_forms(tmp_path, {"question": ["?"] * 200, "context": texts, "answers": answers})
    asked = [QuestionSource(source=path) for path in objects if path.endswith(("jsonl", "parquet"))]
    cells = {"question": ["?"] * 200, "context": texts, "answer": [*map(str, range(200))], "answer_start": [5] * 200}
    (tmp_path / "cells").mkdir()
    asked += [QuestionSource(source=path) for path in save_forms(tmp_path / "cells", cells) if path.endswith("sv")]
    assert_alike([[list(read_questions(one.model_copy(update={"split": side}))) for side in SIDES] for one in asked])


def test_lines_that_are_no_text_are_told_and_the_rest_is_outlined(tmp_path: Path) -> None:
    broken = b"good\tO\n\n\xff\tO\n\nlast\tO\n"
    for name in ("x.tsv", "x.csv", "x.txt"):
        path = tmp_path / name
        path.write_bytes(broken.replace(b"\t", b",") if name == "x.csv" else broken)
        sources = [
            PairSource(source=str(path), header=False),
            LabelledSource(source=str(path), texts=(0,), label=1, header=False),
            TaggedSource(source=str(path)),
            TextSource(source=str(path), column=0, header=False),
            *([TextSource(source=str(path)), SentenceSource(source=str(path))] if name == "x.txt" else []),
        ]
        for source in sources:
            told: list[DataError] = []
            keys = [one.key for one in source.outlines(told.append) if one.key.strip()]
            assert [str(one).split(": ")[:2] for one in told] == [[f"{path}:3", "not UTF-8"]]
            assert [key.split("\t")[0] for key in keys] == ["good", "last"]


def assert_alike(forms: list[list[list[Any]]]) -> None:
    first, *others = forms
    assert sum(map(len, first)) == 200
    assert min(map(len, first)) > 5
    for one in others:
        assert one == first


def test_classes_have_their_shares(tmp_path: Path) -> None:
    labels = ["common"] * 180 + ["rare"] * 20
    rows = [f"text {n}\t{label}" for n, label in enumerate(labels)] + ["text 0\tcommon"] * 3 + ["text 199\tcommon"]
    source = LabelledSource(source=write(tmp_path / "x.tsv", "\n".join(rows) + "\n"), texts=(0,), label=1)
    sides = [list(read_labelled(source.model_copy(update={"split": side}))) for side in SIDES]
    assert sum(map(len, sides)) == 204
    for side, share in zip(sides, (0.8, 0.1, 0.1), strict=True):
        counts = Counter(label for _, label in set(side))
        assert counts["rare"] == pytest.approx(20 * share, abs=1)
        assert counts["common"] == pytest.approx(180 * share, abs=2)
    texts = [{one for one, _ in side} for side in sides]
    assert sum(map(len, texts)) == 200


def test_many_small_classes_lose_none_of_their_sum() -> None:
    places = [place(str(number)) for number in range(300)]
    spread = stratify(places, [str(number % 100) for number in range(300)])
    assert sum(number >= 0.95 for number in spread) == 15
    assert stratify([0.3, 0.3, 0.1], ["b", "a", "b"]) == [0.75, 0.75, 0.25]
    assert stratify([], []) == []


def test_questions_on_one_text_are_on_one_side(tmp_path: Path) -> None:
    rows = [
        json.dumps({"question": f"q{n}", "context": f"context {n % 50}", "answers": {"text": [], "answer_start": []}})
        for n in range(200)
    ]
    source = QuestionSource(source=write(tmp_path / "x.jsonl", "\n".join(rows) + "\n"))
    sides = [{one.context for one in read_questions(source.model_copy(update={"split": side}))} for side in SIDES]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 50


def test_tagged_records_and_documents(tmp_path: Path) -> None:
    text = "".join(f"word{n}\tO\nred\tO\n\n" for n in range(100))
    tagged = TaggedSource(source=write(tmp_path / "x.bio", text))
    found = [list(read_tagged(tagged.model_copy(update={"split": side}))) for side in SIDES]
    assert sum(map(len, found)) == 100
    assert all(found)
    blocks = write(tmp_path / "x.txt", "".join(f"Block {n}. It is short.\nIt ends.\n\n" for n in range(100)))
    whole = TextSource(source=blocks, documents="block")
    pieces = [list(read_pieces(whole.model_copy(update={"split": side}))) for side in SIDES]
    assert sorted(chain(*pieces)) == sorted(read_pieces(whole))
    sentences = SentenceSource(source=blocks, documents="block", sentences="line", split=SIDES[0])
    assert ["\n".join(one) for one in sentences.read_documents()] == [text for text, _ in pieces[0]]
    with pytest.raises(ValueError, match="running text has no documents to split"):
        TextSource(source=blocks, documents="running", split=SIDES[0])


def test_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (100, 8, 8), dtype=np.uint8)
    pixels[50:60] = pixels[0]
    labels = np.arange(100) % 2
    np.savez(tmp_path / "x.npz", images=pixels, labels=labels)
    source = ImageSource(source=str(tmp_path / "x.npz"))
    sides = [read_images(source.model_copy(update={"split": side}), 8, 1, tmp_path / "cache") for side in SIDES]
    assert sum(map(len, sides)) == 100
    seen = [{image.tobytes() for image in side.pixels} for side in sides]
    assert sum(map(len, seen)) == 90
    for side in sides[1:]:
        assert 0 < side.classes.sum() < len(side)


def test_a_split_is_part_of_what_identifies_data(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", "a\tb\n")
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    sources = [
        PairSource(source=path),
        PairSource(source="embedded:ko-en/test"),
        LabelledSource(source=path, texts=(0,), label=1),
        TaggedSource(source=path),
        QuestionSource(source=path),
        TextSource(source=path),
        TextSource(source="embedded:ko-en/test", column="ko"),
        SentenceSource(source=path),
        ImageSource(source=str(tmp_path / "x.npz")),
    ]
    for source in sources:
        ids = [source.content_id(), *(source.model_copy(update={"split": side}).content_id() for side in SIDES)]
        assert len({json.dumps(one) for one in ids}) == 4, source
        assert '"split":' not in json.dumps(ids[0])
    image = sources[-1]
    assert image.model_copy(update={"part": (0.0, 0.5)}).content_id() != image.content_id()


@pytest.mark.parametrize("split", [(0.5, 0.5), (0.9, 0.1), (-0.1, 0.5), (0.5, 1.1)])
def test_fractions_rise(split: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two rising fractions between 0 and 1"):
        PairSource(source="x", split=split)
