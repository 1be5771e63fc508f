"""What a classifier of texts is fine-tuned from: labelled records, a pretrained model, what of it is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sightline.config import FREE
from sightline.data.headers import TEXT_NAMES
from sightline.data.inputs import Inputs
from sightline.data.labelled import LabelledSource
from sightline.models import BertSizes, GPTSizes
from sightline.models.classifier import Tuning
from sightline.tasks.settings import Frozen, RunSettings, TokenizerSettings, check_metric, with_kind
from sightline.train.metric import Metric, by_name
from sightline.train.settings import TrainSettings

SIDE = "text"  # the name of the one tokenizer

METRICS = by_name(
    (
        Metric("loss", False, "nats"),
        Metric("accuracy", True, "%"),
        Metric("macro_f1", True, "%"),
        Metric("matthews", True, "%"),
        Metric("calibration_error", False, "%"),
        Metric("pearson", True),
        Metric("spearman", True),
    )
)


class DataSettings(Frozen):
    """What is learned and measured."""

    train: tuple[LabelledSource, ...] = Field(
        description="TSV, CSV, JSON Lines or Parquet files; texts = names or numbers of their columns, label = that "
        "of the label, part = [from, to] as fractions",
    )
    validation: LabelledSource | None = Field(None, description="records that choose the best checkpoint")
    test: dict[str, LabelledSource] = Field(
        default={}, description="sets that `sightline evaluate` reports on, by name", json_schema_extra=FREE
    )
    form: Literal["single", "pair", "similarity", "choice"] = Field(
        "single",
        description="single: one text; pair: two in order (entailment); similarity: two in both orders; choice: a "
        "context, then the texts to choose from, the label being the number of the right one from 0",
    )
    choices: int = Field(
        0,
        ge=0,
        description="choice only: how many texts there are to choose from; as many as the files name where it is 0",
    )
    labels: tuple[str, ...] = Field((), description="the classes; those of the training records where not given")
    numbers: bool = Field(False, description="labels are numbers to be predicted (regression), not classes")
    first: int = Field(0, ge=0, description="use only the first so many training records; 0 takes all")
    max_tokens: int = Field(128, ge=4, description="the texts of longer sequences are cut; how many is told")


class ClassificationSettings(RunSettings):
    """Everything a fine-tuned classifier is made from."""

    task: Literal["classification"] = Field("classification", description="what the model learns")
    pretrained: str | None = Field(
        None,
        description="run of a GPT or BERT whose weights, sizes and tokenizer are taken; from scratch where not given",
    )
    scratch: bool = Field(
        False,
        description="take the pretrained run's sizes and tokenizer but not its weights, to see what those are worth",
    )
    data: DataSettings
    tokenizer: TokenizerSettings = TokenizerSettings.model_validate({})
    model: GPTSizes | BertSizes = Field(default_factory=lambda: GPTSizes.model_validate({}), discriminator="kind")
    tuning: Tuning = Tuning.model_validate({})
    calibrate: bool = Field(
        False, description="after training, scale probabilities to what validation shows them to be worth"
    )
    auxiliary: float = Field(
        0.5,
        ge=0,
        description="GPT only: weight of the language-model loss beside the label's (Radford et al. 2018, eq. 5)",
    )
    training: TrainSettings = TrainSettings.model_validate({})

    @property
    def inputs(self) -> Inputs:
        """The texts of a record, from the columns of the training data."""
        first = (*self.data.train, None)[0]
        names = (TEXT_NAMES,) * self.texts
        return Inputs(names) if first is None else Inputs(names, first.texts, first.label)

    def given(self, source: str, reference: str | None = None, **columns: Any) -> LabelledSource:
        """A file that is only named, read as the training text was; of an imported model the label comes last."""
        self.without_reference(reference)
        usual = LabelledSource(source=source, texts=tuple(range(self.texts)), label=self.texts)
        known = (self.data.train or (usual,))[0].model_dump()
        return LabelledSource.model_validate({**known, **columns, "source": source, "part": (0.0, 1.0), "split": None})

    @property
    def calibrated(self) -> bool:
        """Whether probabilities are calibrated once training has ended."""
        return self.calibrate

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Classifier"

    @property
    def parent(self) -> str | None:
        """The run that this one goes on from."""
        return self.pretrained

    @property
    def from_scratch(self) -> bool:
        """Whether only the sizes and the tokenizer of that run are taken, and not its weights."""
        return self.scratch

    @property
    def span(self) -> int:
        """The most tokens that attend to each other."""
        return self.data.max_tokens

    @property
    def texts(self) -> int:
        """How many texts a record has."""
        named = len(self.data.train[0].texts) if self.data.train else 0
        choice = 1 + self.data.choices if self.data.choices else named
        return {"single": 1, "pair": 2, "similarity": 2, "choice": choice}[self.data.form]

    @property
    def language_weight(self) -> float:
        """Of the language-model loss; a BERT has none."""
        return self.auxiliary if self.model.kind == "gpt" else 0.0

    @property
    def by_number(self) -> bool:
        """Whether labels are numbers: to be predicted, or of the right text."""
        return self.data.numbers or self.data.form == "choice"

    @field_validator("model", mode="before")
    @classmethod
    def _gpt_unless_said(cls, model: object) -> object:
        return with_kind(model, "gpt")

    @model_validator(mode="after")
    def _fits(self) -> ClassificationSettings:
        data, length = self.data, self.model.max_length
        for files in (*data.train, *([data.validation] if data.validation else []), *data.test.values()):
            if data.form == "choice" and len(files.texts) < 3:
                raise ValueError(f"data.form choice reads a context and at least two texts; {files.source} has fewer")
            if len(files.texts) != self.texts:
                raise ValueError(f"{files.source} names {len(files.texts)} texts; {self.texts} are read")
        if data.max_tokens > length:
            raise ValueError(f"data.max_tokens {data.max_tokens} is more than model.max_length {length}")
        if data.choices and (data.form != "choice" or data.choices < 2):
            raise ValueError(f"data.choices {data.choices}: it is for data.form choice, of two texts or more")
        if data.numbers and (data.form == "choice" or data.labels):
            raise ValueError("data.numbers goes with neither classes nor a choice")
        if len(set(data.labels)) != len(data.labels):
            raise ValueError(f"data.labels has one twice: {', '.join(data.labels)}")
        if self.calibrate and data.numbers:
            raise ValueError("calibrate is for the probabilities of classes, and data.numbers has none")
        if self.pretrained is None and (self.tuning.weights != "full" or self.scratch):
            what = "scratch" if self.scratch else f"tuning.weights {self.tuning.weights}"
            raise ValueError(f"{what} is for a pretrained run, and none is named")
        check_metric(self.training, self.validation_metrics)
        return self

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""
        if self.data.numbers:
            return ("loss", "pearson", "spearman")
        return ("loss", "accuracy", "macro_f1", "matthews", "calibration_error")
