"""What all trained runs that are ready for use have in common: settings, tokenizers, the model with its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel
from torch import Tensor

from sightline.data.tokenizer import Tokenizer
from sightline.errors import SightlineError, UsageError
from sightline.nn.lora import merge
from sightline.train.run_directory import Run

Settings = TypeVar("Settings", bound=BaseModel)


class Ready(Generic[Settings]):
    """A trained run, loaded for use.

    Args:
        run: path of a run directory.
        precision: "fp32" or "bf16", the width of the arithmetic.
        device: where the model runs: cpu, cuda, mps, or auto for the fastest that is there.
        update: take the weights of the checkpoint after so many updates, one of `Run.updates`, not the final ones.

    Raises:
        SightlineError: where the run is missing, damaged, does not belong together or learned something else.
    """

    schema: ClassVar[type[BaseModel]]
    first_of: ClassVar[Callable[[Any, Any], list[Any]]]
    make_model: ClassVar[Callable[[Any, dict[str, Tokenizer]], Any]]

    def __init__(
        self, run: str | Path, *, precision: str = "fp32", device: str = "cpu", update: int | None = None
    ) -> None:
        self.run = Run(run)
        self.run.require_task(self.schema.model_fields["task"].default)
        self.settings: Settings = self.run.settings(self.schema)  # pyright: ignore[reportAttributeAccessIssue]
        self.run.verify()
        self.tokenizers = self.run.load_tokenizers()
        self.model: Any = self._load(precision, device, update)

    @property
    def tokenizer(self) -> Tokenizer:
        """The one tokenizer of a run that has one."""
        (one,) = self.tokenizers.values()
        return one

    # Options of `reading` beside the inputs themselves, such as the target of a translation.
    reading_options: ClassVar[frozenset[str]] = frozenset()
    # What `sightline look` shows where nothing is named.
    default_view: ClassVar[str] = "attention"

    @property
    def input_count(self) -> int:
        """How many inputs `reading` takes: texts, or images."""
        return 1

    def read_out(self, residual: Tensor, /) -> Tensor:
        """The residual stream (B, T, D) after any layer as logits (B, T, V), for the logit lens.

        Raises UsageError where it cannot be read out, as of a model that predicts no tokens from it.
        """
        raise UsageError(
            f"{self.run.path}: the logit lens reads the residual stream of a GPT, or of a BERT that fills blanks"
        )

    def example(self) -> list[Any] | None:
        """What `reading` may be shown where a user names nothing: the first record of the validation data.

        None where there is no such file, as of an imported model.
        """
        files = self.settings.data.validation  # pyright: ignore[reportAttributeAccessIssue]
        first = files[0] if type(files) is tuple and files else files
        if not first:
            return None
        try:
            return type(self).first_of(self.settings, first)
        except (SightlineError, StopIteration):
            return None

    def _load(self, precision: str, device: str, update: int | None) -> Any:
        """The model with the run's weights; low-rank adapters become part of them."""
        model = type(self).make_model(self.settings, self.tokenizers)
        self.run.ready_model(model, precision, device, update)
        merge(model)
        return model
