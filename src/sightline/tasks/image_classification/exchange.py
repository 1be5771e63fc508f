"""Classifiers of images to and from other toolkits."""

from __future__ import annotations

from sightline.tasks.exchange import Asked, Exchange, ExchangedModel, Pixels, Values
from sightline.tasks.image_classification.settings import ImageSettings
from sightline.train.run_directory import Run


def _values(model: ExchangedModel, asked: Asked) -> Values:
    if model.pixels is None:
        raise ValueError("a model of images needs to know how they become numbers")
    return {"data": {"classes": model.labels, **vars(model.pixels)}}


def exchanged(run: Run) -> ExchangedModel:
    """What a run is to other toolkits."""
    settings = run.settings(ImageSettings)
    data, channels = settings.data, settings.model.channels
    mean, std = (one * (channels // len(one)) for one in (data.mean, data.std))
    pixels = Pixels(mean, std, data.fit)
    return ExchangedModel("image_classes", settings.model, run.read_weights(), labels=data.classes, pixels=pixels)


EXCHANGES = (Exchange("image_classes", "Image classifier", _values),)
