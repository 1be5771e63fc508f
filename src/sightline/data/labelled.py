"""Texts with a label: records of a table, and batches of the token sequences made from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sightline.data.readers import Column, check_part, part_of, read_records, resolve
from sightline.errors import DataError


@dataclass(frozen=True)
class LabelledSource:
    """Where labelled texts come from: a TSV or JSON Lines file, one record a line.

    `texts` and `label` name columns: numbers from 0, or names of the first line (TSV) or keys (JSON Lines). `part`
    takes the records between two fractions of their number.
    """

    source: str
    texts: tuple[Column, ...]
    label: Column
    part: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_part(self.source, self.part)

    def path(self) -> Path:
        return resolve(self.source)


def read_labelled(source: LabelledSource) -> Iterator[tuple[tuple[str, ...], str]]:
    """(texts, label) of each record, in order. Raises DataError (file:line) for a record without one of them."""
    path = source.path()
    records = read_records(path, (*source.texts, source.label), numeric=source.label)
    if source.part != (0.0, 1.0):
        records = part_of(records, source.part)
    for number, (*texts, label) in records:
        if not label.strip():
            raise DataError(f"{path}:{number}: the label is empty; check the line")
        yield tuple(texts), label.strip()


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
    rows = [examples.sequences[i * examples.each + k] for i in indices for k in range(examples.each)]
    longest = max(map(len, rows))
    tokens = np.zeros((len(rows), longest), dtype=np.int64)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = ids
    lengths = np.array([len(ids) for ids in rows])
    real = np.arange(longest) < lengths[:, None]
    targets = torch.from_numpy(examples.targets[indices])
    return ExampleBatch(torch.from_numpy(tokens), torch.from_numpy(real), targets, indices, examples.each)
