"""The task of tagging words and characters, as the rest of Sightline sees it."""

from __future__ import annotations

import time

from sightline.data.tagged import TaggedSource
from sightline.tasks.presets import FURTHER, RECORDS
from sightline.tasks.report import Figures
from sightline.tasks.spec import Init, Page, PageInput, Pretraining, TaskSpec, Tokenizers
from sightline.tasks.tagging.exchange import EXCHANGES, exchanged
from sightline.tasks.tagging.predictor import Tagger
from sightline.tasks.tagging.settings import METRICS, TaggingSettings
from sightline.tasks.tagging.task import TaggingTask, find_tags, make_model, measure, read_all, train_tokenizers


def _read_test(settings: TaggingSettings, tokenizers: Tokenizers, files: TaggedSource) -> object:
    return read_all(settings, files)


def evaluate(model: Tagger, name: str, files: TaggedSource, *, unknown_labels: bool = False) -> Figures:
    """Every unit counts; records that are too long are read in halves. With `unknown_labels` a tag that training never
    had is not refused, and whatever is said of it counts as wrong."""
    start = time.perf_counter()
    records = read_all(model.settings, files, unknown_labels)
    found = measure(model.settings, model.model, model.tokenizer, records, files.joined_by)
    return Figures(name, len(records), "records", found, time.perf_counter() - start, METRICS)


def _complete(settings: TaggingSettings) -> TaggingSettings:
    """With the tags of the training records."""
    return settings.model_copy(update={"data": settings.data.model_copy(update={"tags": find_tags(settings)})})


SPEC = TaskSpec(
    name="tagging",
    settings=TaggingSettings,
    predictor=Tagger,
    verb="tag",
    after_training="sightline tag {run} --text '…'",
    after_evaluation="sightline tag {run} FILE",
    metrics=METRICS,
    train_tokenizers=train_tokenizers,
    make_model=make_model,
    make_task=TaggingTask,
    read_test=_read_test,
    evaluate=evaluate,
    evaluate_options=frozenset({"unknown_labels"}),
    page=Page("spans", (PageInput("text", "Text"),), live=True),
    complete=_complete,
    init=Init(
        models=("bert",),
        scales=RECORDS,
        further=FURTHER,
        columns=lambda columns: {"columns": list(columns)},
    ),
    pretraining=Pretraining(parents=(("masked_language", "bert"),), bounded="max_tokens"),
    exchanges=EXCHANGES,
    exchanged=exchanged,
)
