"""Fine-tuning a GPT or a BERT to label texts, number them or choose among them: loss, scores, metrics."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.batches import DataPosition, iterate
from sightline.data.labelled import ExampleBatch, Examples, collate_examples
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.tokenizer import Tokenizer
from sightline.decode.probabilities import softmax
from sightline.models.classifier import AnyClassifier, make_classifier
from sightline.nn.context import INFERENCE, PassContext
from sightline.predict.metrics import calibration_error, correlations
from sightline.tasks.base import BaseTask, beginning
from sightline.tasks.classification.examples import UNKNOWN, batch_order, encode, encode_files, read_training
from sightline.tasks.classification.settings import METRICS, SIDE, ClassificationSettings


def train_tokenizers(settings: ClassificationSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizer, learned from the training texts."""
    texts = (text for record, _ in read_training(settings) for text in record)
    texts = ProgressReporter(report, VOCABULARY, sources=() if settings.data.first else settings.data.train).over(texts)
    return {SIDE: Tokenizer.train(texts, **settings.tokenizer.model_dump())}


def make_model(settings: ClassificationSettings, tokenizers: dict[str, Tokenizer]) -> AnyClassifier:
    """The model, its weights drawn from a generator seeded by the run's seed."""
    outputs = 1 if settings.by_number else len(settings.data.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.training.seed)
        return make_classifier(tokenizers[SIDE].vocab_size, settings.model, outputs, settings.tuning)


class ClassificationTask(BaseTask[AnyClassifier]):
    """Joins a model with labelled texts for the training loop."""

    metrics = METRICS
    settings: ClassificationSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        texts = settings.data.train[0].source
        for line in (line for source in settings.data.train for line in source.notices()):
            report(line)
        self._train = encode(settings, self.tokenizers[SIDE], read_training(settings), texts, report)
        validation: Any = settings.data.validation
        self._validation = encode_files(settings, self.tokenizers[SIDE], validation, report)
        self._order = batch_order(self._train, settings, settings.training.seed)
        report(f"batches: {len(self._order.epoch(0)):,} per epoch")

    def data(self) -> tuple[object, ...]:
        """What is learned from and validated on."""
        return self._train, self._validation

    @property
    def batches_per_epoch(self) -> int:
        """How many batches the first epoch has; others differ by a few."""
        return len(self._order.epoch(0))

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, ExampleBatch]]:
        """Batches from `position` on, for ever, each with the position after it."""
        for after, indices in iterate(self._order, position):
            yield after, collate_examples(self._train, indices).to(self.device)

    def padding(self) -> float:
        return self._order.padding(0)

    def num_units(self, batch: ExampleBatch) -> int:
        """Tokens of the inputs."""
        return self._train.num_tokens(batch.indices)

    def loss(self, batch: ExampleBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """The label's loss plus `auxiliary` times the language model's, summed over examples; how many those are.

        The language model's loss of an example is the mean over the tokens of its sequences.
        """
        scores_BC, features_NTD = scores(self.settings, self.model, batch, PassContext(generator=generator))
        loss = label_loss(self.settings, scores_BC, batch.targets_B)
        extras = {"label_loss": loss.detach()}
        if self.settings.language_weight:
            nats, spoken = self.model.language_loss(features_NTD, batch.tokens_NT, batch.real_NT)
            loss = loss + self.settings.language_weight * len(batch.targets_B) / max(spoken, 1) * nats
        return loss, len(batch.targets_B), extras

    def describe(self, batch: ExampleBatch) -> str:
        """Names a batch in an error message: its records and its first text."""
        first = beginning(self.tokenizers[SIDE], batch.tokens_NT[0])
        return f"records {batch.indices[:5].tolist()}…, the first one {first}"

    def validate(self) -> dict[str, float]:
        """See `figures`."""
        return figures(self.settings, all_scores(self.settings, self.model, self._validation), self._validation)


def scores(
    settings: ClassificationSettings, model: AnyClassifier, batch: ExampleBatch, ctx: PassContext = INFERENCE
) -> tuple[Tensor, Tensor]:
    """(B, C) in fp32: logits of the classes or choices, or one number; and the features at every position (N, T, D).

    The features of both orders of a similarity are added; each text of a choice has one output.
    """
    orders = batch.each if settings.data.form == "similarity" else 1
    outputs_BC, features_NTD = model(batch.tokens_NT, batch.real_NT, orders=orders, ctx=ctx)
    return to_scores(settings, outputs_BC, batch.each), features_NTD


def to_scores(settings: ClassificationSettings, outputs: Tensor, each: int) -> Tensor:
    """The head's outputs as (B, C) in fp32, C being the choices where there is one output a choice."""
    return outputs.float().view(-1, each) if settings.data.form == "choice" else outputs.float()


def label_loss(settings: ClassificationSettings, scores_BC: Tensor, targets_B: Tensor) -> Tensor:
    """Cross-entropy (nats), or the squared error of numbers, summed over the examples."""
    if settings.data.numbers:
        return (scores_BC[:, 0] - targets_B).square().sum()
    return F.cross_entropy(scores_BC, targets_B, reduction="sum", ignore_index=UNKNOWN)


@torch.inference_mode()
def all_scores(settings: ClassificationSettings, model: AnyClassifier, examples: Examples) -> Tensor:
    """(examples, C): the scores of every example, in order."""
    found: dict[int, Tensor] = {}
    for indices in batch_order(examples, settings, 0).epoch(0):
        batch = collate_examples(examples, indices).to(model.device)
        found |= zip(indices.tolist(), scores(settings, model, batch)[0].cpu(), strict=True)
    return torch.stack([found[number] for number in range(len(examples))])


def figures(settings: ClassificationSettings, scores_BC: Tensor, examples: Examples) -> dict[str, float]:
    """What the scores of examples come to.

    loss: mean of the label's. Of classes and choices: accuracy; macro_f1, the mean over classes of the harmonic mean of
    precision and recall; matthews, Matthews' correlation; calibration_error; all in per cent. Of numbers: the
    correlations of Pearson and, by ranks, of Spearman.
    """
    # scikit-learn and SciPy take a second to load, which only those who measure should wait
    metrics: Any = importlib.import_module("sklearn.metrics")  # which has no types

    targets = torch.from_numpy(examples.targets)
    known = len(targets) if settings.data.numbers else int((targets != UNKNOWN).sum())
    found = {"loss": float(label_loss(settings, scores_BC, targets)) / known if known else math.nan}
    if settings.data.numbers:
        return {**found, **correlations(scores_BC[:, 0].numpy(), examples.targets)}
    predicted, true = scores_BC.argmax(1).numpy(), examples.targets
    macro_f1 = metrics.f1_score(true, predicted, average="macro", zero_division=0.0)
    scores = {"accuracy": metrics.accuracy_score(true, predicted), "macro_f1": macro_f1}
    # of one class alone scikit-learn warns, and says 0 as well
    scores["matthews"] = metrics.matthews_corrcoef(true, predicted) if len({*true, *predicted}) > 1 else 0.0
    found |= {name: 100 * float(value) for name, value in scores.items()}
    return {**found, "calibration_error": calibration_error(softmax(scores_BC).numpy(), true)}
