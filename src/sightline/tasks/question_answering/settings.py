"""What an answerer of questions is fine-tuned from: questions on texts, a pretrained BERT, what of it is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from sightline.config import FREE
from sightline.data.inputs import Inputs
from sightline.data.questions import (
    QuestionSource,
    Units,
)
from sightline.tasks.settings import Frozen
from sightline.tasks.tokens import TokenSettings
from sightline.train.metric import Metric, by_name

METRICS = by_name(
    (
        Metric("loss", False, "nats"),
        Metric("exact_match", True, "%"),
        Metric("f1", True, "%"),
    )
)


class DataSettings(Frozen):
    """What is learned and measured."""

    train: tuple[QuestionSource, ...] = Field(
        description="files of SQuAD's layout, or JSON Lines with question, context and answers",
    )
    validation: QuestionSource | None = Field(None, description="questions that choose the best checkpoint")
    test: dict[str, QuestionSource] = Field(
        default={}, description="sets that `sightline evaluate` reports on, by name", json_schema_extra=FREE
    )
    first: int = Field(0, ge=0, description="use only the first so many training questions; 0 takes all")
    unanswerable: bool = Field(False, description="some questions have no answer in their text (SQuAD 2.0)")
    threshold: float = Field(
        0.0, description="unanswerable only: an answer must be so much better, in logits, than that there is none"
    )
    units: Units = Field("words", description="what F1 counts: words (SQuAD) or characters (KorQuAD)")
    max_tokens: int = Field(384, ge=16, description="the longest input: question, text and what lies between")
    max_question: int = Field(64, ge=4, description="more tokens of a question are cut off, at most half of max_tokens")
    step: int = Field(128, ge=1, description="longer texts are read in windows, each so many tokens after the last")
    max_answer: int = Field(30, ge=1, description="tokens of the longest answer that is looked for")


class QuestionSettings(TokenSettings):
    """Everything a fine-tuned answerer of questions is made from."""

    task: Literal["question_answering"] = Field("question_answering", description="what the model learns")
    data: DataSettings

    @property
    def inputs(self) -> Inputs:
        """A question and the text that may answer it, as files of questions call them."""
        return Inputs((("question", "query", "질문"), ("context", "passage", "document", "본문")))

    def given(self, source: str, reference: str | None = None, **columns: Any) -> QuestionSource:
        """A file that is only named."""
        self.without_reference(reference)
        return QuestionSource(source=source)

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Question answerer"

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""
        return ("loss", "exact_match", "f1")

    @model_validator(mode="after")
    def _two_segments(self) -> QuestionSettings:
        if self.model.segments < 2:
            raise ValueError("model.segments: question and text are two")
        return self
