"""Confusions and reliability as pictures in the page of a report, and what is said of them to who cannot see them."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from sklearn.metrics import confusion_matrix

from sightline.predict.metrics import calibration_error
from sightline.runs.evaluation_report import page
from sightline.sight.scores import confusion_picture
from sightline.tasks.breakdowns import class_details
from sightline.tasks.details import Breakdown
from sightline.tasks.report import Figures


def test_the_page_draws_confusions_and_reliability_and_says_what_is_seen(drawn: list[Any]) -> None:
    random = np.random.default_rng(4)
    probabilities_NC = random.dirichlet(np.ones(4) / 2, 300)
    true_N = np.where(random.random(300) < 0.5, probabilities_NC.argmax(1), random.integers(0, 4, 300))
    names = ["a", "b", "$x$", "</svg><script>"]
    details = class_details("records", [""] * 300, names, true_N, probabilities_NC)
    figures = Figures("set", 300, "records", {}, 1.0, {}, details=details)
    html = page("runs/x", [figures])
    assert "<script" not in html
    told_N = probabilities_NC.argmax(1)
    matrix = confusion_matrix(true_N, told_N)
    shares = 100 * matrix / matrix.sum(1, keepdims=True)
    seen = [unescape(one) for one in re.findall(r'<figure role="img" aria-label="([^"]*)"><svg', html)]
    assert [one.split(":")[0] for one in seen] == [
        "confusion matrix of the records, a row a label", "reliability diagram of 300 records"]  # fmt: skip
    wrong = matrix[0].copy()
    wrong[0] = 0
    assert f"a {shares[0, 0]:.0f} % right, {100 * wrong.max() / matrix[0].sum():.0f} % told " in seen[0]
    error = f"{calibration_error(probabilities_NC, true_N):.1f} %"
    assert f"expected calibration error {error}" in seen[1]
    confusions, reliability = drawn
    np.testing.assert_allclose(confusions.axes[0].images[0].get_array(), shares)
    assert [one.get_text() for one in confusions.axes[0].texts] == [f"{one:.0f}" for one in shares.ravel() if one]
    above, below = reliability.axes
    assert error in above.texts[0].get_text()
    rows = next(one.rows for one in details if isinstance(one, Breakdown) and one.name == "reliability")
    assert [bar.get_height() for bar in above.patches] == [row[3] for row in rows]
    assert [bar.get_height() for bar in below.patches] == [row[1] for row in rows]
    assert [bar.get_x() for bar in below.patches] == pytest.approx([100 * float(row[0][:4]) for row in rows], abs=0.5)
    # a phone is 360 wide, of which a page leaves 310: nothing is shrunk by much
    assert all(figure.get_figwidth() * 96 < 1.1 * 310 for figure in drawn)
    for figure in drawn:
        figure.draw_without_rendering()
        box = figure.bbox
        for text in figure.findobj(Text):
            if text.get_text():
                assert box.x0 - 1 <= text.get_window_extent().x0
                assert text.get_window_extent().x1 <= box.x1 + 1


def test_labels_that_no_record_has_are_drawn_empty_and_little_is_not_nothing(tmp_path: Path, drawn: list[Any]) -> None:
    confusion_picture(np.array([[999, 1, 0], [0, 0, 0], [1, 1, 0]]), ["a" * 40, "b", "c"], tmp_path / "x.svg")
    (figure,) = drawn
    assert [one.get_text() for one in figure.axes[0].texts] == ["100", "<1", "50", "50"]
    assert [one.get_text() for one in figure.axes[0].get_yticklabels()] == ["aaaaaaaaaaa… (1,000)", "b (0)", "c (2)"]
