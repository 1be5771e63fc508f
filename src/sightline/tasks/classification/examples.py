"""Labelled records as sequences that a model reads (Radford et al. 2018, figure 1; Devlin et al. 2019, figure 4)."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

import numpy as np

from sightline.data.batches import BatchOrder
from sightline.data.labelled import Examples, LabelledSource, read_labelled
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, nearest
from sightline.models.classifier import build_inputs
from sightline.tasks.classification.settings import ClassificationSettings

Texts = Sequence[list[int]]  # tokens of each text of a record
_DISTINCT = 20  # from so many classes on, there being more of them than half of the records is a mistake


def sequences(settings: ClassificationSettings, texts: Texts, vocab_size: int) -> list[list[int]]:
    """Tokens of one example as the model reads them (Radford et al. 2018, figure 1; Devlin et al. 2019, figure 4).

    single: the text; pair: two in order; similarity: two in both orders; choice: one pair of the context and each of
    the others; with the special tokens that the model's kind puts around and between them.
    """
    form = settings.data.form
    groups: list[Texts] = [texts]
    if form == "similarity":
        groups = [texts, (texts[1], texts[0])]
    elif form == "choice":
        groups = [(texts[0], other) for other in texts[1:]]
    return [build_inputs(group, vocab_size, settings.model) for group in groups]


def cut(settings: ClassificationSettings, texts: Texts) -> Texts:
    """The texts, or, where their sequences are longer than `data.max_tokens`, those cut to one greatest length."""
    limit = settings.data.max_tokens

    def capped(cap: int | None) -> Texts:
        return [ids[:cap] for ids in texts]

    def fits(cap: int | None) -> bool:
        return max(map(len, sequences(settings, capped(cap), 0))) <= limit

    return texts if fits(None) else capped(bisect(range(limit), False, key=lambda cap: not fits(cap)) - 1)


UNKNOWN = -1  # in place of a class that training never had


def target(label: str, settings: ClassificationSettings, where: str, unknown_labels: bool = False) -> float:
    """A label as a class's number or as a number.

    Raises DataError for one that is neither, but for a class that training never had where `unknown_labels` is set:
    that is `UNKNOWN`.
    """
    if not settings.by_number:
        labels = settings.data.labels
        if label not in labels:
            if unknown_labels:
                return UNKNOWN
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

    Raises DataError where they are no classes: one only, more than a thousand, or most of them of one record.
    """
    if settings.data.labels or settings.by_number:
        return settings.data.labels
    labels = [label for _, label in read_training(settings)]
    found = sorted(set(labels))
    where = settings.data.train[0].source
    if not labels:
        raise DataError(f"{where}: no records; check the file")
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


def batch_order(examples: Examples, settings: ClassificationSettings, seed: int) -> BatchOrder:
    """Batches by tokens, all sequences of an example counted."""
    lengths = examples.lengths * examples.each
    return BatchOrder(lengths, lengths, max(settings.training.tokens_per_batch, int(lengths.max()) + 1), seed=seed)


def encode_files(
    settings: ClassificationSettings,
    tokenizer: Tokenizer,
    files: LabelledSource,
    report: Callable[[str], None] = lambda line: None,
    unknown_labels: bool = False,
) -> Examples:
    """The records of a file as examples; those that are too long are cut."""
    for line in files.notices():
        report(line)
    return encode(settings, tokenizer, read_labelled(files), files.source, report, unknown_labels)


def encode(
    settings: ClassificationSettings,
    tokenizer: Tokenizer,
    labelled: Iterable[tuple[tuple[str, ...], str]],
    where: str,
    report: Callable[[str], None] = lambda line: None,
    unknown_labels: bool = False,
) -> Examples:
    """(texts, label) of records, which lie at `where`, as examples. Raises DataError where there is no record."""
    records = list(labelled)
    if not records:
        raise DataError(f"{where}: no records; check the file")
    read = list(read_as_sequences(settings, tokenizer, [texts for texts, _ in records]))
    targets = [
        target(label, settings, f"{where}, record {number}", unknown_labels)
        for number, (_, label) in enumerate(records, 1)
    ]
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
