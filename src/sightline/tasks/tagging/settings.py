"""What a tagger is fine-tuned from: tagged words or characters, a pretrained BERT, what of it is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sightline.config import FREE
from sightline.data.tagged import TaggedSource
from sightline.tasks.settings import Frozen
from sightline.tasks.tokens import TokenSettings
from sightline.train.metric import Metric, by_name

METRICS = by_name(
    (
        Metric("loss", False, "nats"),
        Metric("accuracy", True, "%"),
        Metric("precision", True, "%"),
        Metric("recall", True, "%"),
        Metric("span_f1", True, "%"),
    )
)


class DataSettings(Frozen):
    """What is learned and measured."""

    train: tuple[TaggedSource, ...] = Field(
        description="files with a unit and its tag on each line and an empty line after each record; joined_by = what "
        "stands between units of a text, comment = how lines begin that are left out, columns = [unit, tag], counted "
        "from 0, where lines have more than these two, part = [from, to] as fractions of the records",
    )
    validation: TaggedSource | None = Field(None, description="records that choose the best checkpoint")
    test: dict[str, TaggedSource] = Field(
        default={}, description="sets that `sightline evaluate` reports on, by name", json_schema_extra=FREE
    )
    tags: tuple[str, ...] = Field((), description="the tags, in BIO; those of the training records where not given")
    first: int = Field(0, ge=0, description="use only the first so many training records; 0 takes all")
    max_tokens: int = Field(128, ge=8, description="longer records are read in halves, quarters and so on")


class TaggingSettings(TokenSettings):
    """Everything a fine-tuned tagger is made from."""

    task: Literal["tagging"] = Field("tagging", description="what the model learns")
    data: DataSettings

    def given(self, source: str, reference: str | None = None, **columns: Any) -> TaggedSource:
        """A file that is only named, read as the training text was."""
        self.without_reference(reference)
        return (self.data.train or (TaggedSource(source=source),))[0].model_copy(
            update={"source": source, "part": (0.0, 1.0), "split": None}
        )

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Tagger"

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""
        return ("loss", "accuracy", "precision", "recall", "span_f1")
