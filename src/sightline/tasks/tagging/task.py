"""Fine-tuning a BERT to tag words or characters, such as with the names they are part of (Devlin et al. 2019, 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.batches import DataPosition, iterate
from sightline.data.labelled import ExampleBatch, Examples, collate_examples
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.tagged import UNTAGGED, Aligned, TaggedSource, align, read_tagged, span_f1, unit_tags
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, nearest
from sightline.models.classifier import BertTokenClassifier
from sightline.nn.context import PassContext
from sightline.special_tokens import BOS_ID, EOS_ID
from sightline.tasks.base import BaseTask, beginning
from sightline.tasks.tagging.settings import METRICS, TaggingSettings
from sightline.tasks.tokens import SIDE, in_batches, make_token_classifier, token_logits

Units = Sequence[str]


def read_training(settings: TaggingSettings) -> Iterator[tuple[Units, Sequence[str]]]:
    """(units, tags) of the training records, the first `data.first` of them."""
    records = chain.from_iterable(read_tagged(files) for files in settings.data.train)
    return islice(records, settings.data.first or None)


def find_tags(settings: TaggingSettings) -> tuple[str, ...]:
    """The tags of the training records, in order. Raises DataError where there is one only, or a thousand."""
    if settings.data.tags:
        return settings.data.tags
    found = sorted({tag for _, tags in read_training(settings) for tag in tags})
    if not 2 <= len(found) < 1000:
        raise DataError(f"{settings.data.train[0].source}: {len(found):,} different tags; check the last column")
    return tuple(found)


def train_tokenizers(settings: TaggingSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizer, learned from the training texts."""
    joined_by = settings.data.train[0].joined_by
    texts = ProgressReporter(report, VOCABULARY, sources=() if settings.data.first else settings.data.train).over(
        joined_by.join(units) for units, _ in read_training(settings)
    )
    return {SIDE: Tokenizer.train(texts, **settings.tokenizer.model_dump())}


def make_model(settings: TaggingSettings, tokenizers: dict[str, Tokenizer]) -> BertTokenClassifier:
    """The model, its weights drawn from a generator seeded by the run's seed."""
    return make_token_classifier(settings, tokenizers, max(len(settings.data.tags), 1))


@dataclass(frozen=True)
class Pieces:
    """Records in pieces short enough to be read: of each its record, its units, and where those lie in its tokens."""

    record: list[int]
    units: list[Units]
    aligned: list[Aligned]

    @property
    def sequences(self) -> list[list[int]]:
        """Tokens of the pieces as the model reads them."""
        return [[BOS_ID, *one.ids, EOS_ID] for one in self.aligned]


