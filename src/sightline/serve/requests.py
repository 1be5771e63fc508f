"""What may be sent to the server, with limits on everything."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sightline.decode import SearchOptions
from sightline.errors import UsageError

MAX_CHARACTERS = 20_000
MAX_TEXTS = 64
MAX_TOKENS = 1024
MAX_BEAM = 16
MAX_IMAGE = 9_000_000  # characters of base64

Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
ModelName = Annotated[
    str | None, Field(max_length=200, description="a name of /v1/models; the first that can where it is left out")
]


def as_list(texts: str | list[str]) -> list[str]:
    """One text or several as a list."""
    return [texts] if isinstance(texts, str) else texts


def within_limits(options: SearchOptions, source_length: int = 0) -> SearchOptions:
    """Options of a search as it is served, whether a request or the run itself says them: of no longer output than the
    limit. Raises UsageError for more hypotheses than the limit."""
    if options.num_hypotheses > MAX_BEAM:
        raise UsageError(f"beam: {options.num_hypotheses} hypotheses; at most {MAX_BEAM} here, ask for so many")
    if options.max_length_factor * source_length + options.max_length_offset <= MAX_TOKENS:
        return options
    return options.with_changes(max_length_factor=0.0, max_length_offset=MAX_TOKENS)


def _reads(served: Any, image: str | None, texts: str | list[str]) -> bool:
    """Whether a served model reads an image, or records of so many texts."""
    is_image = served.predictor.reads_images
    return is_image if image is not None else not is_image and served.texts == len(as_list(texts))


class RequestModel(BaseModel):
    """What all requests of /v1 have in common."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: ModelName = None


class TranslateRequest(RequestModel):
    text: Text | Texts = Field(description="one text, or several")
    beam: int | None = Field(None, ge=1, le=MAX_BEAM, description="beam width; the run's own where it is left out")
    n_best: int = Field(1, ge=1, le=MAX_BEAM, description="translations of each text")
    prefix: Text | None = Field(
        None, description="what every translation must begin with; of several sentences the first"
    )
    split: bool = Field(True, description="translate each sentence of a text on its own; false takes a text for one")
    attention: bool = Field(False, description="also tell where each word looked")
    candidates: int = Field(0, ge=0, le=10, description="also tell so many tokens that might stand at each place")
    confidence: bool = Field(
        False,
        description="also tell how probable it is that each translation is acceptable; of a run that `sightline "
        "calibrate` has fitted that for",
    )
    stream: bool = Field(False, description="server-sent events while it is written; for one text")


class GenerateRequest(RequestModel):
    prompt: Text = ""
    max_tokens: int = Field(200, ge=1, le=MAX_TOKENS)
    n: int = Field(1, ge=1, le=MAX_BEAM, description="how many")
    stop: (
        Annotated[str, Field(min_length=1, max_length=200)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=8)]
    ) = Field(default=[], description="strings that end the text and are not part of it")
    strategy: Literal["beam", "sample"] | None = None
    beam: int | None = Field(None, ge=1, le=MAX_BEAM)
    temperature: float | None = Field(None, ge=0, le=100, description="0 always writes the likeliest token")
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, lt=1)
    repetition_penalty: float | None = Field(None, ge=1, le=100)
    seed: int | None = Field(None, ge=0, lt=2**63)
    candidates: int = Field(0, ge=0, le=10, description="also tell so many tokens that might stand at each place")
    confidence: bool = Field(
        False,
        description="also tell how probable it is that what is written is acceptable; of a run that `sightline "
        "calibrate` has fitted that for",
    )
    stream: bool | None = Field(
        None, description="server-sent events while it is written; so it is where one text is written and nothing said"
    )

    def options(self) -> dict[str, Any]:
        """The search settings that were given."""
        names = (
            "strategy", "beam", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed",
        )  # fmt: skip
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class FillRequest(RequestModel):
    text: Text = Field(description="with [MASK] where something is missing")
    top: int = Field(5, ge=1, le=50, description="candidates for each blank")


class ClassifyRequest(RequestModel):
    texts: Annotated[list[Text | Texts], Field(max_length=MAX_TEXTS)] = Field(
        default=[], description="records: a text each, or a list of texts where a record has several"
    )
    image: str | None = Field(None, max_length=MAX_IMAGE, description="an image file in base64")

    def fits(self, served: Any) -> bool:
        """Whether that is a model for this request."""
        return _reads(served, self.image, self.texts[0] if self.texts else [])


class PredictRequest(RequestModel):
    inputs: Texts = Field(description="what the model of a user's own task reads, a text each")


class TagRequest(RequestModel):
    text: Text | Texts


class AnswerRequest(RequestModel):
    question: Text
    context: Text


class ScoreRequest(RequestModel):
    text: Text | Texts
    target: Text | Texts | None = Field(None, description="of a translation model: the translations to score")

    def fits(self, served: Any) -> bool:
        """Whether that is a model for this request."""
        return served.predictor.scores_pairs == (self.target is not None)


class ReadingRequest(RequestModel):
    """One thing that a model reads while it is looked into."""

    text: Text | Texts | None = Field(None, description="what the model reads; several texts of one record as a list")
    image: str | None = Field(None, max_length=MAX_IMAGE, description="an image file in base64")
    target: Text | None = Field(None, description="of a translation: look while this one is written")
    site: str | None = Field(None, max_length=200, description='an attention, or "NAME:3" for one of its heads')
    checkpoint: int | None = Field(None, ge=0, lt=2**63, description="look at the run as it was after so many updates")

    def fits(self, served: Any) -> bool:
        """Whether that is a model for this request."""
        right = self.target is None or "target" in served.predictor.reading_options
        return right and _reads(served, self.image, [] if self.text is None else self.text)


class AttentionRequest(ReadingRequest):
    check: bool = Field(False, description="also what each output loses without each position")
    heads: bool = Field(False, description="also what can be measured of every head")

    def fits(self, served: Any) -> bool:
        """Whether that is a model for this request, and attends at all."""
        return served.attends and super().fits(served)


class LookRequest(ReadingRequest):
    what: str | None = Field(
        None, max_length=50, description="one view, by its name; all of what is no attention where it is left out"
    )


class CompletionRequest(BaseModel):
    """What OpenAI's clients send to /v1/completions. What would change the text and is not supported is refused."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: ModelName = None
    prompt: Text | Texts = ""
    max_tokens: int | None = Field(16, ge=1, le=MAX_TOKENS)
    n: int | None = Field(1, ge=1, le=MAX_BEAM)
    temperature: float | None = Field(1.0, ge=0, le=2)
    top_p: float | None = Field(1.0, ge=0, le=1)
    stop: (
        Annotated[str, Field(max_length=200)]
        | Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=8)]
        | None
    ) = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    stream: bool | None = False
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: bool | None = False
    suffix: str | None = None
    best_of: int | None = None
    presence_penalty: float | None = 0
    frequency_penalty: float | None = 0
    logit_bias: dict[str, float] | None = None


class DetectRequest(BaseModel):
    """What LibreTranslate's clients send to /detect."""

    model_config = ConfigDict(extra="ignore")

    q: Text | Texts


class LibreTranslateRequest(DetectRequest):
    """What LibreTranslate's clients send to /translate."""

    source: str = Field("auto", max_length=20)
    target: str = Field(max_length=20)
    format: Literal["text", "html"] = Field("text", description="of html, the text between tags is translated")
    alternatives: int = Field(0, ge=0, le=MAX_BEAM - 1)
