"""Settings that tasks share: how text becomes tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """A record that refuses unknown keys and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenizerSettings(Frozen):
    """How text becomes tokens."""

    kind: Literal["bpe", "unigram", "wordpiece", "word", "space", "char", "byte"] = Field(
        "bpe", description="bpe (byte level), unigram, wordpiece, word, space (words cut already), char or byte"
    )
    vocab_size: int = Field(8000, ge=8, description="tokens in the vocabulary, specials included, at most")
    lowercase: bool = Field(False, description="fold case; the model then writes lower case only")
    min_frequency: int = Field(2, ge=1, description="rarer pieces or words are left out")
