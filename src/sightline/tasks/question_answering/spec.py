"""The task of answering questions from texts, as the rest of Sightline sees it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from sightline.data.check_records import QUESTIONS, Limit
from sightline.data.questions import QuestionSource
from sightline.tasks.answers import Answers, share
from sightline.tasks.presets import FURTHER, RECORDS
from sightline.tasks.question_answering.exchange import EXCHANGES, exchanged
from sightline.tasks.question_answering.predictor import QuestionAnswerer
from sightline.tasks.question_answering.settings import METRICS, DataSettings, QuestionSettings
from sightline.tasks.question_answering.task import QuestionTask, make_model, measure, read_all, train_tokenizers
from sightline.tasks.report import Figures
from sightline.tasks.spec import Init, Page, PageInput, Pretraining, TaskSpec, Tokenizers


def _read_test(settings: QuestionSettings, tokenizers: Tokenizers, files: QuestionSource) -> object:
    return read_all(settings, files)


def evaluate(model: QuestionAnswerer, name: str, files: QuestionSource) -> Figures:
    """Every question counts."""
    start = time.perf_counter()
    questions = read_all(model.settings, files)
    found = measure(model.settings, model.model, model.tokenizer, questions)
    seconds = time.perf_counter() - start
    answers = Answers(
        "questions",
        [one.question for one in questions],
        [one.texts[0] if one.texts else "" for one in questions],
        found.told,
        [share(METRICS["f1"], np.array(found.f1)), share(METRICS["exact_match"], np.array(found.exact))],
    )
    return Figures(name, len(questions), "questions", found.figures(), seconds, METRICS, answers)


SPEC = TaskSpec(
    name="question_answering",
    settings=QuestionSettings,
    predictor=QuestionAnswerer,
    verb="answer",
    after_training="sightline answer {run} FILE --question '…'",
    after_evaluation="sightline answer {run} FILE --question '…'",
    metrics=METRICS,
    train_tokenizers=train_tokenizers,
    make_model=make_model,
    make_task=QuestionTask,
    read_test=_read_test,
    evaluate=evaluate,
    page=Page(
        "answer",
        (
            PageInput("question", "Question", examples={"": "Where was she born?"}),
            PageInput(
                "context",
                "Text that may answer it",
                examples={"": "Marie Curie was born in Warsaw and worked in Paris."},
            ),
        ),
    ),
    init=Init(models=("bert",), scales=RECORDS, further=FURTHER, unit="questions"),
    pretraining=Pretraining(parents=(("masked_language", "bert"),), bounded="max_tokens"),
    check=replace(
        QUESTIONS,
        limits={
            "question": Limit(DataSettings.model_fields["max_question"].default, "cuts"),
            "context": Limit(DataSettings.model_fields["max_tokens"].default, "reads in windows"),
        },
    ),
    exchanges=EXCHANGES,
    exchanged=exchanged,
)
