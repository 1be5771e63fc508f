"""The two tables of models that configurations choose from by `kind`, and the types of fields that hold their sizes.

What a user's plug-in adds is added here, and only when the user asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from sightline.errors import UsageError
from sightline.models.encoder_decoder import NeuralEncoderDecoder
from sightline.models.gpt import GPT, GPTSizes
from sightline.models.language_model import NeuralLanguageModel
from sightline.models.ngram import NGramSizes
from sightline.models.recurrent import RecurrentLM, RecurrentSizes
from sightline.models.seq2seq import Seq2Seq, Seq2SeqSizes
from sightline.models.sizes import LanguageSizes, ModelSizes, SourceTargetSizes
from sightline.models.transformer import Transformer, TransformerSizes
from sightline.models.window import WindowLM, WindowSizes

Sizes = TypeVar("Sizes", bound=ModelSizes)
# A model whose state is its own business.
AnyLanguageModel = NeuralLanguageModel[Any]
AnyEncoderDecoder = NeuralEncoderDecoder[Any]


@dataclass(frozen=True)
class ModelSpec(Generic[Sizes]):
    """One kind of model: its name, the record of its sizes, whose `kind` is that name alone.

    Raises ValueError for a record of another kind.
    """

    kind: str
    sizes: type[Sizes]

    def __post_init__(self) -> None:
        own = self.sizes.model_fields["kind"].default
        if own != self.kind:
            raise ValueError(f'kind "{self.kind}": {self.sizes.__name__} says kind = "{own}"')


@dataclass(frozen=True)
class LanguageModelSpec(ModelSpec[Sizes]):
    """A language model. `build` makes one from (tokens in the vocabulary, sizes); None of one that is not trained."""

    build: Callable[[int, Sizes], AnyLanguageModel] | None

    def register(self) -> None:
        """Makes the kind known; see `add_language_model`."""
        add_language_model(self)


@dataclass(frozen=True)
class EncoderDecoderSpec(ModelSpec[Sizes]):
    """An encoder–decoder. `build` makes one from (source tokens, target tokens, sizes)."""

    build: Callable[[int, int, Sizes], AnyEncoderDecoder]

    def register(self) -> None:
        """Makes the kind known; see `add_encoder_decoder`."""
        add_encoder_decoder(self)


LANGUAGE_MODELS: dict[str, LanguageModelSpec[Any]] = {
    "gpt": LanguageModelSpec("gpt", GPTSizes, GPT),
    "recurrent": LanguageModelSpec("recurrent", RecurrentSizes, RecurrentLM),
    "window": LanguageModelSpec("window", WindowSizes, WindowLM),
    "ngram": LanguageModelSpec("ngram", NGramSizes, None),
}

ENCODER_DECODERS: dict[str, EncoderDecoderSpec[Any]] = {
    "seq2seq": EncoderDecoderSpec("seq2seq", Seq2SeqSizes, Seq2Seq),
    "transformer": EncoderDecoderSpec("transformer", TransformerSizes, Transformer),
}


def add_language_model(spec: LanguageModelSpec[Any]) -> None:
    """Makes a kind of language model known. A schema that has a field of it is to be rebuilt then
    (`model_rebuild(force=True)`). Raises UsageError where another is known by its name."""
    _add(LANGUAGE_MODELS, spec)


def add_encoder_decoder(spec: EncoderDecoderSpec[Any]) -> None:
    """Makes a kind of encoder–decoder known, as `add_language_model` does."""
    _add(ENCODER_DECODERS, spec)


Spec = TypeVar("Spec", bound=ModelSpec[Any])


def _add(table: dict[str, Spec], spec: Spec) -> None:
    if table.get(spec.kind, spec) != spec:
        raise UsageError(f'model kind "{spec.kind}": there is one of that name; choose another')
    table[spec.kind] = spec


@dataclass(frozen=True, eq=False)
class SizesOf:
    """Marks a field that holds the sizes of one of the kinds of a table, as the table is when its schema is built."""

    table: Mapping[str, ModelSpec[Any]]

    def __get_pydantic_core_schema__(self, source: type[object], handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {kind: handler.generate_schema(spec.sizes) for kind, spec in self.table.items()}
        return core_schema.tagged_union_schema(choices, discriminator="kind")


LanguageModelSizes = Annotated[LanguageSizes, SizesOf(LANGUAGE_MODELS)]
EncoderDecoderSizes = Annotated[SourceTargetSizes, SizesOf(ENCODER_DECODERS)]


def make_language_model(vocab_size: int, sizes: LanguageSizes) -> AnyLanguageModel:
    """The language model that `sizes.kind` names, freshly initialised from the global generator.

    Raises UsageError for one that is counted and not trained.
    """
    build = LANGUAGE_MODELS[sizes.kind].build
    if build is None:
        raise UsageError(f"model.kind {sizes.kind}: it is counted and not trained")
    return build(vocab_size, sizes)


def make_encoder_decoder(source_vocab: int, target_vocab: int, sizes: SourceTargetSizes) -> AnyEncoderDecoder:
    """The encoder–decoder that `sizes.kind` names, freshly initialised from the global generator."""
    return ENCODER_DECODERS[sizes.kind].build(source_vocab, target_vocab, sizes)
