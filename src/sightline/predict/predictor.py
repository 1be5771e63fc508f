"""What all predictors have in common: a trained run loaded for use, with its settings, tokenizers and model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel
from torch import Tensor

from sightline.data.tokenizer import Tokenizer
from sightline.errors import SightlineError, UsageError
from sightline.nn.lora import merge
from sightline.predict.confidence import Confidence, read_confidence
from sightline.predict.example import read_example
from sightline.predict.reading import Reading
from sightline.train.run_directory import Run

S = TypeVar("S", bound=BaseModel)


class Predictor(Generic[S]):
    """A trained run, loaded for use.

    Args:
        run: path of a run directory.
        precision: "fp32" or "bf16", the width of the arithmetic.
        device: where the model runs: cpu, cuda, cuda:1, mps, or auto for the fastest that is there.
        update: take the weights of the checkpoint after so many updates, one of `Run.updates`, not the final ones.

    Attributes:
        settings: the run's configuration. update: as given. tokenizers: by name.
        model: the network, or a counted model.
        input_count: how many inputs `reading` takes. default_view: what `sightline look` shows of it first.
        reading_options: further arguments of `reading`, by name.
        writes: whether it writes text step by step, so that requests can join a search (`new_search`, `prefill`).
        scores_pairs: whether what it scores are targets given their sources, and not single texts.

    Raises:
        SightlineError: where the run is missing, damaged, does not belong together or learned something else.
    """

    schema: ClassVar[type[BaseModel]]
    make_model: ClassVar[Callable[[Any, dict[str, Tokenizer]], Any]]  # its weights are not those of the run yet
    default_view: ClassVar[str] = "attention"
    reading_options: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[bool] = False
    scores_pairs: ClassVar[bool] = False

    def __init__(
        self, run: str | Path, *, precision: str = "fp32", device: str = "cpu", update: int | None = None
    ) -> None:
        self.run, self.update = Run(run), update
        self.run.require()
        own = self.schema.model_fields["task"].default
        task = self.run.read_config().get("task", own)
        if task != own:
            raise UsageError(f"{run}: a run of task {task}, not {own}; sightline.load() tells what it is for")
        self.settings = cast("S", self.run.settings(self.schema))
        self.run.verify()
        self.tokenizers = self.run.load_tokenizers()
        self.model: Any = self._load(precision, device, update)
        self._digest, self._confidence = self.run.weights_digest(), None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.run.path)!r})"

    def _load(self, precision: str, device: str, update: int | None) -> Any:
        """The model with the run's weights; low-rank adapters become part of them."""
        make_model = type(self).make_model
        model = self.run.load_model(lambda: make_model(self.settings, self.tokenizers), precision, device, update)
        merge(model)
        return model

    @property
    def tokenizer(self) -> Tokenizer:
        """The one tokenizer of a run that has one."""
        (one,) = self.tokenizers.values()
        return one

    def weights(self) -> dict[str, Tensor]:
        """The model's parameters by name, low-rank adapters merged. Not copies."""
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    @property
    def input_count(self) -> int:
        """How many inputs `reading` takes: texts, or images."""
        return 1

    @property
    def confidence(self) -> Confidence | None:
        """What `sightline.calibrate` fitted for these weights, also since they were loaded; None where nothing was."""
        if self._confidence is None and self.update is None:
            self._confidence = read_confidence(self.run, self._digest)
        return self._confidence

    def read_out(self, residual: Tensor, /) -> Tensor:
        """The residual stream (B, T, D) after any layer as logits (B, T, V), for the logit lens.

        Raises UsageError where it cannot be read out, as of a model that predicts no tokens from it.
        """
        raise UsageError(
            f"{self.run.path}: the logit lens reads the residual stream of a GPT, or of a BERT that fills blanks"
        )

    @property
    def languages(self) -> list[str]:
        """Of a translation: from which, into which."""
        return []

    @property
    def reads_images(self) -> bool:
        """Whether an input is an image and not a text."""
        return False

    @property
    def attends(self) -> bool:
        """Whether there is attention to be seen."""
        return True

    @property
    def inspectable(self) -> bool:
        """Whether its internals can be looked at."""
        return True

    def reading(self, *inputs: Any, **options: Any) -> Reading:
        """One record as the model reads it, to be recorded; see `sightline.sight.reading.look`."""
        raise UsageError(f"{self.run.path}: a model of this kind has no internals to look at")

    def example(self) -> list[str] | None:
        """An input of the validation data that the run keeps; None where it keeps none."""
        return read_example(self.run.path) or None

    def first_example(self) -> list[Any] | None:
        """The first record of the validation data, read from its file; None where there is none."""
        files = dict(self.settings)["data"].validation
        first = files[0] if isinstance(files, Sequence) and files else files
        if not first:
            return None
        try:
            return self.first_of(first)
        except (SightlineError, StopIteration):
            return None

    def first_of(self, files: Any) -> list[Any] | None:
        """The first record of these files."""
        return None
