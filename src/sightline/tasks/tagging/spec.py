"""The task of tagging words and characters, as the rest of Sightline sees it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from sightline.data.check_records import TAGGED, Limit
from sightline.data.tagged import TaggedSource, read_tagged, spans
from sightline.tasks.answers import Answers, ratio, span_f1
from sightline.tasks.breakdowns import counted, never
from sightline.tasks.details import Detail
from sightline.tasks.presets import FURTHER, RECORDS
from sightline.tasks.report import Figures
from sightline.tasks.spec import Init, Page, PageInput, Pretraining, TaskSpec, Timed, Tokenizers
from sightline.tasks.tagging.exchange import EXCHANGES, exchanged
from sightline.tasks.tagging.predictor import Tagger
from sightline.tasks.tagging.settings import METRICS, DataSettings, TaggingSettings
from sightline.tasks.tagging.task import (
    TaggingTask,
    Units,
    figures,
    find_tags,
    make_model,
    read_all,
    tag,
    train_tokenizers,
)

Tagged = tuple[Units, Sequence[str]]  # a record and its tags


def _read_test(settings: TaggingSettings, tokenizers: Tokenizers, files: TaggedSource) -> object:
    return read_all(settings, files)


def evaluate(model: Tagger, name: str, files: TaggedSource, *, unknown_labels: bool = False) -> Figures:
    """Every unit counts; records that are too long are read in halves. With `unknown_labels` a tag that training never
    had is not refused, and whatever is said of it counts as wrong."""
    start = time.perf_counter()
    settings, records = model.settings, read_all(model.settings, files, unknown_labels)
    found = tag(settings, model.model, model.tokenizer, [units for units, _ in records], files.joined_by)
    scores = figures(settings, records, found)
    seconds = time.perf_counter() - start
    answers = _answers(records, found.tags, files.joined_by)
    details = _details(records, found.tags)
    return Figures(name, len(records), "records", scores, seconds, METRICS, answers, details)


def _answers(records: Sequence[Tagged], told: Sequence[Sequence[str]], joined_by: str) -> Answers:
    spans_of = [(set(spans(tags)), set(spans(said))) for (_, tags), said in zip(records, told, strict=True)]
    counts_N3 = np.array([(len(true & said), len(said), len(true)) for true, said in spans_of])
    right_N2 = np.array(
        [(sum(map(str.__eq__, tags, said)), len(tags)) for (_, tags), said in zip(records, told, strict=True)]
    )
    return Answers(
        "records",
        [joined_by.join(units) for units, _ in records],
        [" ".join(tags) for _, tags in records],
        [" ".join(said) for said in told],
        [
            span_f1(METRICS["span_f1"], *counts_N3.T),
            ratio(METRICS["accuracy"], 100 * right_N2[:, 0], right_N2[:, 1]),
        ],
    )


def _details(records: Sequence[Tagged], told: Sequence[Sequence[str]]) -> list[Detail]:
    """Spans by their type, their ends exact; tags of units where none of them marks a span."""
    right: Counter[str] = Counter()
    said: Counter[str] = Counter()
    there: Counter[str] = Counter()
    marks_spans = any(spans(tags) or spans(found) for (_, tags), found in zip(records, told, strict=True))
    for (_, tags), found in zip(records, told, strict=True):
        one, other = (set(spans(each) if marks_spans else enumerate(each)) for each in (tags, found))
        for counter, items in ((right, one & other), (said, other), (there, one)):
            counter.update(item[-1] for item in items)
    counts = {kind: (right[kind], said[kind], there[kind]) for kind in sorted(there | said)}
    what, title = ("type", "spans by type, in %") if marks_spans else ("tag", "units by tag, in %")
    return [*never(what, counts), counted(f"per_{what}", title, what, counts)]


def _complete(settings: TaggingSettings) -> TaggingSettings:
    """With the tags of the training records."""
    return settings.model_copy(update={"data": settings.data.model_copy(update={"tags": find_tags(settings)})})


def _texts(files: TaggedSource, count: int) -> list[str]:
    return [files.joined_by.join(units) for units, _ in islice(read_tagged(files), count)]


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
    timed=Timed(_texts, Tagger.tag),
    page=Page("spans", (PageInput("text", "Text", examples={"": "Marie Curie was born in Warsaw."}),), live=True),
    complete=_complete,
    init=Init(
        models=("bert",),
        scales=RECORDS,
        further=FURTHER,
        columns=lambda columns: {"columns": list(columns)},
    ),
    pretraining=Pretraining(parents=(("masked_language", "bert"),), bounded="max_tokens"),
    check=replace(TAGGED, limits={"text": Limit(DataSettings.model_fields["max_tokens"].default, "reads in halves")}),
    exchanges=EXCHANGES,
    exchanged=exchanged,
)
