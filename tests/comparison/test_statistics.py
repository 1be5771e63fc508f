"""The tests of significance: beside sacrebleu's own, on planted differences, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from sightline.comparison.statistics import compare_scores, holm, seed_interval
from sightline.predict.metrics import sentence_sums
from sightline.tasks.answers import CorpusScore, share
from sightline.train.metric import Metric

BLEU = Metric("bleu", True, digits=2, label="BLEU")
ACCURACY = Metric("accuracy", True, "%")
TEXT = "the a small large dog cat house tree sees likes and very old young man woman near behind"
WORDS = list(dict.fromkeys(TEXT.split()))


def references(count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(5, 15))) for _ in range(count)]


def damaged(texts: list[str], share_of_words: float, seed: int) -> list[str]:
    """The texts with some of their words replaced."""
    random = np.random.default_rng(seed)
    return [
        " ".join(word if random.random() > share_of_words else str(random.choice(WORDS)) for word in text.split())
        for text in texts
    ]


def bleu(hypotheses: list[str], true: list[str]) -> CorpusScore:
    return CorpusScore(BLEU, *sentence_sums("BLEU", hypotheses, true))


@pytest.mark.parametrize("worse", [0.2, 0.24, 0.4])
def test_as_sacrebleu_says(worse: float, monkeypatch) -> None:
    """The interval of each system and the p-value of approximate randomisation, of the same texts.

    The p-value of sacrebleu's bootstrap takes absolute values before it centres them: it is about half of ours, which
    is of both sides.
    """
    from sacrebleu.metrics import bleu as metrics
    from sacrebleu.significance import PairedTest

    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    true = references(200, 1)
    one, other = damaged(true, 0.2, 2), damaged(true, worse, 3)

    def theirs(kind: str):
        systems, metric = [("one", one), ("other", other)], {"BLEU": metrics.BLEU(references=[true])}
        return PairedTest(systems, metric, references=[true], test_type=kind, n_samples=1000)()[1]["BLEU"]

    bootstrap, randomisation = theirs("bs"), theirs("ar")
    ours = compare_scores([[bleu(one, true)], [bleu(other, true)]])
    for mine, their in zip(ours, bootstrap, strict=True):
        assert mine.value == pytest.approx(their.score)
        assert (mine.interval.high - mine.interval.low) / 2 == pytest.approx(their.ci, rel=0.15)
    found = ours[1].difference
    assert found is not None
    assert found.p_randomisation == pytest.approx(randomisation[1].p_value, abs=0.06)
    assert bootstrap[1].p_value - 0.02 <= found.p_bootstrap
    assert found.p_bootstrap == pytest.approx(found.p_randomisation, abs=0.06)


def test_a_copy_is_no_other_model() -> None:
    true = references(60, 4)
    texts = damaged(true, 0.3, 5)
    for seed in range(100):
        found = compare_scores([[bleu(texts, true)], [bleu(list(texts), true)]], resamples=20, seed=seed)[1].difference
        assert found is not None
        assert found.value == 0
        assert found.p_bootstrap == found.p_randomisation == 1


def test_chance_alone_is_rarely_called_a_difference() -> None:
    """Two models that are right as often, each where it is: at most 7 of 100 test sets say otherwise."""
    random = np.random.default_rng(6)
    called = 0
    for seed in range(100):
        models = [[share(ACCURACY, random.random(300) < 0.7)] for _ in range(2)]
        found = compare_scores(models, resamples=200, seed=seed)[1].difference
        called += found is not None and found.shown
    assert called <= 7


def test_a_worse_model_is_found() -> None:
    random = np.random.default_rng(7)
    good, bad = random.random(500) < 0.8, random.random(500) < 0.6
    found = compare_scores([[share(ACCURACY, good)], [share(ACCURACY, bad)]])[1].difference
    assert found is not None
    assert found.shown
    assert found.value < 0
    assert found.interval.high < 0


def test_models_of_several_seeds_are_their_mean() -> None:
    random = np.random.default_rng(8)
    seeds = [[share(ACCURACY, random.random(200) < right) for _ in range(3)] for right in (0.5, 0.9)]
    one, other = compare_scores(seeds)
    assert one.value == pytest.approx(np.mean(one.by_seed))
    assert other.difference is not None
    assert other.difference.shown
    assert other.difference.value == pytest.approx(np.mean(other.by_seed) - np.mean(one.by_seed))


def test_unlike_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="different records"):
        compare_scores([[share(ACCURACY, np.ones(30))], [share(ACCURACY, np.ones(31))]])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_seeds_by_students_t() -> None:
    values = [27.1, 28.0, 26.4]
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    found = seed_interval(values)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert seed_interval([27.1]) is None
