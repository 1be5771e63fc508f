"""What a training would take, told before it starts: parameters, memory, steps, disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from sightline.tasks.registry import TASKS
from sightline.train.settings import TrainSettings

# of Adam's two averages and the gradient, in fp32
_FP32_COPIES = 3


def describe(settings: Any) -> list[str]:
    """One line each on parameters, memory, updates and disk, and on files that are not there. Nothing is written.

    The vocabulary is taken to be as large as allowed; activations are estimated from what one token keeps for the
    backward pass.
    """
    files = TASKS[settings.task].data_files
    return _needs(settings) + [f"missing: {path}" for path in _missing(settings.data.model_dump(), files)]


def _missing(data: Any, keys: Sequence[str]) -> list[str]:
    """The files that a configuration names by path and that are not there; those of the catalogue are fetched."""
    if not isinstance(data, dict):
        return [path for one in data for path in _missing(one, keys)] if isinstance(data, (list, tuple)) else []
    named = [one for key, one in data.items() if key in keys and type(one) is str and ":" not in one]
    inside = [path for one in data.values() for path in _missing(one, keys)]
    return list(dict.fromkeys([path for path in named if not Path(path).exists()] + inside))


def _needs(settings: Any) -> list[str]:
    """Lines on parameters, memory, updates and disk."""
    vocab = settings.vocab_size
    if settings.counted:
        return [
            f"model: n-grams of up to {settings.model.order} tokens, with a vocabulary of {vocab:,}",
            "memory: about 40 bytes for each different n-gram of the text, while they are counted",
            "updates: none; all text is counted once",
            "disk: 24 bytes for each different n-gram, 16 for those of the highest order",
        ]
    with torch.device("meta"):
        # all that a model asks of tokenizers is how large they are
        sized: Any = dict.fromkeys(("source", "target", "text"), SimpleNamespace(vocab_size=vocab))
        model = TASKS[settings.task].make_model(settings, sized)
    count = sum(parameter.numel() for parameter in model.parameters())
    training = settings.training
    width = 2 if training.precision == "bf16" else 4
    weights = count * (width * 2 + 4 * _FP32_COPIES)
    activations = settings.model.activations_per_token(settings.span) * training.tokens_per_batch * width
    checkpoint = count * 4 * (3 + bool(training.ema))
    kept = training.keep + 2
    return [
        f"model: {settings.model.kind}, {count:,} parameters" + (f" with a vocabulary of {vocab:,}" if vocab else ""),
        f"memory: about {_size(weights + activations)} ({_size(weights)} weights and optimizer, the rest activations)",
        f"updates: {_ending(training)}, each of {training.accumulate} × {training.tokens_per_batch:,} tokens",
        f"disk: {_size(checkpoint)} a checkpoint, up to {kept} of them, {_size(count * 4)} for the final weights",
    ]


def _ending(training: TrainSettings) -> str:
    limits = [
        f"{value:,g} {name}"
        for name, value in (
            ("updates", training.max_updates), ("epochs", training.max_epochs), ("minutes", training.max_minutes),
        )
        if value is not None
    ]  # fmt: skip
    return " or ".join(limits) + (f", or {training.patience} validations without progress" if training.patience else "")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
