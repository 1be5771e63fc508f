"""A model on its way between Sightline and another toolkit: the record that every format reads into and writes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from sightline.data.pixels import Fit
from sightline.data.tokenizer import Tokenizer
from sightline.models import BertSizes, LanguageModelSizes
from sightline.models.vit import ViTSizes

# What lies on a model's body, and so what it is used for; an "encoder" has nothing on it and is to be fine-tuned.
Head = Literal[
    "language", "masked_language", "encoder", "classification", "choice", "tagging", "question_answering", "images"
]
Sizes = LanguageModelSizes | BertSizes | ViTSizes


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
