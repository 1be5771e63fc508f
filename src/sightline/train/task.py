"""What the training loop asks of a task: batches, a loss, names for batches, and a validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from sightline.data.batches import DataPosition
from sightline.train.metric import Metric

Batch = TypeVar("Batch")


class Task(Protocol[Batch]):
    """Joins a model with its data. The loop knows nothing else about either.

    What a task does may depend on the model's parameters and buffers, on the batch, on the generator it is given, on
    torch's global generators and on its carried state; all of these are saved and restored. A task that keeps other
    state between batches cannot be resumed exactly, nor can one that draws from a global generator while several
    workers do.
    """

    @property
    def model(self) -> torch.nn.Module:
        """What is trained. Its parameters are updated in place."""
        ...

    @property
    def unit(self) -> str:
        """What `num_units` counts: "tokens" or "images"."""
        ...

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """By name, what is known of the figures that `validate` gives."""
        ...

    def data_fingerprint(self) -> str | None:
        """Identifies the encoded training and validation data: equal where the batches are; None where unknown.

        A run goes on with no other data than it began with.
        """
        ...

    @property
    def batches_per_epoch(self) -> int | None:
        """How many batches the first epoch has; None where unknown."""
        ...

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, Batch]]:
        """Batches from `position` on, for ever, each with the position that follows it.

        After the last batch of an epoch that position is batch 0 of the next epoch.
        """
        ...

    def num_units(self, batch: Batch) -> int:
        """How many tokens or images the batch has, padding not counted; never waits for a device."""
        ...

    def split(self, batch: Batch, parts: int) -> list[Batch]:
        """The batch in at most `parts` pieces of like size, for workers side by side."""
        ...

    def replica(self, model: Any) -> Task[Batch]:
        """The same task for a copy of the model; both are used at once, from different threads."""
        ...

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """(loss summed over what is predicted, how many predictions those are, further sums for the log).

        What is predicted are tokens, or labels. The further sums are logged per prediction, under their names.
        """
        ...

    def carried_state(self) -> dict[str, Tensor]:
        """What goes on from one batch to the next, such as recurrent states, by name; empty for most tasks."""
        ...

    def load_carried_state(self, tensors: dict[str, Tensor]) -> None:
        """Restores what `carried_state` gave."""
        ...

    def padding(self) -> float | None:
        """The share of an epoch's tensor cells that hold padding; None where that is nothing or unknown."""
        ...

    def describe(self, batch: Batch) -> str:
        """Names the batch in an error message."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures of merit of the model as it is, by name, such as {"loss": 2.1, "bleu": 31.4}."""
        ...
