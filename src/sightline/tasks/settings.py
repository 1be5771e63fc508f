"""Settings that tasks share: how text becomes tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from sightline.config import Frozen
from sightline.errors import nearest
from sightline.train.settings import TrainSettings


def check_metric(training: TrainSettings, figures: Sequence[str]) -> None:
    """Raises ValueError where the metric that chooses the best checkpoint is none of the validation's figures."""
    if training.metric not in figures:
        raise ValueError(f'training.metric: there is no "{training.metric}"{nearest(training.metric, figures)}')


class TokenizerSettings(Frozen):
    """How text becomes tokens."""

    kind: Literal["bpe", "unigram", "wordpiece", "word", "space", "char", "byte"] = Field(
        "bpe", description="bpe (byte level), unigram, wordpiece, word, space (words cut already), char or byte"
    )
    vocab_size: int = Field(8000, ge=8, description="tokens in the vocabulary, specials included, at most")
    lowercase: bool = Field(False, description="fold case; the model then writes lower case only")
    jamo: bool = Field(False, description="read Korean syllables as their letters; an ending in one can be a piece")
    min_frequency: int = Field(2, ge=1, description="rarer pieces or words are left out")
