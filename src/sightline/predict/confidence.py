"""How sure one can be of a written text: a calibrated probability that it is acceptable.

A text is acceptable where its chrF2 against a reference is at least a threshold. The probability of that is a logistic
regression (Platt 1999) on what is known without a reference, fitted on validation records: the probabilities of its
tokens, its length, and the attention to its source, as in unsupervised quality estimation (Fomicheva et al. 2020).

Shapes: N records, K features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sightline import config
from sightline.errors import CheckpointError, UsageError
from sightline.predict.metrics import binned_error, reliability, roc_area
from sightline.train import storage
from sightline.train.manifest import Manifest, replace_files
from sightline.train.run_directory import Run

FILE = "confidence.json"
WORST = 0.2  # the share of validation records below the threshold, where none is given
FEWEST, MOST = 50, 2000  # records that it is fitted to
FOLDS = 5
LITTLE, BLUNT = 40.0, 0.65  # a chrF2, and an area under the ROC curve, that are of little use
PENALTY = 1.0  # of the squared coefficients of standardized features, against the sum over records

Number = Annotated[float, Field(allow_inf_nan=False)]


class Confidence(BaseModel):
    """A fitted probability, as it lies in a run.

    Attributes:
        weights: SHA-256 of the weights that it was fitted for. acceptable: the least chrF2 of an acceptable text.
        signature: of that score. means, scales, coefficients: by feature. intercept: of the logit.
        records: how many it was fitted on. share: of acceptable ones among them, in per cent.
        error, area: the expected calibration error in per cent, and the area under the ROC curve, of those records,
            each predicted by a fit on the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    acceptable: Number
    signature: str
    means: dict[str, Number]
    scales: dict[str, Number]
    coefficients: dict[str, Number]
    intercept: Number
    records: int
    share: Number
    error: Number
    area: Number

    @model_validator(mode="after")
    def _of_the_same_features(self) -> Confidence:
        if not self.means.keys() == self.scales.keys() == self.coefficients.keys() or min(self.scales.values()) <= 0:
            raise ValueError("means, scales and coefficients must be of the same features, and scales above 0")
        return self

    def probability(self, features: Mapping[str, float]) -> float:
        """That a text of these features is acceptable; features of other names are not looked at.

        Raises CheckpointError where it was fitted on others than these.
        """
        if not self.coefficients.keys() <= features.keys():
            unknown = ", ".join(sorted(self.coefficients.keys() - features.keys()))
            raise CheckpointError(f"{FILE}: is of features that are not known here ({unknown[:80]}); calibrate anew")
        logit = self.intercept
        for name, weight in self.coefficients.items():
            logit += weight * (features[name] - self.means[name]) / self.scales[name]
        return _logistic(logit)

    def describe(self) -> str:
        """What it says, and how well, in one line."""
        return (
            f"confidence: the probability of a chrF2 of {self.acceptable:.1f} or more, as {self.share:.0f} % of "
            f"{self.records:,} validation records have; there, each by a fit on the others: calibration error "
            f"{self.error:.1f} %, area under the ROC curve {self.area:.3f}"
        )


def cautions(found: Confidence) -> list[str]:
    """What makes a fit of little use, where something does, and what to do."""
    told: list[str] = []
    if found.acceptable < LITTLE:
        told.append(
            f"caution: a chrF2 of {found.acceptable:.1f} is little, and what reaches it need not be good; train the "
            f"model longer, or name what is acceptable to you, as --acceptable {LITTLE:g}"
        )
    if found.area < BLUNT:
        told.append(
            f"caution: an area of {found.area:.2f} (0.5 is chance) hardly tells acceptable texts from others; train "
            "the model longer"
        )
    return told


def token_features(token_log_probabilities: Sequence[float], source: int, finished: bool) -> dict[str, float]:
    """What the probabilities of a text's tokens and its length say; `source` is the number of tokens it was made of."""
    each = np.asarray(token_log_probabilities, np.float64)
    return {
        "mean_log_probability": float(each.mean()),
        "least_log_probability": float(each.min()),
        "spread_log_probability": float(each.std()),
        "log_length": math.log(len(each)),
        "log_ratio": math.log(len(each) / (source + 1)),
        "unfinished": float(not finished),
    }


