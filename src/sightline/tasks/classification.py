"""Fine-tuning a GPT or a BERT to label texts, number them or choose among them.

See Radford et al. 2018, section 3, and Devlin et al. 2019, section 4.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from sightline.data.batches import BatchOrder, DataPosition, iterate
from sightline.data.labelled import ExampleBatch, Examples, LabelledSource, collate_examples, read_labelled
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.tokenizer import Tokenizer
from sightline.decode.probabilities import softmax
from sightline.errors import DataError, nearest
from sightline.models import BertSizes, GPTSizes
from sightline.models.classifier import CLASSIFIERS, Tuning, make_classifier
from sightline.nn.forward import INFERENCE, Forward
from sightline.tasks.base import PlainTask
from sightline.tasks.metrics import calibration_error, correlations
from sightline.tasks.settings import Frozen, TokenizerSettings, check_metric
from sightline.train.settings import TrainSettings

SIDE = "text"  # the name of the one tokenizer
_DISTINCT = 20  # classes in more than half of the records are a question from so many on
Texts = Sequence[list[int]]  # tokens of each text of a record


class DataSettings(Frozen):
    """What is learned and measured."""

    train: tuple[LabelledSource, ...] = Field(
        description="TSV or JSON Lines files; texts = names or numbers of their columns, label = that of the label, "
        "part = [from, to] as fractions",
    )
    validation: LabelledSource | None = Field(None, description="records that choose the best checkpoint")
    test: dict[str, LabelledSource] = Field(
        default={}, description="sets that `sightline evaluate` reports on, by name"
    )
    form: Literal["single", "pair", "similarity", "choice"] = Field(
        "single",
        description="single: one text; pair: two in order (entailment); similarity: two in both orders; choice: a "
        "context, then the texts to choose from, the label being the number of the right one from 0",
    )
    choices: int = Field(
        0,
        ge=0,
        description="choice only: how many texts there are to choose from; as many as the files name where it is 0",
    )
    labels: tuple[str, ...] = Field((), description="the classes; those of the training records where not given")
    numbers: bool = Field(False, description="labels are numbers to be predicted (regression), not classes")
    first: int = Field(0, ge=0, description="use only the first so many training records; 0 takes all")
    max_tokens: int = Field(128, ge=4, description="the texts of longer sequences are cut; how many is told")


class ClassificationSettings(Frozen):
    """Everything a fine-tuned classifier is made from."""

    task: Literal["classification"] = Field("classification", description="what the model learns")
    pretrained: str | None = Field(
        None,
        description="run of a GPT or BERT whose weights, sizes and tokenizer are taken; from scratch where not given",
    )
    scratch: bool = Field(
        False,
        description="take the pretrained run's sizes and tokenizer but not its weights, to see what those are worth",
    )
    data: DataSettings
    tokenizer: TokenizerSettings = TokenizerSettings.model_validate({})
    model: GPTSizes | BertSizes = Field(default_factory=lambda: GPTSizes.model_validate({}), discriminator="kind")
    tuning: Tuning = Tuning.model_validate({})
    calibrate: bool = Field(
        False, description="after training, scale probabilities to what validation shows them to be worth"
    )
    auxiliary: float = Field(
        0.5,
        ge=0,
        description="GPT only: weight of the language-model loss beside the label's (Radford et al. 2018, eq. 5)",
    )
    training: TrainSettings = TrainSettings.model_validate({})

    def given(self, source: str) -> LabelledSource:
        """A file that is only named, read as the training text was; of an imported model the label comes last."""
        usual = LabelledSource(source=source, texts=tuple(range(self.texts)), label=self.texts)
        return (self.data.train or (usual,))[0].model_copy(update={"source": source, "part": (0.0, 1.0)})

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Classifier"

    @property
    def span(self) -> int:
        """The most tokens that attend to each other."""
        return self.data.max_tokens

    @property
    def texts(self) -> int:
        """How many texts a record has."""
        named = len(self.data.train[0].texts) if self.data.train else 0
        choice = 1 + self.data.choices if self.data.choices else named
        return {"single": 1, "pair": 2, "similarity": 2, "choice": choice}[self.data.form]

    @property
    def language_weight(self) -> float:
        """Of the language-model loss; a BERT has none."""
        return self.auxiliary if self.model.kind == "gpt" else 0.0

    @property
    def by_number(self) -> bool:
        """Whether labels are numbers: to be predicted, or of the right text."""
        return self.data.numbers or self.data.form == "choice"

    @field_validator("model", mode="before")
    @classmethod
    def _gpt_unless_said(cls, model: Any) -> Any:
        return {"kind": "gpt", **model} if type(model) is dict else model

    @model_validator(mode="after")
    def _fits(self) -> ClassificationSettings:
        data, length = self.data, self.model.max_length
        for files in (*data.train, *([data.validation] if data.validation else []), *data.test.values()):
            if data.form == "choice" and len(files.texts) < 3:
                raise ValueError(f"data.form choice reads a context and at least two texts; {files.source} has fewer")
            if len(files.texts) != self.texts:
                raise ValueError(f"{files.source} names {len(files.texts)} texts; {self.texts} are read")
        if data.max_tokens > length:
            raise ValueError(f"data.max_tokens {data.max_tokens} is more than model.max_length {length}")
        if data.choices and (data.form != "choice" or data.choices < 2):
            raise ValueError(f"data.choices {data.choices}: it is for data.form choice, of two texts or more")
        if data.numbers and (data.form == "choice" or data.labels):
            raise ValueError("data.numbers goes with neither classes nor a choice")
        if len(set(data.labels)) != len(data.labels):
            raise ValueError(f"data.labels has one twice: {', '.join(data.labels)}")
        if self.calibrate and data.numbers:
            raise ValueError("calibrate is for the probabilities of classes, and data.numbers has none")
        if self.pretrained is None and (self.tuning.weights != "full" or self.scratch):
            what = "scratch" if self.scratch else f"tuning.weights {self.tuning.weights}"
            raise ValueError(f"{what} is for a pretrained run, and none is named")
        check_metric(self.training, self.figures)
        return self

    @property
    def figures(self) -> tuple[str, ...]:
        """What is measured in validation."""
        if self.data.numbers:
            return ("loss", "pearson", "spearman")
        return ("loss", "accuracy", "macro_f1", "matthews", "calibration_error")


def sequences(settings: ClassificationSettings, texts: Texts, vocab_size: int) -> list[list[int]]:
    """Tokens of one example as the model reads them (Radford et al. 2018, figure 1; Devlin et al. 2019, figure 4).

    single: the text; pair: two in order; similarity: two in both orders; choice: one pair of the context and each of
    the others; with the special tokens that the model's kind puts around and between them.
    """
    form = settings.data.form
    joined = CLASSIFIERS[settings.model.kind].joined
    groups: list[Texts] = [texts]
    if form == "similarity":
        groups = [texts, (texts[1], texts[0])]
    elif form == "choice":
        groups = [(texts[0], other) for other in texts[1:]]
    return [joined(group, vocab_size) for group in groups]


def cut(settings: ClassificationSettings, texts: Texts) -> Texts:
    """The texts, or, where their sequences are longer than `data.max_tokens`, those cut to one greatest length."""
    limit = settings.data.max_tokens

    def capped(cap: int | None) -> Texts:
        return [ids[:cap] for ids in texts]

    def fits(cap: int | None) -> bool:
        return max(map(len, sequences(settings, capped(cap), 0))) <= limit

    return texts if fits(None) else capped(bisect(range(limit), False, key=lambda cap: not fits(cap)) - 1)


def target(label: str, settings: ClassificationSettings, where: str) -> float:
    """A label as a class's number or as a number. Raises DataError for one that is neither."""
    if not settings.by_number:
        labels = settings.data.labels
        if label not in labels:
            raise DataError(f'{where}: no training record has the label "{label}"{nearest(label, labels)}')
        return labels.index(label)
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f'{where}: the label "{label}" is not a number')
    if not settings.data.numbers and value not in range(settings.texts - 1):
        raise DataError(f'{where}: the label "{label}" is not the number of a text, 0 to {settings.texts - 2}')
    return value


