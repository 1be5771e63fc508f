"""What tasks have in common."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from sightline.data.fingerprint import fingerprint
from sightline.data.tokenizer import Tokenizer
from sightline.train.metric import Metric

M = TypeVar("M", bound=nn.Module)


def beginning(tokenizer: Tokenizer, ids_T: Tensor) -> str:
    """The first 80 characters of what token ids (T,) stand for, quoted, for error messages."""
    ids = cast("list[int]", ids_T.tolist())
    return repr(tokenizer.decode(i for i in ids if i < tokenizer.vocab_size)[:80])


class BaseTask(ABC, Generic[M]):
    """Batches that split themselves, replicas that share all but the model, and nothing carried between batches.

    Args:
        settings, tokenizers, model: of the run. device: where its batches go.
        report: called with a line for whoever waits. cache_dir: where what was read is kept; the user's by default.
    """

    unit = "tokens"
    metrics: Mapping[str, Metric]
    model: M

    def __init__(
        self,
        settings: Any,
        tokenizers: dict[str, Tokenizer],
        model: M,
        *,
        device: torch.device | str = "cpu",
        report: Callable[[str], None] = lambda line: None,
        cache_dir: Path | None = None,
    ) -> None:
        self.settings, self.tokenizers, self.model = settings, tokenizers, model
        self.device = torch.device(device)
        self.prepare(report, cache_dir)

    @abstractmethod
    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        """Reads what is learned from and measured on. Raises DataError where that cannot be."""

    @abstractmethod
    def num_units(self, batch: Any) -> int:
        """How many tokens the batch has, padding not counted; or what else `unit` says."""

    def data(self) -> tuple[object, ...]:
        """All that was read to be learned from and validated on, for its fingerprint; nothing where that is unknown."""
        return ()

    def data_fingerprint(self) -> str | None:
        """SHA-256 of `data`: a run goes on with no other."""
        found = self.data()
        return fingerprint(*found) if found else None

    def padding(self) -> float | None:
        """The share of an epoch's tensor cells that hold padding; None where nobody has counted."""
        return None

    @property
    def batches_per_epoch(self) -> int | None:
        """How many batches the first epoch has; None where the task does not say."""
        return None

    def split(self, batch: Any, parts: int) -> list[Any]:
        """The batch in at most `parts` pieces, for workers side by side."""
        return batch.split(parts)

    def replica(self, model: M) -> Self:
        """The same task for another copy of the model."""
        other = copy.copy(self)
        other.model = model
        return other

    def carried_state(self) -> dict[str, Tensor]:
        """Nothing: every batch stands alone."""
        return {}

    def load_carried_state(self, tensors: dict[str, Tensor]) -> None:
        """Nothing to take over."""
        assert not tensors
