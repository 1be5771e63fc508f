"""One file per system of the line, each with its whole forward path; and the tables of them."""

from sightline.models.bert import Bert, BertForPretraining, BertSizes
from sightline.models.gpt import GPT, GPTSizes
from sightline.models.ngram import NGram, NGramSizes
from sightline.models.recurrent import RecurrentLM, RecurrentSizes
from sightline.models.registry import (
    ENCODER_DECODERS,
    LANGUAGE_MODELS,
    EncoderDecoderSizes,
    EncoderDecoderSpec,
    LanguageModelSizes,
    LanguageModelSpec,
    add_encoder_decoder,
    add_language_model,
    make_encoder_decoder,
    make_language_model,
)
from sightline.models.seq2seq import Seq2Seq, Seq2SeqSizes
from sightline.models.transformer import Transformer, TransformerSizes
from sightline.models.window import WindowLM, WindowSizes

__all__ = [
    "ENCODER_DECODERS",
    "GPT",
    "LANGUAGE_MODELS",
    "Bert",
    "BertForPretraining",
    "BertSizes",
    "EncoderDecoderSizes",
    "EncoderDecoderSpec",
    "GPTSizes",
    "LanguageModelSizes",
    "LanguageModelSpec",
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
    "add_encoder_decoder",
    "add_language_model",
    "make_encoder_decoder",
    "make_language_model",
]
