"""What tasks share that fine-tune a BERT with a head at every token: settings, the model, the logits of sequences."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from sightline.data.batches import BatchOrder
from sightline.data.labelled import Examples, collate_examples
from sightline.data.tokenizer import Tokenizer
from sightline.models import BertSizes
from sightline.models.classifier import BertTokenClassifier, Tuning
from sightline.tasks.settings import PieceSettings, RunSettings, check_metric
from sightline.train.settings import TrainSettings

SIDE = "text"  # the name of the one tokenizer


class TokenSettings(RunSettings):
    """What such a task is made from; each says its own name and data."""

    task: str
    pretrained: str | None = Field(
        None, description="run of a BERT whose weights, sizes and tokenizer are taken; from scratch where not given"
    )
    scratch: bool = Field(False, description="take the pretrained run's sizes and tokenizer but not its weights")
    data: Any
    tokenizer: PieceSettings = PieceSettings.model_validate({})
    model: BertSizes = BertSizes.model_validate({})
    tuning: Tuning = Tuning.model_validate({})
    training: TrainSettings = TrainSettings.model_validate({})

    @property
    def parent(self) -> str | None:
        """The run that this one goes on from."""
        return self.pretrained

    @property
    def from_scratch(self) -> bool:
        """Whether only the sizes and the tokenizer of that run are taken, and not its weights."""
        return self.scratch

    @property
    def span(self) -> int:
        """The most tokens that attend to each other."""
        return self.data.max_tokens

    @property
    @abstractmethod
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""

    @model_validator(mode="after")
    def _fits(self) -> TokenSettings:
        if self.data.max_tokens > self.model.max_length:
            raise ValueError(f"data.max_tokens {self.data.max_tokens} is more than {self.model.max_length}")
        if self.pretrained is None and (self.tuning.weights != "full" or self.scratch):
            what = "scratch" if self.scratch else f"tuning.weights {self.tuning.weights}"
            raise ValueError(f"{what} is for a pretrained run, and none is named")
        check_metric(self.training, self.validation_metrics)
        return self


def make_token_classifier(
    settings: TokenSettings, tokenizers: dict[str, Tokenizer], outputs: int
) -> BertTokenClassifier:
    """The model, its weights drawn from a generator seeded by the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.training.seed)
        return BertTokenClassifier(tokenizers[SIDE].vocab_size, settings.model, outputs, settings.tuning)


def in_batches(settings: TokenSettings, examples: Examples, seed: int) -> BatchOrder:
    """Batches of examples by tokens; one that is longer than a batch may be is a batch alone."""
    lengths = examples.lengths
    budget = max(settings.training.tokens_per_batch, int(lengths.max()) + 1)
    return BatchOrder(lengths, lengths, budget, seed=seed)


@torch.inference_mode()
def token_logits(settings: TokenSettings, model: BertTokenClassifier, sequences: Sequence[list[int]]) -> list[Tensor]:
    """The logits (T, C) in fp32 of the tokens of each sequence."""
    if not sequences:
        return []
    examples = Examples(sequences, 1, np.zeros(len(sequences), dtype=np.int64))
    found: dict[int, Tensor] = {}
    for indices in in_batches(settings, examples, 0).epoch(0):
        batch = collate_examples(examples, indices).to(model.device)
        logits_NTC = model(batch.tokens_NT, batch.real_NT).float().cpu()
        for logits_TC, number in zip(logits_NTC, cast("list[int]", indices.tolist()), strict=True):
            found[number] = logits_TC[: len(sequences[number])]
    return [found[number] for number in range(len(sequences))]
