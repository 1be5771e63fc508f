"""What a BERT is pretrained from: documents of sentences, masking, a tokenizer, the model and its training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from sightline.config import FREE
from sightline.data.inputs import Inputs
from sightline.data.sentences import SentenceSource
from sightline.models import BertSizes
from sightline.tasks.settings import Frozen, PieceSettings, RunSettings, check_metric
from sightline.train.metric import Metric, by_name
from sightline.train.settings import TrainSettings

SIDE = "text"  # the name of the one tokenizer


MASK = "[MASK]"  # how the token beyond the vocabulary is spelled

METRICS = by_name(
    (
        Metric("loss", False, "nats"),
        Metric("masked_loss", False, "nats"),
        Metric("masked_accuracy", True, "%"),
        Metric("next_sentence_loss", False, "nats"),
        Metric("next_sentence_accuracy", True, "%"),
    )
)


class DataSettings(Frozen):
    """The documents a model learns from and is measured on."""

    train: tuple[SentenceSource, ...] = Field(
        description='files of text; documents = line, block (up to a blank line), article (from one "= Title =" to the '
        "next), file, or group (lines that the file groups names alike); sentences = line, split (by rules) or whole; "
        "column of a TSV or JSON Lines file; part = [from, to] as fractions",
    )
    validation: tuple[SentenceSource, ...] = Field(description="text that chooses the best checkpoint")
    test: dict[str, SentenceSource] = Field(
        default={}, description="sets that `sightline evaluate` reports on, by name", json_schema_extra=FREE
    )
    max_tokens: int = Field(128, ge=8, description="the longest input in tokens, [CLS] and [SEP] included")
    short: float = Field(0.1, ge=0, le=1, description="share of inputs that aim for a random, smaller length")


class MaskingSettings(Frozen):
    """What is masked."""

    share: float = Field(0.15, gt=0, lt=1, description="of the tokens that are to be predicted")
    masked: float = Field(0.8, ge=0, le=1, description="of those that become [MASK]")
    random: float = Field(0.1, ge=0, le=1, description="of those that become another token; the rest stay")
    whole_words: bool = Field(False, description="all pieces of a word together")

    @model_validator(mode="after")
    def _shares(self) -> MaskingSettings:
        if self.masked + self.random > 1:
            raise ValueError(f"masked {self.masked} and random {self.random} are more than all")
        return self


class MaskedLanguageSettings(RunSettings):
    """Everything a pretrained BERT is made from."""

    task: Literal["masked_language"] = Field("masked_language", description="what the model learns")
    pretrained: str | None = Field(
        None, description="a run of this task whose weights and tokenizer to go on from, such as one of shorter inputs"
    )
    next_sentence: bool = Field(True, description="also learn whether one segment follows another")
    encoder_only: bool = Field(
        False, description="of an imported model: it came without the heads of pretraining and is to be fine-tuned"
    )
    data: DataSettings
    masking: MaskingSettings = MaskingSettings.model_validate({})
    tokenizer: PieceSettings = PieceSettings.model_validate({})
    model: BertSizes = BertSizes.model_validate({})
    training: TrainSettings = TrainSettings.model_validate({})

    @property
    def inputs(self) -> Inputs:
        """A text, from the column of the training data."""
        columns = [one.column for one in self.data.train[:1] if one.column is not None]
        return Inputs(columns=tuple(columns))

    def given(self, source: str, reference: str | None = None, **columns: Any) -> SentenceSource:
        """A file that is only named, read as the training text was."""
        self.without_reference(reference)
        return (self.data.train or (SentenceSource(source=source),))[0].model_copy(
            update={**columns, "source": source, "part": (0.0, 1.0), "split": None}
        )

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Masked language model"

    @property
    def parent(self) -> str | None:
        """The run that this one goes on from."""
        return self.pretrained

    @property
    def span(self) -> int:
        """The most tokens that attend to each other."""
        return self.data.max_tokens

    @model_validator(mode="after")
    def _fits(self) -> MaskedLanguageSettings:
        if self.data.max_tokens > self.model.max_length:
            raise ValueError(
                f"data.max_tokens {self.data.max_tokens} is more than model.max_length {self.model.max_length}"
            )
        if self.next_sentence and self.model.segments < 2:
            raise ValueError("next_sentence needs model.segments of 2")
        check_metric(self.training, self.validation_metrics)
        return self

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""
        pairs = ("next_sentence_loss", "next_sentence_accuracy") if self.next_sentence else ()
        return ("loss", "masked_loss", "masked_accuracy", *pairs)