def cut(records: Iterable[Units], joined_by: str, tokenizer: Tokenizer, max_tokens: int) -> Pieces:
    """The records; those of more than `max_tokens` tokens halved until they fit. A unit alone is cut instead."""
    pieces = Pieces([], [], [])
    for number, record in enumerate(records):
        waiting = [record]
        while waiting:
            units = waiting.pop()
            aligned = align(units, joined_by, tokenizer)
            if len(aligned.ids) > max_tokens - 2 and len(units) > 1:
                waiting += [units[len(units) // 2 :], units[: len(units) // 2]]
                continue
            pieces.record.append(number)
            pieces.units.append(units)
            pieces.aligned.append(Aligned(aligned.ids[: max_tokens - 2], aligned.token_of))
    return pieces


class TaggingTask(BaseTask[BertTokenClassifier]):
    """Joins a model with tagged units for the training loop."""

    metrics = METRICS
    settings: TaggingSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        for line in (line for source in settings.data.train for line in source.notices()):
            report(line)
        files: Any = settings.data.validation
        self._validation = read_all(settings, files)
        self._joined_by = files.joined_by
        records = list(read_training(settings))
        where = settings.data.train[0]
        if not records:
            raise DataError(f"{where.source}: no records; check the file")
        pieces = cut([units for units, _ in records], where.joined_by, self.tokenizers[SIDE], settings.data.max_tokens)
        self._targets = _targets(settings, pieces, [tags for _, tags in records])
        self._train = Examples(pieces.sequences, 1, np.zeros(len(pieces.record), dtype=np.int64))
        self._order = in_batches(settings, self._train, settings.training.seed)
        report(f"{where.source}: {len(records):,} records, read in {len(pieces.record):,} pieces")
        report(f"batches: {len(self._order.epoch(0)):,} per epoch")

    def data(self) -> tuple[object, ...]:
        """What is learned from and validated on."""
        return self._train, self._validation, self._targets

    @property
    def batches_per_epoch(self) -> int:
        """How many batches the first epoch has; others differ by a few."""
        return len(self._order.epoch(0))

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, ExampleBatch]]:
        """Batches from `position` on, for ever, each with the position after it; targets (N, T), -100 for none."""
        for after, indices in iterate(self._order, position):
            batch = collate_examples(self._train, indices)
            targets_NT = torch.full_like(batch.tokens_NT, UNTAGGED)
            for row, index in enumerate(indices.tolist()):
                tags = torch.tensor(self._targets[index])
                targets_NT[row, : len(tags)] = tags
            yield after, replace(batch, targets_B=targets_NT).to(self.device)

    def padding(self) -> float:
        return self._order.padding(0)

    def num_units(self, batch: ExampleBatch) -> int:
        """Tokens of the inputs."""
        return self._train.num_tokens(batch.indices)

    def loss(self, batch: ExampleBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """Cross-entropy of the tags (nats) summed over the tokens that have one, and how many those are."""
        tagged_NT = batch.targets_B != UNTAGGED
        targets_K = batch.targets_B[tagged_NT]
        ctx = PassContext(generator=generator)
        logits_KC = self.model(batch.tokens_NT, batch.real_NT, chosen_NT=tagged_NT, ctx=ctx).float()
        logits_KU = _by_tag(self.settings, logits_KC)
        return F.cross_entropy(logits_KU, targets_K, reduction="sum"), len(targets_K), {}

    def describe(self, batch: ExampleBatch) -> str:
        """Names a batch in an error message: its pieces and its first text."""
        first = beginning(self.tokenizers[SIDE], batch.tokens_NT[0])
        return f"pieces {batch.indices[:5].tolist()}…, the first one {first}"

    def validate(self) -> dict[str, float]:
        """See `measure`."""
        return measure(self.settings, self.model, self.tokenizers[SIDE], self._validation, self._joined_by)


def read_all(
    settings: TaggingSettings, files: TaggedSource, unknown_labels: bool = False
) -> list[tuple[Units, Sequence[str]]]:
    """(units, tags) of the records of a file. Raises DataError where there are none, or a tag that training has not."""
    found: list[tuple[Units, Sequence[str]]] = list(read_tagged(files))
    if not found:
        raise DataError(f"{files.source}: no records; check the file")
    if not unknown_labels:
        _require_tags(settings, found, files.source)
    return found


def _require_tags(settings: TaggingSettings, records: Iterable[tuple[Units, Sequence[str]]], where: str) -> None:
    for number, (_, tags) in enumerate(records, 1):
        for tag in tags:
            if tag not in settings.data.tags:
                known = nearest(tag, settings.data.tags)
                raise DataError(f'{where}, record {number}: no training record has the tag "{tag}"{known}')


def _targets(settings: TaggingSettings, pieces: Pieces, tags: Sequence[Sequence[str]]) -> list[list[int]]:
    """For each token of each piece the number of its first unit's tag, -100 where no unit begins in it.

    Numbers count different tags, as `_by_tag` has them.
    """
    numbers = {tag: number for number, tag in enumerate(dict.fromkeys(settings.data.tags))}
    found: list[list[int]] = []
    for record, group in groupby(range(len(pieces.record)), key=lambda i: pieces.record[i]):
        place = 0
        for index in group:
            own = tags[record][place : place + len(pieces.units[index])]
            place += len(own)
            units = pieces.aligned[index].first_units()
            found.append(
                [UNTAGGED, *(UNTAGGED if unit < 0 else numbers.get(own[unit], UNTAGGED) for unit in units), UNTAGGED]
            )
    return found


def _by_tag(settings: TaggingSettings, logits_KC: Tensor) -> Tensor:
    """Logits (K, U) of the different tags: of one that several outputs stand for, as a begin and a single unit of an
    imported tagger, the probabilities are added."""
    tags = settings.data.tags
    names = list(dict.fromkeys(tags))
    if len(names) == len(tags):
        return logits_KC
    outputs = ([number for number, tag in enumerate(tags) if tag == name] for name in names)
    return torch.stack([logits_KC[:, one].logsumexp(1) for one in outputs], 1)


@dataclass(frozen=True)
class Tagged:
    """What a model says of records: of each the tags of its units; and the logits (T, C) of each piece's tokens."""

    tags: list[list[str]]
    pieces: Pieces
    logits: list[Tensor]


def tag(
    settings: TaggingSettings,
    model: BertTokenClassifier,
    tokenizer: Tokenizer,
    records: Sequence[Units],
    joined_by: str,
) -> Tagged:
    """The tags of each record's units, in BIO."""
    found = Tagged([[] for _ in records], cut(records, joined_by, tokenizer, settings.data.max_tokens), [])
    for index, logits_TC in enumerate(token_logits(settings, model, found.pieces.sequences)):
        found.logits.append(logits_TC[1:-1])  # [CLS] and [SEP] have no tags
        likeliest = cast("list[int]", found.logits[index].argmax(1).tolist())
        names = [settings.data.tags[number] for number in likeliest]
        found.tags[found.pieces.record[index]].extend(unit_tags(found.pieces.aligned[index], names))
    return found


def measure(
    settings: TaggingSettings,
    model: BertTokenClassifier,
    tokenizer: Tokenizer,
    records: Sequence[tuple[Units, Sequence[str]]],
    joined_by: str,
) -> dict[str, float]:
    """How well a model tags records; see `figures`."""
    return figures(settings, records, tag(settings, model, tokenizer, [units for units, _ in records], joined_by))


def figures(
    settings: TaggingSettings, records: Sequence[tuple[Units, Sequence[str]]], found: Tagged
) -> dict[str, float]:
    """What a model's tags of records come to.

    loss: nats a token with a tag. accuracy: share of units with the right tag. precision, recall, span_f1: of spans,
    their ends and types exact, as CoNLL 2003 counts them. All but the loss in per cent.
    """
    gold = [tags for _, tags in records]
    target_K = torch.tensor([number for one in _targets(settings, found.pieces, gold) for number in one[1:-1]])
    loss = float(F.cross_entropy(_by_tag(settings, torch.cat(found.logits)), target_K, ignore_index=UNTAGGED))
    right = sum(one == other for pair in zip(gold, found.tags, strict=True) for one, other in zip(*pair, strict=True))
    precision, recall, f1 = span_f1(gold, found.tags)
    accuracy = 100 * right / sum(map(len, gold))
    return {"loss": loss, "accuracy": accuracy, "precision": precision, "recall": recall, "span_f1": f1}
