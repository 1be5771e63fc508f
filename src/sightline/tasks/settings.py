"""Settings that tasks share: how text becomes tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pydantic import Field

from sightline.config import Frozen as Frozen
from sightline.data.inputs import Inputs
from sightline.errors import UsageError, nearest
from sightline.jsonio import Json
from sightline.models.sizes import ModelSizes
from sightline.train.settings import TrainSettings


class DataSections(Protocol):
    """What `data` has in every configuration: sources to learn from, to validate on and to evaluate."""

    @property
    def train(self) -> Sequence[DataSource]: ...
    @property
    def validation(self) -> object: ...
    @property
    def test(self) -> Mapping[str, DataSource]: ...
    @property
    def model_fields_set(self) -> set[str]: ...


class DataSource(Protocol):
    """Where data lies: a path, a catalogue name or "embedded:…"."""

    @property
    def source(self) -> str: ...
    def model_dump(self, *, mode: str = "python") -> dict[str, Any]: ...
    def content_id(self) -> Json: ...


class RunSettings(Frozen):
    """What the configurations of all tasks have in common."""

    if TYPE_CHECKING:  # fields of each task's own settings, in its own order and of its own types
        task: str
        data: DataSections
        model: ModelSizes
        training: TrainSettings

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return type(self).__name__

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""
        return ()

    @property
    def vocab_size(self) -> int:
        """The most tokens that its tokenizers may have; 0 of a task whose configurations have no tokenizer."""
        return int(self.model_dump(include={"tokenizer"}).get("tokenizer", {}).get("vocab_size", 0))

    @property
    def counted(self) -> bool:
        """Whether the model is counted and not trained."""
        return False

    @property
    def calibrated(self) -> bool:
        """Whether probabilities are calibrated once training has ended."""
        return False

    @property
    def choosing(self) -> dict[str, Any]:
        """Free settings that the figure depends on by which the best checkpoint is chosen, as "search.beam" with their
        JSON values: while a run is trained they stay as they are."""
        return {}

    @property
    def texts(self) -> int:
        """How many texts a record has."""
        return 1

    @property
    def span(self) -> int:
        """The most tokens that attend to each other in training; 0 where nothing bounds them."""
        return 0

    @property
    def inputs(self) -> Inputs:
        """What a run reads of a record that it is used on, and where training read that from."""
        return Inputs()

    def given(self, source: str, reference: str | None = None, **columns: Any) -> DataSource:
        """A file that is only named, read as the training data was; `reference` holds what is right, where that is a
        file of its own, and `columns` are the source's own keys for other columns than training's. Raises UsageError
        where the task has no such."""
        raise UsageError(f"{source}: sets of task {self.task} are named in the configuration, under data.test")

    def without_reference(self, reference: str | None) -> None:
        """Raises UsageError for a reference where the task's files hold what is right themselves."""
        if reference is not None:
            raise UsageError(
                f"{reference}: a reference is for other tasks; files of task {self.task} hold what is right"
            )

    @property
    def parent(self) -> str | None:
        """The run that this one goes on from."""
        return None

    @property
    def from_scratch(self) -> bool:
        """Whether only the sizes and the tokenizer of that run are taken, and not its weights."""
        return False


def check_metric(training: TrainSettings, names: Sequence[str]) -> None:
    """Raises ValueError where the metric that chooses the best checkpoint is none of the validation's figures."""
    if training.metric not in names:
        raise ValueError(f'training.metric: there is no "{training.metric}"{nearest(training.metric, names)}')


def with_kind(model: object, kind: str) -> object:
    """The section of a model as it was read, of this kind where it names none."""
    return {"kind": kind, **cast(dict[str, object], model)} if isinstance(model, dict) else model


class TokenizerSettings(Frozen):
    """How text becomes tokens."""

    kind: Literal["bpe", "unigram", "wordpiece", "word", "space", "char", "byte"] = Field(
        "bpe", description="bpe (byte level), unigram, wordpiece, word, space (words cut already), char or byte"
    )
    vocab_size: int = Field(8000, ge=8, description="tokens in the vocabulary, specials included, at most")
    lowercase: bool = Field(False, description="fold case; the model then writes lower case only")
    jamo: bool = Field(False, description="read Korean syllables as their letters; an ending in one can be a piece")
    min_frequency: int = Field(2, ge=1, description="rarer pieces or words are left out")


class PieceSettings(TokenizerSettings):
    """How text becomes tokens."""

    kind: Literal["bpe", "unigram", "wordpiece", "word", "space", "char", "byte"] = Field(
        "wordpiece",
        description="wordpiece (BERT's), bpe (byte level), unigram, word, space (cut already), char or byte",
    )
