"""What the training loop asks of a task: batches, a loss, names for batches, and a validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from sightline.data.batches import DataPosition


class Task(Protocol):
    """Joins a model with its data. The loop knows nothing else about either.

    What a task does may depend on the model's parameters and buffers, on the batch, on the generator it is given, on
    torch's global generators and on what `carried` tells; all of these are saved and restored. A task that keeps other
    state between batches cannot be resumed exactly, nor can one that draws from a global generator while several
    workers do.
    """

    @property
    def model(self) -> torch.nn.Module:
        """What is trained. Its parameters are updated in place."""
        ...

    @property
    def unit(self) -> str:
        """What the size of a batch is told in: "tokens" or "images"."""
        ...

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, Any]]:
        """Batches from `position` on, for ever, each with the position that follows it.

        After the last batch of an epoch that position is batch 0 of the next epoch.
        """
        ...

    def size(self, batch: Any) -> int:
        """How many tokens or images the batch has, padding not counted; never waits for a device."""
        ...

    def split(self, batch: Any, parts: int) -> list[Any]:
        """The batch in at most `parts` pieces of like size, for workers side by side."""
        ...

    def replica(self, model: torch.nn.Module) -> Task:
        """The same task for a copy of the model; both are used at once, from different threads."""
        ...

    def loss(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """(loss summed over what is predicted, how many predictions those are, further sums for the log).

        What is predicted are tokens, or labels. The further sums are logged per prediction, under their names.
        """
        ...

    def carried(self) -> dict[str, Tensor]:
        """What goes on from one batch to the next, such as recurrent states, by name; empty for most tasks."""
        ...

    def carry(self, tensors: dict[str, Tensor]) -> None:
        """Takes over what `carried` told."""
        ...

    def describe(self, batch: Any) -> str:
        """Names the batch in an error message."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures of merit of the model as it is, by name, such as {"loss": 2.1, "bleu": 31.4}."""
        ...
