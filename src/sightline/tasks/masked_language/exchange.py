"""Pretrained BERTs to and from other toolkits."""

from __future__ import annotations

from sightline.tasks.exchange import Asked, Exchange, ExchangedModel, Head, Values, reading
from sightline.tasks.masked_language.settings import SIDE, MaskedLanguageSettings
from sightline.train.run_directory import Run


def _values(model: ExchangedModel, asked: Asked) -> Values:
    return {**reading(model, validation=[]), "next_sentence": model.next_sentence}


def _encoder(model: ExchangedModel, asked: Asked) -> Values:
    return {**reading(model, validation=[]), "next_sentence": False, "encoder_only": True}


def exchanged(run: Run) -> ExchangedModel:
    """What a run is to other toolkits."""
    settings = run.settings(MaskedLanguageSettings)
    head: Head = "encoder" if settings.encoder_only else "masked_tokens"
    return ExchangedModel(head, settings.model, run.read_weights(), run.load_tokenizers()[SIDE])


EXCHANGES = (
    Exchange("masked_tokens", "Masked language model", _values),
    Exchange("encoder", "Encoder", _encoder),
)
