"""The task of classifying texts, as the rest of Sightline sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import cast

import numpy as np
from torch import Tensor

from sightline.data.check_records import LABELLED, Limit
from sightline.data.labelled import Examples, LabelledSource, read_labelled, suggest_columns
from sightline.data.sources import Column
from sightline.decode.probabilities import softmax
from sightline.errors import UsageError
from sightline.tasks.answers import Answers, class_scores, pearson
from sightline.tasks.breakdowns import class_details
from sightline.tasks.classification.examples import encode_files, find_labels
from sightline.tasks.classification.exchange import EXCHANGES, exchanged
from sightline.tasks.classification.predictor import Classifier
from sightline.tasks.classification.settings import METRICS, SIDE, ClassificationSettings, DataSettings
from sightline.tasks.classification.task import ClassificationTask, figures, make_model, train_tokenizers
from sightline.tasks.details import Detail
from sightline.tasks.presets import FURTHER, RECORDS
from sightline.tasks.report import Figures
from sightline.tasks.spec import Init, Page, PageInput, Pretraining, TaskSpec, Timed, Tokenizers, Values


def _read_test(settings: ClassificationSettings, tokenizers: Tokenizers, files: LabelledSource) -> object:
    return encode_files(settings, tokenizers[SIDE], files)


def evaluate(model: Classifier, name: str, files: LabelledSource, *, unknown_labels: bool = False) -> Figures:
    """Every record counts; texts that are too long are cut. With `unknown_labels` a class that training never had is
    not refused, and whatever is said of it counts as wrong."""
    start = time.perf_counter()
    examples = encode_files(model.settings, model.tokenizer, files, unknown_labels=unknown_labels)
    scores_NC = model.scores(examples)
    found = figures(model.settings, scores_NC, examples)
    seconds = time.perf_counter() - start
    answers = _answers(model.settings, files, examples, scores_NC)
    details = _details(model.settings, answers, examples, scores_NC)
    return Figures(name, len(examples), "records", found, seconds, METRICS, answers, details)


def _answers(settings: ClassificationSettings, files: LabelledSource, examples: Examples, scores_NC: Tensor) -> Answers:
    inputs, references = zip(*((" · ".join(texts), label) for texts, label in read_labelled(files)), strict=True)
    true_N = examples.targets
    if settings.data.numbers:
        predicted_N = scores_NC[:, 0].numpy()
        outputs = [f"{one:.4f}" for one in predicted_N]
        return Answers("records", inputs, references, outputs, [pearson(METRICS["pearson"], predicted_N, true_N)])
    told = cast("list[int]", scores_NC.argmax(1).tolist())
    outputs = [settings.data.labels[number] if settings.data.labels else str(number) for number in told]
    scores = class_scores(METRICS["accuracy"], METRICS["macro_f1"], true_N, np.array(told))
    return Answers("records", inputs, references, outputs, scores)


def _details(
    settings: ClassificationSettings, answers: Answers, examples: Examples, scores_NC: Tensor
) -> Sequence[Detail]:
    if settings.data.numbers:
        return ()
    classes = settings.data.labels or [str(number) for number in range(scores_NC.shape[1])]
    return class_details("records", answers.inputs, classes, examples.targets, softmax(scores_NC).numpy())


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


def _texts(files: LabelledSource, count: int) -> list[tuple[str, ...]]:
    return [texts for texts, _ in islice(read_labelled(files), count)]


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
    timed=Timed(_texts, Classifier.predict),
    page=Page("labels", (PageInput("text", "Text", examples={"": "I would watch this film again."}),)),
    complete=_complete,
    init=Init(
        models=("gpt", "bert"),
        scales=RECORDS,
        further=FURTHER,
        files=_files,
        columns=_columns,
    ),
    pretraining=Pretraining(parents=(("language", "gpt"), ("masked_language", "bert")), bounded="max_tokens"),
    check=replace(LABELLED, limits={"text": Limit(DataSettings.model_fields["max_tokens"].default, "cuts")}),
    exchanges=EXCHANGES,
    exchanged=exchanged,
)
