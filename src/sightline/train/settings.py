"""How a model is trained: one frozen record, every field with its unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sightline.config import EXTEND, FREE

ENDING = ("cosine", "wsd")  # schedules that end at max_updates
DEFAULT_UPDATES = 20_000


class TrainSettings(BaseModel):
    """Everything the training loop can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_updates: int | None = Field(
        None,
        ge=1,
        description=f"stop after so many updates; {DEFAULT_UPDATES} where no limit is given",
        json_schema_extra=EXTEND,
    )
    max_epochs: int | None = Field(
        None, ge=1, description="stop after so many passes through the data", json_schema_extra=EXTEND
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        description="stop after so many minutes of training, over all sessions of the run",
        json_schema_extra=EXTEND,
    )
    tokens_per_batch: int = Field(4096, ge=1, description="size of a batch in tokens of its longer side, with padding")
    accumulate: int = Field(1, ge=1, description="batches per update, as if they were one large batch")
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="adamw, or sgd: plain steps along the gradient, with learning rates of 1 to 30"
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="peak of the schedule; (d_model * warmup) ** -0.5 is that of Vaswani et al. 2017"
    )
    schedule: Literal["inverse_sqrt", "cosine", "wsd", "constant"] = Field(
        "inverse_sqrt", description="what follows the warm-up: inverse_sqrt, cosine, wsd (level, then down) or constant"
    )
    warmup: int = Field(1000, ge=0, description="updates over which the learning rate rises from 0 to its peak")
    decay: int = Field(1000, ge=1, description="updates of the descent that ends a wsd schedule")
    final_factor: float = Field(
        0.0, ge=0, le=1, description="where cosine and wsd end at max_updates, as a fraction of the peak"
    )
    betas: tuple[float, float] = Field(
        (0.9, 0.98), description="decay rates of Adam's averages of the gradient and of its square, per update"
    )
    eps: float = Field(1e-9, gt=0, description="added to the root of the second average in Adam's denominator")
    weight_decay: float = Field(0.0, ge=0, description="times the learning rate; not for biases, norms and embeddings")
    clip: float = Field(1.0, ge=0, description="largest L2 norm of an update's gradient per token; 0 never clips")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay per update of a moving average of the weights, used in their place; 0 is off",
    )
    average_last: int = Field(
        0, ge=0, description="periodic checkpoints averaged into the final weights; 0 takes the best checkpoint"
    )
    validate_every: int = Field(500, ge=0, description="updates between validations; 0 never validates")
    save_every: int = Field(500, ge=1, description="updates between periodic checkpoints", json_schema_extra=FREE)
    keep: int = Field(3, ge=1, description="periodic checkpoints kept, beside the best one", json_schema_extra=FREE)
    patience: int = Field(
        0,
        ge=0,
        description="stop after so many validations in a row without a better metric; 0 never does",
        json_schema_extra=EXTEND,
    )
    metric: str = Field("loss", min_length=1, description="figure of the validation that chooses the best checkpoint")
    metric_direction: Literal["auto", "min", "max"] = Field(
        "auto", description="which is better: min, max, or auto: what the task says of the metric"
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="bf16 weights with fp32 masters, fp32, or auto: what is faster on this machine"
    )
    device: str = Field(
        "auto", description="where to train: cpu, cuda, cuda:1 and so on, mps, or auto: the fastest kind that is there"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; PyTorch's choice where not given")
    seed: int = Field(1, ge=0, lt=2**63, description="of the order of the data, dropout and the first weights")
    log_every: int = Field(50, ge=1, description="updates between lines of the log", json_schema_extra=FREE)

    @model_validator(mode="before")
    @classmethod
    def _some_limit(cls, values: Any) -> Any:
        limits = ("max_updates", "max_epochs", "max_minutes")
        if not isinstance(values, Mapping):
            return values
        given = cast("Mapping[str, Any]", values)
        if all(given.get(name) is None for name in limits):
            return {**given, "max_updates": DEFAULT_UPDATES}
        return given

    @field_validator("device")
    @classmethod
    def _a_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value):
            raise ValueError(f'no such choice: "{value}"; known: auto, cpu, cuda, cuda:1 and so on, mps')
        return value

    @model_validator(mode="after")
    def _consistent(self) -> TrainSettings:
        if self.schedule in ENDING and self.max_updates is None:
            raise ValueError(f'schedule = "{self.schedule}" ends at max_updates, which is missing')
        if self.average_last > self.keep:
            raise ValueError(f"average_last = {self.average_last} needs keep to be as much; it is {self.keep}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas = {list(self.betas)} must be at least 0 and below 1")
        if self.patience and not self.validate_every:
            raise ValueError("patience counts validations, and validate_every = 0 makes none")
        return self
