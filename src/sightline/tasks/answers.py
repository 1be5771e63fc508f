"""What a model answered, record by record: from it every score of any part of a set, or of any resample of it, follows.

Shapes: `N` records, `K` sums, `C` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.train.metric import Metric


@dataclass(frozen=True, eq=False)
class CorpusScore:
    """A score of a set that is computed from sums over its records, as BLEU is from counts of n-grams.

    Attributes:
        metric: its name, which way is better, and how it is printed.
        sums_NK: what each record adds. value: the score of a sum (K,).
        signature: what defines it where there is a standard way to say so, such as sacrebleu's.
    """

    metric: Metric
    sums_NK: np.ndarray
    value: Callable[[np.ndarray], float]
    signature: str = ""

    def of(self, records: np.ndarray | slice = slice(None)) -> float:
        """The score of these records; of all by default."""
        return self.value(self.sums_NK[records].sum(0, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers on one set.

    Attributes:
        unit: what a record is, in the plural. inputs, references, outputs: each record's, as text.
        scores: the one that decides first. record_score: that in which single records are told apart; the first of
            `scores` where it is not given.
        reference_units: what scores count of references where a tokenizer decides it, as its fingerprint: such scores
            of two tokenizers cannot be compared. Empty where references are text.
    """

    unit: str
    inputs: Sequence[str]
    references: Sequence[str]
    outputs: Sequence[str]
    scores: Sequence[CorpusScore]
    record_score: CorpusScore | None = None
    reference_units: str = ""

    def __len__(self) -> int:
        return len(self.inputs)

    def by_record(self) -> np.ndarray:
        """The score (N,) of each record alone."""
        score = self.record_score or self.scores[0]
        return np.array([score.value(row) for row in score.sums_NK.astype(np.float64)])


def share(metric: Metric, right_N: np.ndarray) -> CorpusScore:
    """The share of records, or of what they count for, that are right, in per cent: (N,) of 0 … 1."""
    sums_NK = np.stack([np.asarray(right_N, np.float64), np.ones(len(right_N))], 1)
    return CorpusScore(metric, sums_NK, _per_cent)


def ratio(
    metric: Metric, above_N: np.ndarray, below_N: np.ndarray, finish: Callable[[float], float] = float
) -> CorpusScore:
    """Σ above / Σ below, and what `finish` makes of it."""
    sums_NK = np.stack([np.asarray(above_N, np.float64), np.asarray(below_N, np.float64)], 1)
    return CorpusScore(metric, sums_NK, lambda sums_K: finish(_divided(sums_K[0], sums_K[1])))


def class_scores(accuracy: Metric, macro_f1: Metric, true_N: np.ndarray, predicted_N: np.ndarray) -> list[CorpusScore]:
    """Accuracy, and F1 averaged over all classes that occur in either (N,) array, both in per cent."""
    classes, numbers = np.unique(np.concatenate([true_N, predicted_N]), return_inverse=True)
    true_NC, predicted_NC = np.eye(len(classes), dtype=np.float32)[numbers.reshape(2, -1)]
    sums_NK = np.concatenate([true_NC * predicted_NC, true_NC, predicted_NC], 1)
    return [share(accuracy, true_N == predicted_N), CorpusScore(macro_f1, sums_NK, _macro_f1)]


def span_f1(metric: Metric, right_N: np.ndarray, predicted_N: np.ndarray, true_N: np.ndarray) -> CorpusScore:
    """F1 over all spans, in per cent, from how many each record has (N,)."""
    sums_NK = np.stack([right_N, predicted_N, true_N], 1).astype(np.float64)
    return CorpusScore(metric, sums_NK, lambda sums_K: 200 * _divided(sums_K[0], sums_K[1] + sums_K[2]))


def pearson(metric: Metric, predicted_N: np.ndarray, true_N: np.ndarray) -> CorpusScore:
    """Pearson's correlation of two (N,) arrays."""
    # about their means, or squares of large numbers would leave nothing of small differences
    x, y = (np.asarray(one, np.float64) - np.mean(one) for one in (predicted_N, true_N))
    return CorpusScore(metric, np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], 1), _pearson)


def _per_cent(sums_K: np.ndarray) -> float:
    return 100 * _divided(sums_K[0], sums_K[1])


def _divided(above: float, below: float) -> float:
    return float(above / below) if below else 0.0


def _macro_f1(sums_K: np.ndarray) -> float:
    right_C, true_C, predicted_C = np.split(sums_K, 3)
    both_C = true_C + predicted_C
    there = both_C > 0
    return 100 * float((2 * right_C[there] / both_C[there]).mean()) if there.any() else 0.0


def _pearson(sums_K: np.ndarray) -> float:
    count, x, y, xx, yy, xy = sums_K
    spread = (xx - x * x / count) * (yy - y * y / count)
    return float((xy - x * y / count) / np.sqrt(spread)) if spread > 0 else float("nan")