def fit(
    features: Sequence[Mapping[str, float]], scores: np.ndarray, acceptable: float | None, *, weights: str,
    signature: str,
) -> Confidence:  # fmt: skip
    """The probability that `scores`, chrF2 of N records of these features, reach what is acceptable.

    Without `acceptable` that is the lowest of the scores that a fifth of the records or more lie below; where so many
    have the highest one, that one.

    Raises UsageError where there are too few records, or all of them on one side.
    """
    if len(scores) < FEWEST:
        raise UsageError(f"confidence is fitted on {FEWEST} records of validation or more; there are {len(scores)}")
    reached = np.asarray(scores)
    least = _least(reached) if acceptable is None else acceptable
    good_N = reached >= least
    few = min(int(good_N.sum()), int((~good_N).sum()))
    if few < FOLDS:
        which = "below" if few == int((~good_N).sum()) else "at or above"
        raise UsageError(
            f"confidence cannot be fitted: {few} of {len(scores):,} validation records lie {which} a chrF2 of "
            f"{least:.1f}; name another --acceptable"
        )
    names = list(features[0])
    x_NK = np.array([[one[name] for name in names] for one in features], np.float64)
    told_N = np.empty(len(good_N))
    fold_N = np.random.default_rng(0).permutation(len(good_N)) % FOLDS
    for fold in range(FOLDS):
        told_N[fold_N == fold] = _fit(x_NK[fold_N != fold], good_N[fold_N != fold])(x_NK[fold_N == fold])
    fitted = _fit(x_NK, good_N)
    return Confidence(
        weights=weights,
        acceptable=least,
        signature=signature,
        means=dict(zip(names, fitted.mean_K.tolist(), strict=True)),
        scales=dict(zip(names, fitted.scale_K.tolist(), strict=True)),
        coefficients=dict(zip(names, fitted.weight_K.tolist(), strict=True)),
        intercept=fitted.intercept,
        records=len(good_N),
        share=100 * float(good_N.mean()),
        error=binned_error(reliability(told_N, good_N)),
        area=roc_area(told_N, good_N),
    )


def _least(scores_N: np.ndarray) -> float:
    each, counts = np.unique(scores_N, return_counts=True)
    below = np.cumsum(counts) - counts
    return float(each[np.argmax(below >= WORST * len(scores_N))] if below[-1] >= WORST * len(scores_N) else each[-1])


class _Logistic:
    """A logistic regression on standardized features (N, K)."""

    def __init__(self, mean_K: np.ndarray, scale_K: np.ndarray, weight_K: np.ndarray, intercept: float) -> None:
        self.mean_K, self.scale_K, self.weight_K, self.intercept = mean_K, scale_K, weight_K, intercept

    def __call__(self, x_NK: np.ndarray) -> np.ndarray:
        z_NK = (x_NK - self.mean_K) / self.scale_K
        return 1 / (1 + np.exp(-np.clip(z_NK @ self.weight_K + self.intercept, -700, 700)))


def _fit(x_NK: np.ndarray, good_N: np.ndarray) -> _Logistic:
    """The least penalized cross-entropy, which is strictly convex."""
    from scipy.optimize import minimize

    mean_K, scale_K = x_NK.mean(0), x_NK.std(0)
    scale_K = np.where(scale_K > 1e-9, scale_K, 1.0)  # what is the same everywhere says nothing
    z_ND = np.column_stack([(x_NK - mean_K) / scale_K, np.ones(len(x_NK))])
    penalty_D = np.append(np.full(x_NK.shape[1], PENALTY), 0.0)  # of all but the intercept
    sign_N = np.where(good_N, 1.0, -1.0)

    def loss(weight_D: np.ndarray) -> tuple[float, np.ndarray]:
        margin_N = sign_N * (z_ND @ weight_D)
        wrong_N = np.exp(-np.logaddexp(0, margin_N))  # the probability of the other side
        slope_D = -z_ND.T @ (sign_N * wrong_N) + penalty_D * weight_D
        return float(np.logaddexp(0, -margin_N).sum() + penalty_D @ weight_D**2 / 2), slope_D

    options = {"gtol": 1e-9, "ftol": 1e-14, "maxiter": 1000}
    found: Any = minimize(loss, np.zeros(z_ND.shape[1]), jac=True, method="L-BFGS-B", options=options)
    return _Logistic(mean_K, scale_K, found.x[:-1], float(found.x[-1]))


def read_confidence(run: Run, weights: str) -> Confidence | None:
    """What was fitted for these weights of a run, named by their SHA-256; None where nothing was.

    Raises CheckpointError where the file is damaged.
    """
    proved = Manifest.read(run.path, config.FORMAT)
    if FILE not in proved.files:  # weights that are written anew no longer list it
        return None
    try:
        found = Confidence.model_validate(storage.read_json(run.path, FILE))
    except ValidationError:
        raise CheckpointError(
            f"{run.path / FILE}: damaged (no confidence); `sightline calibrate {run.path}` makes it again"
        ) from None
    return found if found.weights == weights else None


def require_confidence(found: Confidence | None, run: Path | str) -> Confidence:
    """What was fitted to a run, known by its directory or, to those who see no directories, by its name.

    Raises UsageError where nothing was.
    """
    if found is None:
        command = f"`sightline calibrate {run}`" if isinstance(run, Path) else "`sightline calibrate` of its directory"
        raise UsageError(f"{run}: its confidence is not fitted to these weights yet; {command} does that")
    return found


def write_confidence(run: Run, confidence: Confidence) -> None:
    """Keeps it in the run, with its entry in the manifest. Raises SightlineError where the file system refuses."""
    proved = Manifest.read(run.path, config.FORMAT)
    blocks = list(storage.json_blocks(confidence.model_dump()))
    replace_files(run.path, {FILE: blocks}, proved, proved.notes, proved.format)


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))
