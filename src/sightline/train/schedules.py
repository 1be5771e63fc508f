"""Learning-rate schedules: pure functions from the update, counted from 1, to a factor of the peak learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable

from sightline.train.settings import TrainSettings

Schedule = Callable[[int], float]


def warm_up(update: int, warmup: int) -> float:
    """Linear rise that reaches 1 at update `warmup`; 1 from there on, and always where `warmup` is 0."""
    return min(1.0, update / warmup) if warmup else 1.0


def constant(update: int, warmup: int = 0) -> float:
    """Linear warm-up, then 1."""
    return warm_up(update, warmup)


def inverse_square_root(update: int, warmup: int) -> float:
    """Linear warm-up to 1 at update `warmup`, then √(warmup / update).

    This is eq. 3 of Vaswani et al. (2017) divided by its largest value, `noam_peak(d_model, warmup)`.
    """
    start = max(warmup, 1)
    return min(update / start, math.sqrt(start / update))


def noam(update: int, d_model: int, warmup: int) -> float:
    """The learning rate itself as in eq. 3 of Vaswani et al. (2017): d_model^-½ · min(u^-½, u · warmup^-1½)."""
    return d_model**-0.5 * min(update**-0.5, update * warmup**-1.5)


def noam_peak(d_model: int, warmup: int) -> float:
    """The largest learning rate of that equation, reached at update `warmup`: (d_model · warmup)^-½.

    With it as `learning_rate`, `inverse_square_root` is the schedule of the paper; for the base model
    (d_model 512, warmup 4000) it is 7.0e-4.
    """
    return (d_model * warmup) ** -0.5


def cosine(update: int, warmup: int, total: int, floor: float = 0.0) -> float:
    """Linear warm-up, then half a cosine from 1 at update `warmup` to `floor` at update `total` (Loshchilov & Hutter
    2017, eq. 5, without restarts)."""
    if update <= warmup:
        return warm_up(update, warmup)
    done = min(1.0, (update - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def warmup_stable_decay(update: int, warmup: int, total: int, decay: int, floor: float = 0.0) -> float:
    """Linear warm-up to 1, level, then a straight line over the last `decay` updates to `floor` at update `total`
    (Hu et al. 2024, MiniCPM, section 4)."""
    left = max(0, total - update)
    return min(warm_up(update, warmup), 1.0 if left >= decay else floor + (1 - floor) * left / decay)


def from_settings(settings: TrainSettings) -> Schedule:
    """The schedule that the settings name."""
    warmup, floor = settings.warmup, settings.final_factor
    total = settings.max_updates or 0  # the settings demand max_updates where a schedule needs it
    known: dict[str, Schedule] = {
        "constant": lambda update: constant(update, warmup),
        "inverse_sqrt": lambda update: inverse_square_root(update, warmup),
        "cosine": lambda update: cosine(update, warmup, total, floor),
        "wsd": lambda update: warmup_stable_decay(update, warmup, total, settings.decay, floor),
    }
    return known[settings.schedule]


def same_until(before: TrainSettings, after: TrainSettings, update: int) -> bool:
    """Whether both ask for the same learning rates up to and including an update."""
    first, second = from_settings(before), from_settings(after)
    return all(first(one) == second(one) for one in range(1, update + 1))
