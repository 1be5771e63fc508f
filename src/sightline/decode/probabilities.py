"""Logits to log-probabilities, and the filters of sampling.

Shapes: B rows, T tokens before, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sightline.decode.options import SearchOptions
from sightline.errors import SightlineError


def log_probabilities(logits: Tensor) -> Tensor:
    """ln softmax over the last axis, in fp32 whatever the logits are in."""
    return torch.log_softmax(logits, -1, dtype=torch.float32)


def require_numbers(values: Tensor) -> None:
    """Raises SightlineError where one is nan, as of weights that hold it or of sums beyond what bf16 can hold."""
    if bool(values.isnan().any()):
        raise SightlineError(
            "the model: what it computes is not a number (nan); compute in fp32, or train it anew with a lower "
            "learning rate"
        )


def softmax(logits: Tensor) -> Tensor:
    """Probabilities over the last axis, in fp32 whatever the logits are in."""
    return torch.softmax(logits, -1, dtype=torch.float32)


def penalize_repetitions(logits_BV: Tensor, before_BT: Tensor, penalty: float) -> Tensor:
    """Logits with those of the tokens in `before_BT` made less likely (Keskar et al. 2019, section 4.1).

    Positive ones are divided by `penalty`, negative ones multiplied. A negative id stands for no token.
    """
    if penalty == 1.0:
        return logits_BV
    known_BT = before_BT.clamp(min=0)
    seen_BT = logits_BV.gather(1, known_BT)
    less_BT = torch.where(seen_BT > 0, seen_BT / penalty, seen_BT * penalty)
    return logits_BV.scatter(1, known_BT, torch.where(before_BT < 0, seen_BT, less_BT))


def filter_probabilities(log_probability_BV: Tensor, options: SearchOptions) -> Tensor:
    """Probabilities (B, V) to draw from: tempered, then cut by top-k, top-p (Holtzman et al. 2020) and min-p.

    The likeliest token always stays; of equally likely ones at an edge the lower ids do.
    """
    # below the smallest normal number of fp32 what is divided by it, or it itself, is nothing that can be counted on
    if options.temperature < torch.finfo(torch.float32).tiny:
        return torch.zeros_like(log_probability_BV).scatter_(1, log_probability_BV.argmax(-1, keepdim=True), 1.0)
    # what is subtracted changes no probability, and keeps the likeliest token finite at any temperature
    highest_B1 = log_probability_BV.amax(-1, keepdim=True)
    tempered = log_probabilities((log_probability_BV - highest_B1) / options.temperature)
    ordered, ids = tempered.sort(dim=-1, descending=True, stable=True)
    probability = ordered.exp()
    keep = torch.ones_like(probability, dtype=torch.bool)
    if options.top_k:
        keep[:, options.top_k :] = False
    # a token stays while those before it hold less than top_p
    keep &= probability.cumsum(-1) - probability < options.top_p
    keep &= ordered >= ordered[:, :1] + (math.log(options.min_p) if options.min_p else -math.inf)
    keep[:, 0] = True
    kept = probability * keep
    return torch.zeros_like(kept).scatter_(1, ids, kept / kept.sum(-1, keepdim=True))
