"""Attention as text and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from sightline.errors import UsageError
from sightline.sight.drawings import timeline_picture
from sightline.sight.pictures import MARKERS, attention_picture, curves_picture
from sightline.sight.reading import Side
from sightline.sight.terminal import attention_text, numbers_text
from sightline.tasks.translation.results import Attention


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
    for name in ("one.svg", "two.svg", "one.png", "one.pdf", "two.pdf", "loud.PDF"):
        attention_picture(np.eye(3), ["나는", "간다", "</s>"], ["I", "go", "</s>"], tmp_path / name, "title")
    for kind in (".svg", ".pdf"):
        assert (tmp_path / f"one{kind}").read_bytes() == (tmp_path / f"two{kind}").read_bytes()
    assert (tmp_path / "loud.PDF").read_bytes() == (tmp_path / "one.pdf").read_bytes()
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
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


def test_faint_attention_is_shaded_to_its_largest_weight() -> None:
    text = attention_text(np.array([[0.05, 0.1], [0.1, 0.0]]), ["a", "b"], ["x", "y"])
    assert text.splitlines()[1:] == ["x  ▒▒ ██", "y  ██", "(█ is 0.1)"]
    assert "is" not in attention_text(np.eye(2), ["a", "b"], ["x", "y"])


def test_wide_tables_and_matrices_go_on_below() -> None:
    names = [str(number) for number in range(20)]
    values = np.arange(40.0).reshape(2, 20)
    blocks = [block.splitlines() for block in numbers_text(values, names, ["열", "x"], width=40).split("\n\n")]
    assert max(cell_len(line) for block in blocks for line in block) <= 40
    assert [name for head, *_ in blocks for name in head.split()] == names
    for row in (0, 1):
        printed = [float(value) for block in blocks for value in block[1 + row].split()[1:]]
        assert printed == values[row].tolist()
    assert len(numbers_text(values, names, ["열", "x"]).splitlines()) == 3
    # at least one column a block, however narrow
    assert len(numbers_text(values, names, ["열", "x"], width=5).split("\n\n")) == 20
    blocks = [block.splitlines() for block in attention_text(np.eye(20), names, names, width=30).split("\n\n")]
    assert max(cell_len(line) for block in blocks for line in block) <= 30
    rows = zip(*(block[-20:] for block in blocks), strict=True)
    assert ["".join(parts).count("█") for parts in rows] == [2] * 20


def test_colours_are_explained_and_legends_cover_nothing(tmp_path: Path, drawn: list[Any]) -> None:
    attention_picture(np.full((3, 3), 1 / 3), list("abc"), list("xyz"), tmp_path / "x.svg")
    attention_picture(np.eye(3), list("abc"), list("xyz"), tmp_path / "x.svg", bar=False)
    matrix, plain = drawn
    (panel, bar), (_,) = matrix.axes, plain.axes
    assert bar.get_ylabel() == "attention weight"
    # weights that are all alike are as dark as the scale goes, and the scale says how much that is
    assert panel.images[0].get_clim() == (0, pytest.approx(1 / 3))
    assert plain.axes[0].images[0].get_clim() == (0, 1)
    drawn.clear()
    lines = {f"decoder.layers.{number}.update_gate": np.linspace(0, 1, 6) for number in range(7)}
    timeline_picture(lines, list("abcdef"), tmp_path / "x.svg", ylabel="open")
    curves_picture({name: line.tolist() for name, line in lines.items()}, list("abcdef"), tmp_path / "x.svg",
                   xlabel="words", ylabel="BLEU")  # fmt: skip
    for figure in drawn:
        figure.draw_without_rendering()
        (legend,) = figure.legends
        assert len(legend.get_texts()) == 7
        assert not legend.get_window_extent().overlaps(figure.axes[0].get_window_extent())
        assert figure.axes[0].get_legend() is None


def test_no_curve_is_dropped(tmp_path: Path) -> None:
    names = [f"curve {number}." for number in range(len(MARKERS) + 1)]
    curves_picture({name: [0.0, 1.0] for name in names}, "ab", tmp_path / "curves.svg", xlabel="x", ylabel="y")
    drawn = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert all(name in drawn for name in names)
