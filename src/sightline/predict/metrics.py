"""Scores of translations against references, by sacrebleu, each with its full signature; perplexity; correlations;
calibration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def exponential(nats: float) -> float:
    """e to the power of a loss, which makes it a perplexity; infinity where that is too large for a float."""
    return math.exp(nats) if nats < 700 else math.inf


def correlations(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Pearson's and Spearman's of (N) numbers; not a number where either side is one number throughout."""
    from scipy.stats import pearsonr, spearmanr

    if len(true) < 2 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return {"pearson": math.nan, "spearman": math.nan}
    return {
        "pearson": float(pearsonr(predicted, true).statistic),  # pyright: ignore[reportAttributeAccessIssue]
        "spearman": float(spearmanr(predicted, true).statistic),  # pyright: ignore[reportAttributeAccessIssue]
    }


BINS = 15  # of the calibration error


def confidence_bins(told_N: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Which of equal bins (N,), open below and closed above, the probability of what is told lies in."""
    return np.clip(np.ceil(told_N * bins).astype(int) - 1, 0, bins - 1)


def calibration_error(probabilities_NC: np.ndarray, true_N: np.ndarray, bins: int = BINS) -> float:
    """How far the probability of what is told lies from how often it is right: the mean over equal bins, in per cent.

    The expected calibration error of Guo et al. 2017, equation 3.
    """
    return binned_error(reliability(probabilities_NC.max(1), probabilities_NC.argmax(1) == true_N, bins))


def roc_area(told_N: np.ndarray, positive_N: np.ndarray) -> float:
    """The area under the ROC curve: how often a positive record is told more than a negative one, ties by half
    (Hanley and McNeil 1982); not a number where there are only positive ones, or none."""
    from scipy.stats import rankdata

    positives = int(np.count_nonzero(positive_N))
    pairs = positives * (len(positive_N) - positives)
    ranks = float(rankdata(told_N)[positive_N.astype(bool)].sum())
    return (ranks - positives * (positives + 1) / 2) / pairs if pairs else math.nan


@dataclass(frozen=True)
class ConfidenceBin:
    """Records that were told with a probability over `low`, up to `high`: how many they are, and in per cent how
    probable and how often right what was told is on the mean."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(told_N: np.ndarray, right_N: np.ndarray, bins: int = BINS) -> list[ConfidenceBin]:
    """The bins of the calibration error that have records, from the probability of what is told and whether it is
    right."""
    which_N = confidence_bins(told_N, bins)
    return [
        ConfidenceBin(
            one / bins,
            (one + 1) / bins,
            int(inside.sum()),
            100 * float(told_N[inside].mean()),
            100 * float(right_N[inside].mean()),
        )
        for one in range(bins)
        if (inside := which_N == one).any()
    ]


def binned_error(bins: Sequence[ConfidenceBin]) -> float:
    """The expected calibration error, in per cent, from the bins."""
    return sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / sum(one.count for one in bins)


@dataclass(frozen=True)
class Measured:
    """One corpus-level score: its name, its value (0 to 100, TER also above) and the signature that defines it."""

    name: str
    score: float
    signature: str

    @property
    def label(self) -> str:
        """The name in tables, where BLEU without regard to case may stand beside BLEU with it; TER never regards it."""
        return f"{self.name}, lowercase" if self.name == "BLEU" and "|case:lc|" in self.signature else self.name


def bleu(hypotheses: Sequence[str], references: Sequence[str], lowercase: bool = False) -> Measured:
    """BLEU (Papineni et al. 2002) with the 13a tokenization."""
    return _measure("BLEU", hypotheses, references, lowercase=lowercase)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Measured:
    """chrF2 (Popović 2015)."""
    return _measure("chrF2", hypotheses, references)


def ter(hypotheses: Sequence[str], references: Sequence[str]) -> Measured:
    """Translation edit rate (Snover et al. 2006); lower is better."""
    return _measure("TER", hypotheses, references)


def sentence_sums(
    name: str, hypotheses: Sequence[str], references: Sequence[str]
) -> tuple[np.ndarray, Callable[[np.ndarray], float], str]:
    """What each sentence adds to a score of the corpus (N, K), the score of a sum (K,), and its signature.

    name: BLEU, chrF2 or TER. These are the sums that sacrebleu's own tests of significance resample.
    """
    metric = _metric(name)
    sums_NK = np.array(metric._extract_corpus_statistics(list(hypotheses), [list(references)]), np.float64)

    def value(sums_K: np.ndarray) -> float:
        return float(metric._compute_score_from_stats(sums_K.tolist()).score)

    return sums_NK, value, str(metric.get_signature())


def sentence_scores(name: str, hypotheses: Sequence[str], references: Sequence[str]) -> tuple[np.ndarray, str]:
    """The score of each sentence alone (N,), and its signature."""
    sums_NK, value, signature = sentence_sums(name, hypotheses, references)
    return np.array([value(row) for row in sums_NK]), signature


def _metric(name: str, **options: bool) -> Any:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    return {"BLEU": BLEU, "chrF2": CHRF, "TER": TER}[name](**options)


def _measure(name: str, hypotheses: Sequence[str], references: Sequence[str], **options: bool) -> Measured:
    metric = _metric(name, **options)
    # corpus_score also counts; the signature is complete only after it
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Measured(name, float(score), str(metric.get_signature()))
