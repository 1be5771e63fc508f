"""Language models to and from other toolkits."""

from __future__ import annotations

from sightline.tasks.exchange import Asked, Exchange, ExchangedModel, Values
from sightline.tasks.language.settings import SIDE, LanguageSettings
from sightline.train.run_directory import Run


def _values(model: ExchangedModel, asked: Asked) -> Values:
    block = model.sizes.model_dump()["max_length"]
    return {"data": {"validation": [], "block": block, "running": not model.documents}}


def exchanged(run: Run) -> ExchangedModel:
    """What a run is to other toolkits."""
    settings = run.settings(LanguageSettings)
    tokenizer = run.load_tokenizers()[SIDE]
    return ExchangedModel("next_token", settings.model, run.read_weights(), tokenizer, documents=settings.has_documents)


EXCHANGES = (Exchange("next_token", "Language model", _values),)
