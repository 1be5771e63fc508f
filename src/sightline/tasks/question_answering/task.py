"""Fine-tuning a BERT to find the answer to a question in a text (Devlin et al. 2019, sections 4.2 and 4.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.data.batches import DataPosition, iterate
from sightline.data.labelled import ExampleBatch, Examples, collate_examples
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.questions import (
    Question,
    QuestionSource,
    exact_match,
    overlap_f1,
    read_questions,
)
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError
from sightline.models.classifier import BertTokenClassifier
from sightline.nn.context import PassContext
from sightline.tasks.base import BaseTask, beginning
from sightline.tasks.question_answering.settings import METRICS, QuestionSettings
from sightline.tasks.question_answering.spans import answerable, answers, inputs_of, span_loss, targets_of
from sightline.tasks.tokens import SIDE, in_batches, make_token_classifier, token_logits


def read_training(settings: QuestionSettings) -> Iterator[Question]:
    """The training questions, the first `data.first` of them."""
    return islice(chain.from_iterable(read_questions(source) for source in settings.data.train),
                  settings.data.first or None)  # fmt: skip


def train_tokenizers(settings: QuestionSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizer, learned from the training texts and questions."""

    def texts() -> Iterator[str]:
        before = None
        for one in read_training(settings):
            yield one.question
            # many questions are about one text
            if one.context != before:
                yield one.context
            before = one.context

    return {
        SIDE: Tokenizer.train(
            ProgressReporter(report, VOCABULARY, sources=() if settings.data.first else settings.data.train).over(
                texts()
            ),
            **settings.tokenizer.model_dump(),
        )
    }


def make_model(settings: QuestionSettings, tokenizers: dict[str, Tokenizer]) -> BertTokenClassifier:
    """The model: of every token how well an answer begins and how well one ends there."""
    return make_token_classifier(settings, tokenizers, 2)


class QuestionTask(BaseTask[BertTokenClassifier]):
    """Joins a model with questions for the training loop."""

    metrics = METRICS
    settings: QuestionSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        validation: Any = settings.data.validation
        self._validation = read_all(settings, validation)
        questions = list(read_training(settings))
        where = settings.data.train[0].source
        _require_answers(settings, questions, where)
        inputs = inputs_of(settings, self.tokenizers[SIDE], ((one.question, one.context) for one in questions))
        targets, usable = targets_of(inputs, questions)
        if not usable.any():
            raise DataError(f"{where}: no answer stands in its text; check the file")
        kept = np.flatnonzero(usable)
        self._train = Examples([inputs.sequences[row] for row in kept], 1, targets[kept])
        self._order = in_batches(settings, self._train, settings.training.seed)
        lost = len({inputs.question[row] for row in np.flatnonzero(~usable)})
        report(f"{where}: {len(questions):,} questions in {len(inputs.sequences):,} inputs; skipped: {lost:,} whose "
               "answer does not stand in the text")  # fmt: skip
        report(f"batches: {len(self._order.epoch(0)):,} per epoch")

    def data(self) -> tuple[object, ...]:
        """What is learned from and validated on."""
        return self._train, self._validation

    @property
    def batches_per_epoch(self) -> int:
        """How many batches the first epoch has; others differ by a few."""
        return len(self._order.epoch(0))

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, ExampleBatch]]:
        """Batches from `position` on, for ever, each with the position after it; targets (N, 2)."""
        for after, indices in iterate(self._order, position):
            yield after, collate_examples(self._train, indices).to(self.device)

    def padding(self) -> float:
        return self._order.padding(0)

    def num_units(self, batch: ExampleBatch) -> int:
        """Tokens of the inputs."""
        return self._train.num_tokens(batch.indices)

    def loss(self, batch: ExampleBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """The mean of the cross-entropies of begin and end (nats), summed over the inputs; how many those are."""
        logits_NTC = self.model(batch.tokens_NT, batch.real_NT, ctx=PassContext(generator=generator)).float()
        loss = span_loss(logits_NTC, answerable(batch.tokens_NT, batch.real_NT), batch.targets_B)
        return loss, len(batch.targets_B), {}

    def describe(self, batch: ExampleBatch) -> str:
        """Names a batch in an error message: its inputs and its first text."""
        first = beginning(self.tokenizers[SIDE], batch.tokens_NT[0])
        return f"inputs {batch.indices[:5].tolist()}…, the first one {first}"

    def validate(self) -> dict[str, float]:
        """See `measure`."""
        return measure(self.settings, self.model, self.tokenizers[SIDE], self._validation).figures()


def read_all(settings: QuestionSettings, source: QuestionSource) -> list[Question]:
    """The questions of a file. Raises DataError where one has no answer and the settings do not allow for it."""
    found = list(read_questions(source))
    _require_answers(settings, found, source.source)
    return found


def _require_answers(settings: QuestionSettings, questions: Sequence[Question], where: str) -> None:
    if not settings.data.unanswerable:
        for number, one in enumerate(questions, 1):
            if not one.answers:
                raise DataError(f"{where}, question {number}: no answer; set data.unanswerable = true, or leave it out")


@dataclass(frozen=True)
class Answered:
    """What a model answers to each question, whether exactly and how far (0 to 1), and the mean loss (nats)."""

    told: list[str]
    exact: list[float]
    f1: list[float]
    loss: float

    def figures(self) -> dict[str, float]:
        """By the names of the task's metrics."""
        return {
            "loss": self.loss,
            "exact_match": 100 * float(np.mean(self.exact)),
            "f1": 100 * float(np.mean(self.f1)),
        }


def measure(
    settings: QuestionSettings, model: BertTokenClassifier, tokenizer: Tokenizer, questions: Sequence[Question]
) -> Answered:
    """How well a model answers.

    exact_match, f1: per cent, each answer compared with the right one that is nearest (Rajpurkar et al. 2016).
    loss: nats an input, of those that could be learned from.
    """
    inputs = inputs_of(settings, tokenizer, ((one.question, one.context) for one in questions))
    logits = token_logits(settings, model, inputs.sequences)
    targets, usable = targets_of(inputs, questions)
    losses = [
        float(span_loss(one[None], answerable(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool)), target))
        for one, ids, target in zip(logits, inputs.sequences, torch.from_numpy(targets)[:, None], strict=True)
    ]
    units, right = settings.data.units, [one.texts for one in questions]
    told = [
        one.context[found.start : found.end].strip()
        for one, found in zip(questions, answers(settings, inputs, logits), strict=True)
    ]
    exact = [float(exact_match(*pair, units)) for pair in zip(told, right, strict=True)]
    shared = [float(overlap_f1(*pair, units)) for pair in zip(told, right, strict=True)]
    loss = float(np.mean(np.array(losses)[usable])) if usable.any() else math.nan
    return Answered(told, exact, shared, loss)
