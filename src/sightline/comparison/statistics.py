"""Whether one model is better than another, or the test set and the seeds are what differs.

Shapes: `N` records of a test set, `R` resamples, `S` seeds of one model, `M` models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.tasks.answers import CorpusScore

RESAMPLES = 1000
LEVEL = 0.95  # of the intervals
_AT_ONCE = 1 << 25  # counts of resamples that are held at a time


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with a probability of `LEVEL`."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A model's score less the baseline's.

    Attributes:
        value: of the test set. interval: over resamples of it (percentiles).
        p_bootstrap, p_randomisation: how often chance alone makes so large a difference, either way; corrected for the
            number of models that are compared with the baseline (Holm 1979).
    """

    value: float
    interval: Interval
    p_bootstrap: float
    p_randomisation: float

    @property
    def shown(self) -> bool:
        """Whether both tests say that chance alone would rarely do this."""
        return max(self.p_bootstrap, self.p_randomisation) < 1 - LEVEL


@dataclass(frozen=True)
class Compared:
    """One score of one model.

    Attributes:
        value: the mean over its seeds. interval: over resamples of the test set.
        by_seed: the score of each seed. seeds: the interval of the mean over further seeds; None of one seed alone.
        difference: from the baseline; None of the baseline itself.
    """

    value: float
    interval: Interval
    by_seed: tuple[float, ...]
    seeds: Interval | None
    difference: Difference | None = None


def compare_scores(
    models: Sequence[Sequence[CorpusScore]], *, resamples: int = RESAMPLES, seed: int = 1
) -> list[Compared]:
    """One score of several models, each given for each of its seeds; the first model is the baseline.

    The test set and the seeds are two sources of chance. The first is told by resamples of its records, the same ones
    for all models: the paired bootstrap (Koehn 2004) and approximate randomisation (Riezler and Maxwell 2005), both
    two-sided. The second by Student's t over the seeds.

    Raises ValueError where the models were not measured on equally many records.
    """
    if len({len(one.sums_NK) for seeds in models for one in seeds}) != 1:
        raise ValueError("models that were measured on different records")
    random = np.random.default_rng(seed)
    values = [[one.of() for one in seeds] for seeds in models]
    means = [float(np.mean(one)) for one in values]
    resampled_MR = _bootstrap(models, resamples, random)
    found = [
        Compared(mean, _percentiles(resampled_R), tuple(one), seed_interval(one))
        for mean, resampled_R, one in zip(means, resampled_MR, values, strict=True)
    ]
    differences = [
        _difference(means[number] - means[0], resampled_MR[number] - resampled_MR[0], models[0], models[number], random)
        for number in range(1, len(models))
    ]
    bootstraps = holm([one.p_bootstrap for one in differences])
    randomised = holm([one.p_randomisation for one in differences])
    corrected = [
        Difference(one.value, one.interval, p_bootstrap, p_randomisation)
        for one, p_bootstrap, p_randomisation in zip(differences, bootstraps, randomised, strict=True)
    ]
    others = [
        Compared(one.value, one.interval, one.by_seed, one.seeds, difference)
        for one, difference in zip(found[1:], corrected, strict=True)
    ]
    return [found[0], *others]


def _bootstrap(models: Sequence[Sequence[CorpusScore]], resamples: int, random: np.random.Generator) -> np.ndarray:
    """(M, R): each model's mean over its seeds, of resamples of the records that are the same for all."""
    count = len(models[0][0].sums_NK)
    found: list[list[float]] = [[] for _ in models]
    left = resamples
    while left:
        rows = min(left, max(1, _AT_ONCE // count))
        draws_RN = random.multinomial(count, np.full(count, 1 / count), size=rows).astype(np.float64)
        for values, seeds in zip(found, models, strict=True):
            values += _means(seeds, [draws_RN @ one.sums_NK for one in seeds])
        left -= rows
    return np.array(found)


def _means(seeds: Sequence[CorpusScore], sums: Sequence[np.ndarray]) -> list[float]:
    """The mean over the seeds of their scores of (R, K) sums each."""
    scores = [[one.value(row) for row in rows_RK] for one, rows_RK in zip(seeds, sums, strict=True)]
    return np.mean(scores, axis=0).tolist()


def _difference(
    value: float,
    resampled_R: np.ndarray,
    baseline: Sequence[CorpusScore],
    other: Sequence[CorpusScore],
    random: np.random.Generator,
) -> Difference:
    centred_R = np.abs(resampled_R - resampled_R.mean())
    return Difference(
        value,
        _percentiles(resampled_R),
        _p_value(centred_R, value),
        _p_value(np.abs(_randomised(baseline, other, len(resampled_R), random)), value),
    )


def _randomised(
    baseline: Sequence[CorpusScore], other: Sequence[CorpusScore], resamples: int, random: np.random.Generator
) -> np.ndarray:
    """(R,): the difference where each record's answers of the two models are exchanged by the toss of a coin."""
    count = len(baseline[0].sums_NK)
    found: list[float] = []
    while len(found) < resamples:
        rows = min(resamples - len(found), max(1, _AT_ONCE // count))
        kept_RN = random.integers(0, 2, size=(rows, count)).astype(np.float64)
        sides: list[list[float]] = []
        for ours, theirs in ((baseline, other), (other, baseline)):
            # seeds are exchanged in pairs, those that one model has more of in turn
            pairs = [(one, theirs[number % len(theirs)]) for number, one in enumerate(ours)]
            sums = [kept_RN @ one.sums_NK + (1 - kept_RN) @ another.sums_NK for one, another in pairs]
            sides.append(_means(ours, sums))
        found += (np.array(sides[1]) - np.array(sides[0])).tolist()
    return np.array(found)


def _p_value(by_chance_R: np.ndarray, value: float) -> float:
    """How often chance does as much; never 0, which no finite number of resamples can show."""
    return float((np.sum(by_chance_R >= abs(value) - 1e-12) + 1) / (len(by_chance_R) + 1))


def _percentiles(values_R: np.ndarray) -> Interval:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values_R, [tail, 100 - tail])
    return Interval(float(low), float(high))


def seed_interval(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean of which these are samples; None of one alone, which tells nothing."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return Interval(mean - half, mean + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests as if there were one (Holm 1979): the least times their number, and so on up."""
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    found = [0.0] * len(p_values)
    least = 0.0
    for rank, number in enumerate(order):
        least = max(least, min(1.0, p_values[number] * (len(p_values) - rank)))
        found[number] = least
    return found
