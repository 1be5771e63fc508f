"""Answers by record: their sums give the figures that the evaluation of the whole set gives, of every task."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sightline.runs.evaluation import evaluate_set
from sightline.runs.loading import load
from sightline.tasks.answers import class_scores, pearson
from sightline.train.metric import Metric

RUNS = ("seq2seq", "transformer", "gpt", "recurrent", "window", "ngram", "single", "choice", "similarity", "tagger",
        "answerer", "bert", "vit")  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_the_sums_of_all_records_give_the_figures(name: str, trained) -> None:
    model = load(trained([name])[name])
    files = next(iter(model.settings.data.test.values()), model.settings.data.validation)
    report = evaluate_set(model, "test", files)
    answers = report.answers
    assert answers is not None
    assert len(answers) > 1
    assert len(answers.inputs) == len(answers.references) == len(answers.outputs) == len(answers)
    shown = {label.split(",")[0]: value for label, value, _ in report.rows()}
    for score in answers.scores:
        assert float(shown[score.metric.title].removesuffix(" %")) == pytest.approx(
            score.of(), abs=1.01 * 10.0**-score.metric.digits
        )
    assert answers.by_record().shape == (len(answers),)


def test_f1_of_a_part_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    true, told = random.integers(-1, 4, 50), random.integers(0, 4, 50)
    metrics = Metric("accuracy", True, "%"), Metric("macro_f1", True, "%")
    accuracy, f1 = class_scores(*metrics, true, told)
    for part in (slice(None), np.arange(7), np.array([3, 3, 3, 9])):
        assert accuracy.of(part) == pytest.approx(100 * np.mean(true[part] == told[part]))
        assert f1.of(part) == pytest.approx(100 * f1_score(true[part], told[part], average="macro", zero_division=0))


def test_a_correlation_of_a_part() -> None:
    random = np.random.default_rng(2)
    x, y = 1e6 + random.normal(size=(2, 40))
    score = pearson(Metric("pearson", True), x, y)
    for part in (slice(None), np.arange(9)):
        assert score.of(part) == pytest.approx(np.corrcoef(x[part], y[part])[0, 1])
