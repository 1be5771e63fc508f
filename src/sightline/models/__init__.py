"""One file per system of the line, each with its whole forward path; and the table of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from sightline.models.bert import Bert, BertForPretraining, BertSizes
from sightline.models.gpt import GPT, GPTSizes
from sightline.models.ngram import NGram, NGramSizes
from sightline.models.recurrent import RecurrentLM, RecurrentSizes
from sightline.models.seq2seq import Seq2Seq, Seq2SeqSizes
from sightline.models.transformer import Transformer, TransformerSizes
from sightline.models.window import WindowLM, WindowSizes

EncoderDecoderSizes = Annotated[Seq2SeqSizes | TransformerSizes, Field(discriminator="kind")]

ENCODER_DECODERS = {"seq2seq": Seq2Seq, "transformer": Transformer}


def make_encoder_decoder(source_vocab: int, target_vocab: int, sizes: Seq2SeqSizes | TransformerSizes) -> nn.Module:
    """The encoder–decoder that `sizes.kind` names, freshly initialised from the global generator."""
    return ENCODER_DECODERS[sizes.kind](source_vocab, target_vocab, sizes)  # pyright: ignore[reportArgumentType]


LanguageModelSizes = Annotated[GPTSizes | RecurrentSizes | WindowSizes | NGramSizes, Field(discriminator="kind")]

# Those that are trained; an `NGram` is counted.
LANGUAGE_MODELS = {"gpt": GPT, "recurrent": RecurrentLM, "window": WindowLM}


def make_language_model(vocab_size: int, sizes: GPTSizes | RecurrentSizes | WindowSizes | NGramSizes) -> nn.Module:
    """The language model that `sizes.kind` names, freshly initialised from the global generator."""
    return LANGUAGE_MODELS[sizes.kind](vocab_size, sizes)  # pyright: ignore[reportArgumentType]


__all__ = [
    "ENCODER_DECODERS",
    "GPT",
    "LANGUAGE_MODELS",
    "Bert",
    "BertForPretraining",
    "BertSizes",
    "EncoderDecoderSizes",
    "GPTSizes",
    "LanguageModelSizes",
    "NGram",
    "NGramSizes",
    "RecurrentLM",
    "RecurrentSizes",
    "Seq2Seq",
    "Seq2SeqSizes",
    "Transformer",
    "TransformerSizes",
    "WindowLM",
    "WindowSizes",
    "make_encoder_decoder",
    "make_language_model",
]
