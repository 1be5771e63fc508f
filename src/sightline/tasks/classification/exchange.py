"""Classifiers of texts to and from other toolkits."""

from __future__ import annotations

from sightline.errors import UsageError
from sightline.tasks.classification.predictor import Classifier
from sightline.tasks.exchange import Asked, Exchange, ExchangedModel, Head, Values, reading
from sightline.train.run_directory import Run


def _classes(model: ExchangedModel, asked: Asked) -> Values:
    return reading(model, form=asked.form, labels=model.labels, numbers=not model.labels)


def _choice(model: ExchangedModel, asked: Asked) -> Values:
    if asked.choices is None:
        raise UsageError("choices: it chooses among texts; say how many there are to choose from")
    return reading(model, form="choice", choices=asked.choices)


def exchanged(run: Run) -> ExchangedModel:
    """What a run is to other toolkits; loaded for use, so that low-rank adapters are part of the weights."""
    loaded = Classifier(run.path)
    data = loaded.settings.data
    if data.form == "similarity":
        raise UsageError(f"{run.path}: form similarity; a BERT's directory has single, pair and choice")
    head: Head = "choice" if data.form == "choice" else "sequence_classes"
    return ExchangedModel(head, loaded.settings.model, loaded.weights(), loaded.tokenizer, labels=data.labels)


EXCHANGES = (Exchange("sequence_classes", "Classifier", _classes), Exchange("choice", "Classifier", _choice))
