"""Taggers to and from other toolkits."""

from __future__ import annotations

from sightline.tasks.exchange import Asked, Exchange, ExchangedModel, Values, reading
from sightline.tasks.tagging.predictor import Tagger
from sightline.train.run_directory import Run


def _values(model: ExchangedModel, asked: Asked) -> Values:
    return reading(model, tags=model.labels)


def exchanged(run: Run) -> ExchangedModel:
    """What a run is to other toolkits; loaded for use, so that low-rank adapters are part of the weights."""
    loaded = Tagger(run.path)
    labels = loaded.settings.data.tags
    return ExchangedModel("token_classes", loaded.settings.model, loaded.weights(), loaded.tokenizer, labels=labels)


EXCHANGES = (Exchange("token_classes", "Tagger", _values),)
