"""A model on its way between Sightline and another toolkit: what formats read into and write from, and tasks make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from sightline.data.pixels import Fit
from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError, nearest
from sightline.models.sizes import ModelSizes

# What lies on a model's body, and so what it is used for; an "encoder" has nothing on it and is to be fine-tuned.
Head = Literal[
    "next_token",
    "masked_tokens",
    "encoder",
    "sequence_classes",
    "choice",
    "token_classes",
    "answer_span",
    "image_classes",
]
FORMS = ("single", "pair", "similarity")  # of what a classifier from elsewhere reads
Sizes = ModelSizes


@dataclass(frozen=True)
class Pixels:
    """How an image becomes numbers: (pixel / 255 - mean) / std by channel; `fit`: what becomes of one not square."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit


@dataclass(frozen=True)
class ExchangedModel:
    """A model in Sightline's terms.

    Attributes:
        weights: fp32, by Sightline's names. architecture: what the other toolkit calls it.
        labels: classes or tags by number; none with other heads, and where a number is predicted.
        choices: how many texts one that chooses among texts is given. next_sentence: whether there is a head for that.
        documents: whether a language model learned where documents begin and end. remarks: what else a user should
            know of how it was read or written, a sentence each.
    """

    head: Head
    sizes: Sizes
    weights: Mapping[str, Tensor]
    tokenizer: Tokenizer | None = None
    architecture: str = ""
    labels: tuple[str, ...] = ()
    next_sentence: bool = False
    documents: bool = True
    pixels: Pixels | None = None
    remarks: tuple[str, ...] = ()

    def require_tokenizer(self) -> Tokenizer:
        """The tokenizer of a model that reads text."""
        if self.tokenizer is None:
            raise ValueError(f"a model with head {self.head} reads text and needs a tokenizer")
        return self.tokenizer


Values = dict[str, object]


@dataclass(frozen=True)
class Asked:
    """What a user says of a model and its directory does not: a classifier's form, how many texts to choose from."""

    form: str = "single"
    choices: int | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(f'form: there is no "{self.form}"{nearest(self.form, FORMS)}')


@dataclass(frozen=True)
class Exchange:
    """How a model with one head becomes a run of a task.

    Attributes:
        title: what it is called on the card. values: what the configuration says beside model, tokenizer and training.
    """

    head: Head
    title: str
    values: Callable[[ExchangedModel, Asked], Values]


def reading(model: ExchangedModel, **data: object) -> Values:
    """The configuration of a model that reads as much at once as it can."""
    return {"data": {"max_tokens": model.sizes.model_dump()["max_length"], **data}}
