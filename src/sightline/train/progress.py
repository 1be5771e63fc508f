"""How far a run has come: the numbers that are saved beside its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sightline.data.batches import DataPosition
from sightline.errors import CheckpointError
from sightline.train.settings import TrainSettings


@dataclass
class Meter:
    """Sums since the last line of the log."""

    loss: float = 0.0
    tokens: int = 0  # that were predicted, or labels
    size: int = 0
    seconds: float = 0.0
    extras: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, loss: float, tokens: int, size: int, extras: Iterable[tuple[str, float]]) -> None:
        self.loss += loss
        self.tokens += tokens
        self.size += size
        for name, value in extras:
            self.extras[name] = self.extras.get(name, 0.0) + value

    def compute_and_reset(self, unit: str) -> dict[str, float]:
        """Means per prediction and the speed (units/s), and begins again."""
        means = {"loss": self.loss / self.tokens, **{k: v / self.tokens for k, v in self.extras.items()}}
        means[f"{unit}_per_second"] = self.size / max(self.seconds, 1e-9)
        self.loss, self.tokens, self.size, self.seconds, self.extras = 0.0, 0, 0, 0.0, {}
        return means


@dataclass
class Progress:
    """What the loop counts. `best` is the best value of the chosen metric, `stale` the validations since then.

    `tokens` is the size of all batches, whatever the task's unit is. `short` says whether the last update was made of
    fewer batches than others, as at the end of the last epoch; None of checkpoints that did not note it.
    """

    position: DataPosition
    update: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_update: int | None = None
    stale: int = 0
    meter: Meter = field(default_factory=Meter)
    short: bool | None = False

    def record_validation(self, value: float, higher_is_better: bool) -> bool:
        """Takes in a validation at the present update; True where it is the best so far."""
        better = self.best is None or (value > self.best if higher_is_better else value < self.best)
        if better and value == value:  # NaN is never the best
            self.best, self.best_update, self.stale = value, self.update, 0
            return True
        self.stale += 1
        return False

    def stop_reason(self, settings: TrainSettings) -> str | None:
        """Why there is nothing more to do, or None."""
        if settings.max_updates is not None and self.update >= settings.max_updates:
            return f"{self.update:,} updates"
        if settings.max_epochs is not None and self.position.epoch >= settings.max_epochs:
            return f"{self.position.epoch:,} epochs"
        if settings.max_minutes is not None and self.seconds >= 60 * settings.max_minutes:
            return f"{settings.max_minutes:g} minutes"
        if settings.patience and self.stale >= settings.patience:
            return f"{self.stale} validations without a better {settings.metric}"
        return None

    def fraction(self, settings: TrainSettings) -> float | None:
        """How much of the run is done, by the nearest of its limits; None while nothing tells.

        How long an epoch is, the loop learns from the first one.
        """
        done: list[float] = []
        if settings.max_updates is not None:
            done.append(self.update / settings.max_updates)
        if settings.max_minutes is not None:
            done.append(self.seconds / (60 * settings.max_minutes))
        if settings.max_epochs is not None and self.position.epoch > 0:
            per_epoch = (self.update * settings.accumulate - self.position.batch) / self.position.epoch
            done.append((self.position.epoch + self.position.batch / per_epoch) / settings.max_epochs)
        return min(1.0, max(done)) if done else None

    def updates_of_all(self, settings: TrainSettings) -> str:
        """ "1,250/20,000": how many updates there have been, and will be; "1,250/~3,100" where another limit than
        theirs ends the run first, as far as its speed tells, and "1,250" while it does not."""
        done = self.fraction(settings)
        expected = round(self.update / done) if done else None
        if settings.max_updates is not None and (expected is None or expected >= settings.max_updates):
            return f"{self.update:,}/{settings.max_updates:,}"
        return f"{self.update:,}" if expected is None else f"{self.update:,}/~{expected:,}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str = "state") -> Progress:
        """What `to_json` gave. Raises CheckpointError where it is something else."""
        names = cls.__dataclass_fields__.keys()
        try:
            fields: dict[str, Any] = {name: values[name] for name in names if name != "short"}
            fields["short"] = values.get("short")
            fields |= {"position": DataPosition(**fields["position"]), "meter": Meter(**fields["meter"])}
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{where}: not the state of a run ({error})") from None
