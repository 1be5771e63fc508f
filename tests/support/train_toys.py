"""Small tasks for the tests of the training loop: real models, made-up numbers, every kind of randomness."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.data.batches import DataPosition
from sightline.train.identity import Identity
from sightline.train.log import TrainLog, display_on
from sightline.train.loop import Outcome, train
from sightline.train.metric import Metric
from sightline.train.settings import TrainSettings

BATCHES_PER_EPOCH = 7


@dataclass(frozen=True)
class Batch:
    number: int
    x_NI: Tensor
    y_N: Tensor


class Regressor(nn.Module):
    """Two layers, a batch norm with buffers that stays in fp32, two kinds of dropout."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.first = nn.Linear(8, 32)
        self.norm = nn.BatchNorm1d(32)
        self.second = nn.Linear(32, 1)
        with torch.no_grad():
            for parameter in (*self.first.parameters(), *self.second.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        self.first.to(dtype)
        self.second.to(dtype)

    def forward(self, x_NI: Tensor, generator: torch.Generator | None) -> Tensor:
        hidden = torch.tanh(self.first(x_NI.to(self.first.weight.dtype)))
        hidden = self.norm(hidden.float())
        if generator is not None:
            hidden = hidden * torch.bernoulli(torch.full_like(hidden, 0.9), generator=generator) / 0.9
            hidden = F.dropout(hidden, 0.1)  # from the global generator
        return self.second(hidden.to(self.second.weight.dtype)).squeeze(-1).float()


class RegressionTask:
    """Learns a fixed function of made-up numbers; a batch is a pure function of (seed, epoch, batch)."""

    unit = "tokens"
    metrics: ClassVar[dict[str, Metric]] = {
        one.name: one for one in (Metric("loss", False), Metric("accuracy", True), Metric("bleu", True))
    }

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.model: Any = Regressor(dtype)

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, Batch]]:
        epoch, batch = position.epoch, position.batch
        while True:
            generator = torch.Generator().manual_seed(position.seed * 1_000_003 + epoch * 1009 + batch)
            x = torch.randn(4 + batch, 8, generator=generator)
            found = Batch(epoch * BATCHES_PER_EPOCH + batch, x, torch.sin(x.sum(-1)))
            epoch, batch = (epoch + 1, 0) if batch + 1 == BATCHES_PER_EPOCH else (epoch, batch + 1)
            yield DataPosition(position.seed, epoch, batch), found

    def data_fingerprint(self) -> str | None:
        return None

    def padding(self) -> float | None:
        return None

    def num_units(self, batch: Batch) -> int:
        return len(batch.y_N)

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        self.model.train()
        error = self.model(batch.x_NI, generator) - batch.y_N
        return error.square().sum(), len(error), {"absolute": error.detach().abs().sum()}

    def carried_state(self) -> dict[str, Tensor]:
        return {}

    def load_carried_state(self, tensors: dict[str, Tensor]) -> None:
        raise AssertionError("nothing was carried")

    def describe(self, batch: Batch) -> str:
        return f"number {batch.number}"

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Draws from the global generator, as a careless task might."""
        self.model.eval()
        torch.rand(3)
        x = torch.linspace(-1, 1, 80).view(10, 8)
        return {"loss": float((self.model(x, None) - torch.sin(x.sum(-1))).square().mean()), "accuracy": 0.5}


def fp32_task() -> RegressionTask:
    return RegressionTask()


def bf16_task() -> RegressionTask:
    return RegressionTask(torch.bfloat16)


def settings(**values: Any) -> TrainSettings:
    """Settings of a short run; `values` replace them."""
    short = {"max_updates": 20, "learning_rate": 0.01, "warmup": 5, "validate_every": 10, "save_every": 10}
    return TrainSettings(**{"threads": 1, **short, **values})


def run(task: Any, chosen: TrainSettings, run_dir: Path, identity: Identity | None = None) -> tuple[Outcome, str]:
    """Trains; the outcome and what was told."""
    told = io.StringIO()
    with TrainLog(run_dir, display_on(Console(file=told))) as log:
        return train(task, chosen, run_dir, log, identity), told.getvalue()
