"""Answerers of questions to and from other toolkits."""

from __future__ import annotations

from sightline.tasks.exchange import Asked, Exchange, ExchangedModel, Values, reading
from sightline.tasks.question_answering.predictor import QuestionAnswerer
from sightline.train.run_directory import Run


def _values(model: ExchangedModel, asked: Asked) -> Values:
    return reading(model, unanswerable=True)


def exchanged(run: Run) -> ExchangedModel:
    """What a run is to other toolkits; loaded for use, so that low-rank adapters are part of the weights."""
    loaded = QuestionAnswerer(run.path)
    return ExchangedModel("answer_span", loaded.settings.model, loaded.weights(), loaded.tokenizer)


EXCHANGES = (Exchange("answer_span", "Question answerer", _values),)
