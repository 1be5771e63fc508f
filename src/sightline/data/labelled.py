"""Texts with a label: records of a table, and batches of the token sequences made from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from sightline.data.headers import LABEL_NAMES, TEXT_NAMES
from sightline.data.records import TableSource, column_names, has_header, is_keyed
from sightline.data.sources import WHOLE, Column, Outline, Part, resolve, take_part
from sightline.data.splits import take_stratified
from sightline.data.text import BadRecord, is_blank, refuse
from sightline.errors import DataError

Labelled = tuple[tuple[str, ...], str]  # texts, label


class LabelledSource(TableSource):
    """Where labelled texts come from: a TSV, CSV, JSON Lines or Parquet file, one record a line.

    `texts` and `label` name columns: numbers from 0, or names of the first line (TSV, CSV) or keys (JSON Lines).
    """

    source: str = Field(description="a TSV, CSV, JSON Lines or Parquet file")
    texts: tuple[Column, ...] = Field(min_length=1, description="numbers (from 0), names or keys of the texts")
    label: Column = Field(description="number (from 0), name or key of the label")
    part: Part = WHOLE

    stratified: ClassVar[bool] = True

    def columns(self) -> tuple[Column, ...]:
        """Those of the texts, then that of the label."""
        return (*self.texts, self.label)

    @property
    def label_column(self) -> Column:
        """See `label`."""
        return self.label

    def outlines(self, bad: BadRecord = refuse) -> Iterator[Outline]:
        """The records, by their texts."""
        return (Outline(split_key(record), *record) for _, record in read_numbered_labelled(self, bad))


def read_labelled(source: LabelledSource, bad: BadRecord = refuse) -> Iterator[Labelled]:
    """(texts, label) of each record, in order, but for empty ones.

    Records of one text, or of the same texts, are on one side of a split, and each class is on every side.

    Raises DataError (file:line) for a record without one of them, or tells `bad`.
    """
    records = take_part((record for _, record in read_numbered_labelled(source, bad)), source.part)
    yield from take_stratified(records, source.split, split_key, lambda record: record[1])


def split_key(record: Labelled) -> str:
    """What records on two sides of a split do not share."""
    return "\0".join(record[0])


def read_numbered_labelled(source: LabelledSource, bad: BadRecord = refuse) -> Iterator[tuple[int, Labelled]]:
    """All records of a file, whatever the source's part and split, each with its number; `bad` is told of what is none.

    An empty line, or what a spreadsheet leaves below its records, is left out.
    """
    for number, (*texts, label) in source.records(bad):
        if is_blank(label) and all(map(is_blank, texts)):
            continue
        if is_blank(label):
            bad(DataError(f"{source.files()[0]}:{number}: the label is empty; check the line"))
        else:
            yield number, (tuple(texts), label.strip())


def suggest_columns(source: str) -> dict[str, str | int | list[str] | list[int]]:
    """`texts` and `label` for a file of one text and its label, as a `LabelledSource` takes them.

    Names where the first line of a table has them, the label being the column called so; keys of JSON Lines and names
    of Parquet; else the first two columns.
    """
    path = resolve(source)
    if path.is_file():
        names = column_names(path)
        label = next((name for name in LABEL_NAMES if name in names), None)
        texts = [name for name in TEXT_NAMES if name in names and name != label]
        if label is not None and texts:
            places = (names.index(texts[0]), names.index(label))
            if is_keyed(path) or has_header(path, places, places[1]):
                return {"texts": texts[:1], "label": label}
    if is_keyed(path):
        return {"texts": ["text"], "label": "label"}
    return {"texts": [0], "label": 1}


@dataclass(frozen=True)
class Examples:
    """Token sequences, `each` of them in a row for every example, and a target for each example."""

    sequences: Sequence[Sequence[int]]
    each: int
    targets: np.ndarray  # int64 classes, or float32 numbers

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def lengths(self) -> np.ndarray:
        """Of each example's longest sequence."""
        lengths = np.array([len(ids) for ids in self.sequences], dtype=np.int64)
        return lengths.reshape(-1, self.each).max(1)

    def num_tokens(self, indices: np.ndarray) -> int:
        """Of all sequences of the examples `indices`."""
        return sum(len(self.sequences[i * self.each + k]) for i in indices for k in range(self.each))


@dataclass(frozen=True)
class ExampleBatch:
    """Sequences of some examples, padded on the right: N = examples · each rows."""

    tokens_NT: Tensor
    real_NT: Tensor
    targets_B: Tensor
    indices: np.ndarray
    each: int

    def split(self, parts: int) -> list[ExampleBatch]:
        """The examples dealt out, in order, to at most `parts` batches of like size."""
        bounds = np.linspace(0, len(self.indices), min(parts, len(self.indices)) + 1).astype(int).tolist()
        return [self._rows(slice(low, high)) for low, high in pairwise(bounds)]

    def _rows(self, rows: slice) -> ExampleBatch:
        inner = slice(rows.start * self.each, rows.stop * self.each)
        return ExampleBatch(
            self.tokens_NT[inner], self.real_NT[inner], self.targets_B[rows], self.indices[rows], self.each
        )

    def to(self, device: torch.device | str) -> ExampleBatch:
        """The same batch on another device."""
        return ExampleBatch(
            self.tokens_NT.to(device), self.real_NT.to(device), self.targets_B.to(device), self.indices, self.each
        )


def collate_examples(examples: Examples, indices: np.ndarray) -> ExampleBatch:
    """The tensors of the examples `indices`; 0 fills the ends of shorter rows."""
    rows: list[Sequence[int]] = [
        examples.sequences[i * examples.each + k] for i in indices for k in range(examples.each)
    ]
    longest = max(map(len, rows))
    tokens = np.zeros((len(rows), longest), dtype=np.int64)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = ids
    lengths = np.array([len(ids) for ids in rows])
    real = np.arange(longest) < lengths[:, None]
    targets = torch.from_numpy(examples.targets[indices])
    return ExampleBatch(torch.from_numpy(tokens), torch.from_numpy(real), targets, indices, examples.each)
