"""The task of classifying texts, as the rest of Sightline sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sightline.data.labelled import LabelledSource, suggest_columns
from sightline.data.sources import Column
from sightline.errors import UsageError
from sightline.tasks.classification.examples import encode_files, find_labels
from sightline.tasks.classification.exchange import EXCHANGES, exchanged
from sightline.tasks.classification.predictor import Classifier
from sightline.tasks.classification.settings import METRICS, SIDE, ClassificationSettings
from sightline.tasks.classification.task import ClassificationTask, figures, make_model, train_tokenizers
from sightline.tasks.presets import FURTHER, RECORDS
from sightline.tasks.report import Figures
from sightline.tasks.spec import Init, Page, PageInput, Pretraining, TaskSpec, Tokenizers, Values


def _read_test(settings: ClassificationSettings, tokenizers: Tokenizers, files: LabelledSource) -> object:
    return encode_files(settings, tokenizers[SIDE], files)


def evaluate(model: Classifier, name: str, files: LabelledSource, *, unknown_labels: bool = False) -> Figures:
    """Every record counts; texts that are too long are cut. With `unknown_labels` a class that training never had is
    not refused, and whatever is said of it counts as wrong."""
    start = time.perf_counter()
    examples = encode_files(model.settings, model.tokenizer, files, unknown_labels=unknown_labels)
    found = figures(model.settings, model.scores(examples), examples)
    return Figures(name, len(examples), "records", found, time.perf_counter() - start, METRICS)


def _complete(settings: ClassificationSettings) -> ClassificationSettings:
    """With the classes of the training records."""
    data = settings.data.model_copy(update={"labels": find_labels(settings)})
    return settings.model_copy(update={"data": data})


def _files(source: str, target: str | None) -> Values:
    return {"source": source, **suggest_columns(source)}


def _columns(columns: Sequence[Column]) -> Values:
    if len(columns) != 2:
        raise UsageError(
            f"--columns: names {len(columns)}; name that of the text, then that of the label (records of several texts "
            "are described in the file: data.form, and texts of each source)"
        )
    text, label = columns
    return {"texts": [text], "label": label}


SPEC = TaskSpec(
    name="classification",
    settings=ClassificationSettings,
    predictor=Classifier,
    verb="classify",
    after_training="sightline classify {run} {texts}",
    after_evaluation="sightline classify {run} FILE",
    metrics=METRICS,
    train_tokenizers=train_tokenizers,
    make_model=make_model,
    make_task=ClassificationTask,
    read_test=_read_test,
    evaluate=evaluate,
    evaluate_options=frozenset({"unknown_labels"}),
    page=Page("labels", (PageInput("text", "Text"),)),
    complete=_complete,
    init=Init(
        models=("gpt", "bert"),
        scales=RECORDS,
        further=FURTHER,
        files=_files,
        columns=_columns,
    ),
    pretraining=Pretraining(parents=(("language", "gpt"), ("masked_language", "bert")), bounded="max_tokens"),
    exchanges=EXCHANGES,
    exchanged=exchanged,
)
