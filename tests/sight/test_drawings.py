"""Attention as text and as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from sightline.errors import UsageError
from sightline.sight.pictures import attention_picture, curves_picture
from sightline.sight.reading import Side
from sightline.sight.terminal import attention_text
from sightline.tasks.translation.predictor import Attention


def test_every_row_stands_under_its_columns_whatever_the_script() -> None:
    text = attention_text(np.eye(2), ["나는", "go"], ["I", "간다"])
    *heads, first, second = text.splitlines()
    assert len(heads) == 2  # as tall as the longest token
    assert heads[0].split() == ["나", "g"]
    assert heads[1].split() == ["는", "o"]
    # a full cell for 1, nothing for 0; margins reckon with wide characters
    assert first == "   I  ██"
    assert second == "간다     ██"
    assert cell_len(second.split("█")[0]) == cell_len(heads[0].split("g")[0])


def test_shades_grow_with_the_weight() -> None:
    (row,) = attention_text(np.array([[0.0, 0.25, 0.5, 0.7, 1.0]]), list("abcde"), ["x"]).splitlines()[1:]
    assert row == "x     ░░ ▒▒ ▓▓ ██"


def test_words_sum_over_what_was_looked_at_and_average_who_looked() -> None:
    weights = np.array([[[0.1, 0.2, 0.7], [0.3, 0.5, 0.2], [0.0, 0.0, 1.0]]])
    source, target = (
        Side(tokens, (0, 0, 1), (word, "</s>"))
        for tokens, word in ((("ha", "us", "</s>"), "haus"), (("ho", "use", "</s>"), "house"))
    )
    looked = Attention(weights, source, target)
    found, source, target = looked.by_word()
    assert (source, target) == (("haus", "</s>"), ("house", "</s>"))
    np.testing.assert_allclose(found, [[(0.3 + 0.8) / 2, (0.7 + 0.2) / 2], [0.0, 1.0]])


def test_pictures_are_reproducible_and_refuse_other_kinds(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg", "one.png"):
        attention_picture(np.eye(3), ["나는", "간다", "</s>"], ["I", "go", "</s>"], tmp_path / name, "title")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "나는" in (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"\.svg, \.png or \.pdf"):
        attention_picture(np.eye(1), ["a"], ["b"], tmp_path / "one.jpg")


def test_very_long_labels_fit(tmp_path: Path) -> None:
    attention_picture(np.eye(2), ["x" * 500, "y"], ["z" * 500, "w"], tmp_path / "long.svg")
    assert "xxx…" in (tmp_path / "long.svg").read_text(encoding="utf-8")


def test_curves(tmp_path: Path) -> None:
    curves_picture(
        {"GRU": [1.0, 2.0], "LSTM": [2.0, 1.0]}, ["1-8", "9+"], tmp_path / "c.svg", xlabel="words", ylabel="BLEU"
    )
    text = (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert all(word in text for word in ("GRU", "LSTM", "1-8", "words", "BLEU"))
