"""What tasks have in common."""

from __future__ import annotations

import copy
from typing import Any, Self

from torch import Tensor, nn


class PlainTask:
    """Batches that split themselves, replicas that share all but the model, and nothing carried between batches."""

    model: nn.Module

    def split(self, batch: Any, parts: int) -> list[Any]:
        """The batch in at most `parts` pieces, for workers side by side."""
        return batch.split(parts)

    def replica(self, model: nn.Module) -> Self:
        """The same task for another copy of the model."""
        other = copy.copy(self)
        other.model = model
        return other

    def carried(self) -> dict[str, Tensor]:
        """Nothing: every batch stands alone."""
        return {}

    def carry(self, tensors: dict[str, Tensor]) -> None:
        """Nothing to take over."""
