"""What a translation is made from: pairs of text, tokenizers, an encoder–decoder, its training and search."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sightline.config import FREE
from sightline.data.headers import TEXT_NAMES
from sightline.data.inputs import Inputs, Table, is_table
from sightline.data.pairs import PairSource
from sightline.data.sources import EMBEDDED, resolve
from sightline.decode import SearchOptions
from sightline.models import EncoderDecoderSizes, TransformerSizes
from sightline.tasks.settings import Frozen, RunSettings, TokenizerSettings, check_metric, with_kind
from sightline.train.metric import Metric, by_name
from sightline.train.settings import TrainSettings

SIDES = ("source", "target")
TRANSLATED = ("bleu", "chrf")  # the figures of validation that are measured of translations

# What validation measures; `evaluate` adds scores with signatures of their own.
METRICS = by_name(
    (
        Metric("loss", False, "nats"),
        Metric("perplexity", False, digits=3, label="perplexity per token"),
        Metric("bleu", True, digits=2, label="BLEU"),
        Metric("chrf", True, digits=2, label="chrF2"),
        Metric("ter", False, digits=2, label="TER"),
    )
)


class DataSettings(Frozen):
    """The text a model learns from and is measured on."""

    source_language: str = Field("source", description="what the source is called in reports")
    target_language: str = Field("target", description="what the target is called in reports")
    train: tuple[PairSource, ...] = Field(
        min_length=1,
        description="files of pairs: two aligned files, or one TSV, CSV, JSON Lines or Parquet file; weight = copies",
    )
    validation: PairSource = Field(description="pairs that choose the best checkpoint")
    test: dict[str, PairSource] = Field(
        default={}, description="sets that `sightline evaluate` reports on, by name", json_schema_extra=FREE
    )
    max_source_tokens: int = Field(256, ge=1, description="longer pairs are skipped, and counted")
    max_target_tokens: int = Field(256, ge=1, description="longer pairs are skipped, and counted")


class PairTokenizerSettings(TokenizerSettings):
    """How the text of both sides becomes tokens."""

    shared: bool = Field(True, description="one vocabulary for both sides")
    merge_dropout: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="bpe only: in training merges are undone at this rate, so that words come in other pieces every "
        "time (as in BPE-dropout, Provilkov et al. 2020); batches grow by about that share",
    )


class ValidationSettings(Frozen):
    """What is measured during training."""

    sentences: int = Field(500, ge=0, description="validation pairs translated for BLEU; 0 measures the loss alone")
    beam: int = Field(1, ge=1, description="beam width for that translation")


class TranslationSettings(RunSettings):
    """Everything a translation run is made from."""

    task: Literal["translation"] = Field("translation", description="what the model learns")
    pretrained: str | None = Field(
        None, description="a run of this task whose sizes, tokenizers and weights to go on from, on other data"
    )
    data: DataSettings
    tokenizer: PairTokenizerSettings = PairTokenizerSettings.model_validate({})
    model: EncoderDecoderSizes = Field(default_factory=lambda: TransformerSizes.model_validate({}))
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="probability spread over the whole vocabulary")
    consistency: float = Field(
        0.0,
        ge=0,
        description="R-Drop (Liang et al. 2021): weight of the divergence of two passes with different dropout; each "
        "batch is then read twice, and 5 is usual. 0 is off",
    )
    training: TrainSettings = TrainSettings.model_validate({})
    validation: ValidationSettings = ValidationSettings.model_validate({})
    search: SearchOptions = Field(default_factory=lambda: SearchOptions.model_validate({}), json_schema_extra=FREE)

    @property
    def parent(self) -> str | None:
        """The run that this one goes on from."""
        return self.pretrained

    @property
    def inputs(self) -> Inputs:
        """The source, from the column of the training data."""
        return Inputs(self.pair_inputs.names[:1], self.pair_inputs.columns[:1])

    @property
    def pair_inputs(self) -> Inputs:
        """Both sides, from the columns of the training data."""
        source, target = self.data.source_language.lower(), self.data.target_language.lower()
        sources = ("source", source, source[:2], "src", *TEXT_NAMES)
        targets = ("target", target, target[:2], "tgt", "trg", "translation", "번역")
        trained = next((one for one in self.data.train if one.target is None and not one.embedded), None)
        return Inputs((sources, targets), () if trained is None else trained.both_columns(Path(trained.source)))

    def given(self, source: str, reference: str | None = None, **columns: Any) -> PairSource:
        """A table of pairs, with the columns of training where it has them, or one file of sources and one of their
        translations, line by line."""
        if columns:
            return PairSource.from_arguments(source=source, target=reference, **columns)
        if reference is None and not source.startswith(EMBEDDED) and is_table(path := resolve(source)):
            one, other = Table.of(path, self.pair_inputs).columns
            return PairSource.from_arguments(source=source, source_column=one, target_column=other)
        return PairSource.from_arguments(source=source, target=reference)

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return f"{self.data.source_language} → {self.data.target_language}"

    @field_validator("model", mode="before")
    @classmethod
    def _transformer_unless_said(cls, model: object) -> object:
        return with_kind(model, "transformer")

    @model_validator(mode="after")
    def _one_vocabulary(self) -> TranslationSettings:
        if self.model.tied == "all" and not self.tokenizer.shared:
            raise ValueError('model.tied = "all" needs tokenizer.shared = true')
        check_metric(self.training, self.validation_metrics)
        return self

    @property
    def choosing(self) -> dict[str, Any]:
        """How validation translates, where scores of translations choose the best checkpoint; its beam is its own."""
        if self.training.metric not in TRANSLATED:
            return {}
        return {f"search.{key}": value for key, value in self.search.model_dump(mode="json", exclude={"beam"}).items()}

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""
        return ("loss", "perplexity", *(TRANSLATED if self.validation.sentences else ()))
