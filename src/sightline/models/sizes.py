"""What the sizes of every model have in common: the record that a configuration's `model` is read as."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, Field


class ModelSizes(BaseModel, frozen=True, extra="forbid"):
    """The arguments that a model is built with. `kind` tells those of one kind of model from others."""

    kind: str

    @property
    def context_length(self) -> int | None:
        """The most tokens the model can look at; None where there is no such limit."""
        return None

    @abstractmethod
    def activations_per_token(self, span: int) -> int:
        """Numbers kept for the backward pass for one token, roughly (of a translation: one of each side).

        `span` is the most tokens that attend to each other; 0 where that is not known.
        """


class LanguageSizes(ModelSizes, frozen=True, extra="forbid"):
    """The sizes of any language model."""

    counted: ClassVar[bool] = False  # whether it is counted and not trained
    separates_documents: ClassVar[bool] = False  # whether it can be kept from reading one document in another

    @property
    def frequency_cutoffs(self) -> tuple[int, ...]:
        """The first ids of clusters of rarer tokens, where the output needs ids in order of frequency."""
        return ()


class NeuralLanguageSizes(LanguageSizes, frozen=True, extra="forbid"):
    """The sizes of a language model that is trained."""

    tied: bool = Field(True, description="one matrix for embeddings and output (Inan et al. 2017; Press & Wolf 2017)")
    cutoffs: tuple[int, ...] = Field(
        (), description="adaptive softmax: the first ids of clusters of rarer tokens, as 4000, 12000; words only"
    )

    @property
    def frequency_cutoffs(self) -> tuple[int, ...]:
        """The first ids of clusters of rarer tokens, where the output needs ids in order of frequency."""
        return self.cutoffs


class SourceTargetSizes(ModelSizes, frozen=True, extra="forbid"):
    """The sizes of any model from source to target."""

    tied: Literal["all", "decoder", "none"] = Field(
        "all", description="which embeddings are one: source, target and output; target and output; none"
    )


# What keys that format 1 did not know meant in it, by kind of model.
_ADDED = {"recurrent": {"forget_bias": 0.0}, "seq2seq": {"forget_bias": 0.0}}


def upgrade_sizes(sizes: Mapping[str, object]) -> dict[str, object]:
    """The sizes of a run of format 1, which version 0.1.0 made, by the keys and words of today.

    Biases of forget gates began at 0, and square waves were the signs of sinusoids.
    """
    upgraded = {**_ADDED.get(str(sizes.get("kind")), {}), **sizes}
    if upgraded.get("positions") == "square":
        upgraded["positions"] = "square_2pi"
    return upgraded