def find_labels(settings: ClassificationSettings) -> tuple[str, ...]:
    """The classes of the training records, in order; none where labels are numbers.

    Raises DataError where they are no classes: one only, or more than a thousand.
    """
    if settings.data.labels or settings.by_number:
        return settings.data.labels
    labels = [label for _, label in read_training(settings)]
    found = sorted(set(labels))
    where = settings.data.train[0].source
    if len(found) < 2:
        raise DataError(f"{where}: {len(found)} different labels in the training records; a classifier needs two")
    if len(found) > _DISTINCT and len(found) > len(labels) / 2:
        raise DataError(
            f"{where}: {len(found):,} different labels in {len(labels):,} records; column "
            f"{settings.data.train[0].label!r} looks like text, so choose another"
        )
    if len(found) > 1000:
        raise DataError(f"{where}: {len(found):,} different labels; set data.numbers, or choose another column")
    return tuple(found)


def read_training(settings: ClassificationSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """(texts, label) of the training records, the first `data.first` of them."""
    records = chain.from_iterable(read_labelled(files) for files in settings.data.train)
    return islice(records, settings.data.first or None)


def train_tokenizers(settings: ClassificationSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizer, learned from the training texts."""
    texts = (text for record, _ in read_training(settings) for text in record)
    texts = ProgressReporter(report, VOCABULARY).over(texts)
    return {SIDE: Tokenizer.train(texts, **settings.tokenizer.model_dump())}


def make_model(settings: ClassificationSettings, tokenizers: dict[str, Tokenizer]) -> nn.Module:
    """The model, its weights drawn from a generator seeded by the run's seed."""
    outputs = 1 if settings.by_number else len(settings.data.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.training.seed)
        return make_classifier(tokenizers[SIDE].vocab_size, settings.model, outputs, settings.tuning)


class ClassificationTask(PlainTask):
    """Joins a model with labelled texts for the training loop."""

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

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, ExampleBatch]]:
        """Batches from `position` on, for ever, each with the position after it."""
        for after, indices in iterate(self._order, position):
            yield after, collate_examples(self._train, indices).to(self.device)

    def size(self, batch: ExampleBatch) -> int:
        """Tokens of the inputs."""
        return self._train.num_tokens(batch.indices)

    def loss(self, batch: ExampleBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """The label's loss plus `auxiliary` times the language model's, summed over examples; how many those are.

        The language model's loss of an example is the mean over the tokens of its sequences.
        """
        model: Any = self.model
        forward = Forward(generator=generator)
        features_NTD, last_ND = model.read(batch.tokens_NT, batch.real_NT, forward)
        loss = label_loss(self.settings, scores(self.settings, model, last_ND, batch.each, forward), batch.targets_B)
        extras = {"label_loss": loss.detach()}
        if self.settings.language_weight:
            nats, spoken = model.language_loss(features_NTD, batch.tokens_NT, batch.real_NT)
            loss = loss + self.settings.language_weight * len(batch.targets_B) / max(spoken, 1) * nats
        return loss, len(batch.targets_B), extras

    def describe(self, batch: ExampleBatch) -> str:
        """Names a batch in an error message: its records and its first text."""
        first = self.tokenizers[SIDE].decode(
            i for i in batch.tokens_NT[0].tolist() if i < self.tokenizers[SIDE].vocab_size
        )
        return f"records {batch.indices[:5].tolist()}…, the first one {first[:80]!r}"

    def validate(self) -> dict[str, float]:
        """See `figures`."""
        return figures(self.settings, all_scores(self.settings, self.model, self._validation), self._validation)


def batch_order(examples: Examples, settings: ClassificationSettings, seed: int) -> BatchOrder:
    """Batches by tokens, all sequences of an example counted."""
    lengths = examples.lengths * examples.each
    return BatchOrder(lengths, lengths, max(settings.training.tokens_per_batch, int(lengths.max()) + 1), seed=seed)


def encode_files(
    settings: ClassificationSettings,
    tokenizer: Tokenizer,
    files: LabelledSource,
    report: Callable[[str], None] = lambda line: None,
) -> Examples:
    """The records of a file as examples; those that are too long are cut."""
    for line in files.notices():
        report(line)
    return encode(settings, tokenizer, read_labelled(files), files.source, report)


def encode(
    settings: ClassificationSettings,
    tokenizer: Tokenizer,
    labelled: Iterable[tuple[tuple[str, ...], str]],
    where: str,
    report: Callable[[str], None] = lambda line: None,
) -> Examples:
    """(texts, label) of records, which lie at `where`, as examples. Raises DataError where there is no record."""
    records = list(labelled)
    if not records:
        raise DataError(f"{where}: no records; check the file")
    read = list(read_as_sequences(settings, tokenizer, [texts for texts, _ in records]))
    targets = [target(label, settings, f"{where}, record {number}") for number, (_, label) in enumerate(records, 1)]
    long = sum(was_cut for _, was_cut in read)
    report(f"{where}: {len(records):,} records; {long:,} of more than {settings.data.max_tokens} tokens cut")
    dtype = np.float32 if settings.data.numbers else np.int64
    return Examples([ids for one, _ in read for ids in one], len(read[0][0]), np.array(targets, dtype=dtype))


def read_as_sequences(
    settings: ClassificationSettings, tokenizer: Tokenizer, records: Sequence[tuple[str, ...]]
) -> Iterator[tuple[list[list[int]], bool]]:
    """For each record the sequences that the model reads, and whether its texts had to be cut for them."""
    for texts in zip(*(tokenizer.encode_batch(side) for side in zip(*records, strict=True)), strict=True):
        fitting = cut(settings, texts)
        yield sequences(settings, fitting, tokenizer.vocab_size), fitting is not texts


def scores(
    settings: ClassificationSettings, model: Any, last_ND: Tensor, each: int, forward: Forward = INFERENCE
) -> Tensor:
    """What stands for the sequences → (B, C) in fp32: logits of the classes or choices, or one number.

    The features of both orders of a similarity are added; each text of a choice has one output.
    """
    if settings.data.form == "similarity":
        last_ND = last_ND.unflatten(0, (-1, each)).sum(1)
    outputs = model.outputs(last_ND, forward).float()
    return outputs.view(-1, each) if settings.data.form == "choice" else outputs


def label_loss(settings: ClassificationSettings, scores_BC: Tensor, targets_B: Tensor) -> Tensor:
    """Cross-entropy (nats), or the squared error of numbers, summed over the examples."""
    if settings.data.numbers:
        return (scores_BC[:, 0] - targets_B).square().sum()
    return F.cross_entropy(scores_BC, targets_B, reduction="sum")


@torch.inference_mode()
def all_scores(settings: ClassificationSettings, model: Any, examples: Examples) -> Tensor:
    """(examples, C): the scores of every example, in order."""
    found: dict[int, Tensor] = {}
    for indices in batch_order(examples, settings, 0).epoch(0):
        batch = collate_examples(examples, indices).to(model.head.weight.device)
        _, last_ND = model.read(batch.tokens_NT, batch.real_NT)
        found |= zip(indices.tolist(), scores(settings, model, last_ND, batch.each).cpu(), strict=True)
    return torch.stack([found[number] for number in range(len(examples))])


def figures(settings: ClassificationSettings, scores_BC: Tensor, examples: Examples) -> dict[str, float]:
    """What the scores of examples come to.

    loss: mean of the label's. Of classes and choices: accuracy; macro_f1, the mean over classes of the harmonic mean of
    precision and recall; matthews, Matthews' correlation; calibration_error; all in per cent. Of numbers: the
    correlations of Pearson and, by ranks, of Spearman.
    """
    # scikit-learn and SciPy take a second to load, which only those who measure should wait
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    targets = torch.from_numpy(examples.targets)
    found = {"loss": float(label_loss(settings, scores_BC, targets)) / len(targets)}
    if settings.data.numbers:
        return {**found, **correlations(scores_BC[:, 0].numpy(), examples.targets)}
    predicted, true = scores_BC.argmax(1).numpy(), examples.targets
    macro_f1 = f1_score(true, predicted, average="macro", zero_division=0.0)  # pyright: ignore[reportArgumentType]
    scores = {"accuracy": accuracy_score(true, predicted), "macro_f1": macro_f1}
    # of one class alone scikit-learn warns, and says 0 as well
    scores["matthews"] = matthews_corrcoef(true, predicted) if len({*true, *predicted}) > 1 else 0.0
    found |= {name: 100 * float(value) for name, value in scores.items()}
    return {**found, "calibration_error": calibration_error(softmax(scores_BC).numpy(), true)}
