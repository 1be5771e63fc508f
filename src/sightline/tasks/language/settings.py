"""What a language model is made from: plain text, a tokenizer, a model of the next token, its training and search."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sightline.config import FREE
from sightline.data.documents import TextSource
from sightline.data.inputs import Inputs
from sightline.decode import SearchOptions
from sightline.models import GPTSizes, LanguageModelSizes
from sightline.tasks.settings import Frozen, RunSettings, TokenizerSettings, check_metric, with_kind
from sightline.train.metric import Metric, by_name
from sightline.train.settings import TrainSettings

SIDE = "text"  # the name of the one tokenizer


# Kinds of tokenizers whose ids are in order of frequency.
BY_FREQUENCY = ("word", "space", "char")

METRICS = by_name(
    (
        Metric("loss", False, "nats"),
        Metric("perplexity", False, label="perplexity per token"),
        Metric("word_perplexity", False, label="perplexity per word"),
        Metric("bits_per_byte", False, "bits"),
        Metric("bits_per_character", False, "bits"),
    )
)


class DataSettings(Frozen):
    """The text a model learns from and is measured on."""

    train: tuple[TextSource, ...] = Field(
        description='files of text; documents = line, block (up to a blank line), article (from one "= Title =" to the '
        "next), file or running; column of a TSV or JSON Lines file; part = [from, to] as fractions",
    )
    validation: tuple[TextSource, ...] = Field(description="text that chooses the best checkpoint")
    test: dict[str, TextSource] = Field(
        default={}, description="sets that `sightline evaluate` reports on, by name", json_schema_extra=FREE
    )
    keep_empty: bool = Field(False, description="count empty documents as text, as word-level corpora do")
    block: int = Field(
        256, ge=1, description="tokens read at once: the length of a GPT's blocks, or of truncated back-propagation"
    )
    running: bool = Field(False, description="of an imported model: it learned running text, and no documents")
    separate: bool = Field(False, description="GPT only: attention does not cross from one document to another")


class ValidationSettings(Frozen):
    """What is measured during training."""

    stride: int = Field(
        0, ge=0, description="GPT only: new tokens per block of validation, the rest being context; 0 is a whole block"
    )
    tokens: int = Field(0, ge=0, description="only the first so many tokens; 0 takes all")


class LanguageSettings(RunSettings):
    """Everything a language model is made from."""

    task: Literal["language"] = Field("language", description="what the model learns")
    pretrained: str | None = Field(
        None, description="a run of this task whose sizes, tokenizers and weights to go on from, on other data"
    )
    data: DataSettings
    tokenizer: TokenizerSettings = TokenizerSettings.model_validate({})
    model: LanguageModelSizes = Field(default_factory=lambda: GPTSizes.model_validate({}))
    training: TrainSettings = TrainSettings.model_validate({})
    validation: ValidationSettings = ValidationSettings.model_validate({})
    search: SearchOptions = Field(
        default_factory=lambda: SearchOptions.model_validate({"strategy": "sample"}),
        description="how `sightline generate` writes",
        json_schema_extra=FREE,
    )

    @property
    def inputs(self) -> Inputs:
        """A text, from the column of the training data."""
        columns = [one.column for one in self.data.train[:1] if one.column is not None]
        return Inputs(columns=tuple(columns))

    def given(self, source: str, reference: str | None = None, **columns: Any) -> TextSource:
        """A file that is only named, read as the training text was."""
        self.without_reference(reference)
        return (self.data.train or (TextSource(source=source),))[0].model_copy(
            update={**columns, "source": source, "part": (0.0, 1.0), "split": None}
        )

    @property
    def parent(self) -> str | None:
        """The run that this one goes on from."""
        return self.pretrained

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Language model"

    @property
    def counted(self) -> bool:
        """Whether the model is counted and not trained."""
        return self.model.counted

    @property
    def span(self) -> int:
        """The most tokens that attend to each other in training."""
        return self.data.block

    @property
    def has_documents(self) -> bool:
        """Whether the model learned where documents begin and end."""
        files = self.data.train
        return not self.data.running if not files else any(one.documents != "running" for one in files)

    @field_validator("model", mode="before")
    @classmethod
    def _gpt_unless_said(cls, model: object) -> object:
        return with_kind(model, "gpt")

    @model_validator(mode="after")
    def _fits(self) -> LanguageSettings:
        longest = self.model.context_length
        if longest is not None and self.data.block > longest:
            raise ValueError(f"data.block {self.data.block} is more than model.max_length {longest}")
        if self.data.separate and not self.model.separates_documents:
            raise ValueError(f"data.separate is for attention; a {self.model.kind} model reads documents in a row")
        cutoffs = self.model.frequency_cutoffs
        if cutoffs and self.tokenizer.kind not in BY_FREQUENCY:
            raise ValueError(f"model.cutoffs need ids by frequency; tokenizer.kind is one of {', '.join(BY_FREQUENCY)}")
        if list(cutoffs) != sorted(set(cutoffs)) or (cutoffs and cutoffs[0] < 4):
            raise ValueError(f"model.cutoffs {list(cutoffs)} must rise, from 4 on")
        if self.validation.stride > self.data.block:
            raise ValueError(f"validation.stride {self.validation.stride} is more than data.block {self.data.block}")
        if self.validation.tokens == 1:
            raise ValueError("validation.tokens: nothing predicts the first token alone; set it to 2 or more, or to 0")
        check_metric(self.training, self.validation_metrics)
        return self

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""
        return ("loss", "perplexity", "bits_per_byte", "bits_per_character")
