"""Probabilities that mean what they say: a classifier's scores divided by a temperature (Guo et al. 2017)."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor

from sightline.decode.probabilities import softmax
from sightline.predict.metrics import calibration_error
from sightline.train.run_directory import Run

RANGE = (0.05, 20.0)  # temperatures that are looked at


def best_temperature(scores_NC: Tensor, targets_N: Tensor) -> float:
    """The temperature that scores are to be divided by for the least cross-entropy.

    In 1 / temperature that is convex, so there is one least value.
    """
    from scipy.optimize import minimize_scalar

    scores_NC = scores_NC.double()

    def nats(log_temperature: float) -> float:
        return float(F.cross_entropy(scores_NC / math.exp(log_temperature), targets_N))

    found: Any = minimize_scalar(nats, bounds=tuple(map(math.log, RANGE)), method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)


class Calibrated(Protocol):
    """A predictor whose head's outputs are scores of classes."""

    def validation(self) -> tuple[Tensor, Tensor]:
        """The scores (N, C) of the validation records, and their classes (N)."""
        ...


def calibrate(run: Run, predictor: Calibrated) -> str:
    """Divides what a run's head puts out by the best temperature for the validation set; says what that changed.

    The temperature becomes part of the head's weights, so that whatever reads them is calibrated. No label changes.
    """
    scores_NC, targets_N = predictor.validation()
    temperature = best_temperature(scores_NC, targets_N)
    if not 1.01 * RANGE[0] < temperature < 0.99 * RANGE[1]:
        return "not calibrated: all of the validation set is right, or all at chance, so every temperature would do"
    weights = run.read_weights()
    run.save_weights({name: one / temperature if name.startswith("head.") else one for name, one in weights.items()})
    told = []
    for scores in (scores_NC, scores_NC / temperature):
        error = calibration_error(softmax(scores).numpy(), targets_N.numpy())
        told.append(f"loss {float(F.cross_entropy(scores, targets_N)):.4f} and calibration error {error:.2f} %")
    return f"temperature {temperature:.3f}: validation {told[0]} become {told[1]}, on what it was fitted to"
