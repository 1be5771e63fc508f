"""The task of classifying images, as the rest of Sightline sees it."""

from __future__ import annotations

import time
from typing import cast

import numpy as np

from sightline.data.check_records import IMAGES as CHECKED
from sightline.data.images import ImageSource
from sightline.data.survey import Survey, survey_images
from sightline.decode.probabilities import softmax
from sightline.tasks.answers import Answers, share
from sightline.tasks.breakdowns import class_details
from sightline.tasks.image_classification.exchange import EXCHANGES, exchanged
from sightline.tasks.image_classification.predictor import ImageClassifier
from sightline.tasks.image_classification.settings import METRICS, ImageSettings
from sightline.tasks.image_classification.task import (
    UNKNOWN,
    ImageTask,
    complete,
    figures,
    make_model,
    no_tokenizers,
    read_labelled,
    scores,
)
from sightline.tasks.presets import IMAGES
from sightline.tasks.report import Figures
from sightline.tasks.spec import Init, Page, PageInput, TaskSpec, Tokenizers, Values


def _read_test(settings: ImageSettings, tokenizers: Tokenizers, files: ImageSource) -> object:
    return read_labelled(settings, files)


def evaluate(model: ImageClassifier, name: str, files: ImageSource, *, unknown_labels: bool = False) -> Figures:
    """Every image counts. With `unknown_labels` a class that training never had is not refused, and whatever is said of
    it counts as wrong."""
    images = read_labelled(model.settings, files, unknown_labels=unknown_labels)
    start = time.perf_counter()
    logits_NC = scores(model.settings, model.model, images.pixels)
    found = figures(logits_NC, images)
    seconds = time.perf_counter() - start
    told, classes = cast("list[int]", logits_NC.argmax(1).tolist()), model.settings.data.classes
    answers = Answers(
        "images",
        [f"image {number:,}" for number in range(1, len(images) + 1)],
        [classes[number] if number != UNKNOWN else "?" for number in cast("list[int]", images.classes.tolist())],
        [classes[number] for number in told],
        [share(METRICS["accuracy"], np.array(told) == images.classes)],
    )
    details = class_details("images", answers.inputs, classes, images.classes, softmax(logits_NC).numpy())
    return Figures(name, len(images), "images", found, seconds, METRICS, answers, details)


_LARGEST = 224  # pixels; larger images are scaled down


def _fit_size(survey: Survey, values: Values) -> Values:
    """The images' own size where it is not large, in patches of which about seven stand side by side."""
    if survey.image is None:
        return {}
    pixels, channels = survey.image
    size = pixels if pixels <= 32 else min(_LARGEST, pixels // 16 * 16)
    patches = [one for one in range(2, size + 1) if size % one == 0]
    patch = min(patches, key=lambda one: abs(size / one - 7.5), default=1)
    return {"model": {"image_size": size, "channels": 1 if channels == 1 else 3, "patch_size": patch}}


# a handwritten seven of no data set, as a PNG file
SEVEN = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAAA7ElEQVR42mNgGGSAEZXDyMjIyMTC8O0/kiSzijALBycnFycX"
    "FzcXJ9/PzssMDAwMDCwMDAwMDCrzVZiZmZmZmBgZGRkYGb/vvfIfIcnEzvrn1+9fv37+/PGDwVTo/qn/SDpvJ4l+//Hz169f"
    "f/78dTD8tfo2DhcKr/l7RRuHHHPch68lrDgkFY/+2yuDQ46t+sfbMCYckrrX/y4RwCHHWvXzsT0jDkn1C39mcOPU+OORDa5Y"
    "0LmKWyNz4Y+XTrg0iu/7t0UIWQDJT4zmBj82fsAhyWzFd2v/PxR7EMz/DNyLD//DZSczDwtdkiYAa3xJDwTHpdIAAAAASUVO"
    "RK5CYII="
)

SPEC = TaskSpec(
    name="image_classification",
    settings=ImageSettings,
    predictor=ImageClassifier,
    verb="classify",
    after_training="sightline classify {run} FILE",
    after_evaluation="sightline classify {run} FILE",
    metrics=METRICS,
    train_tokenizers=no_tokenizers,
    make_model=make_model,
    make_task=ImageTask,
    read_test=_read_test,
    evaluate=evaluate,
    evaluate_options=frozenset({"unknown_labels"}),
    page=Page("labels", (PageInput("image", "Image file", image=True, examples={"": SEVEN}),)),
    complete=complete,
    init=Init(
        models=("vit",),
        scales=IMAGES,
        unit="images",
        survey=survey_images,
        tokens=lambda survey, settings: survey.records * settings.span,
        fit=_fit_size,
        files=lambda source, target: {"source": source, **({} if target is None else {"labels": target})},
    ),
    data_files=("source", "labels"),
    check=CHECKED,
    exchanges=EXCHANGES,
    exchanged=exchanged,
)
