"""The task of answering questions from texts, as the rest of Sightline sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sightline.data.check_records import QUESTIONS, Limit
from sightline.data.questions import QuestionSource, Units, answer_pieces
from sightline.tasks.answers import Answers, share
from sightline.tasks.details import Breakdown, Detail
from sightline.tasks.presets import FURTHER, RECORDS
from sightline.tasks.question_answering.exchange import EXCHANGES, exchanged
from sightline.tasks.question_answering.predictor import QuestionAnswerer
from sightline.tasks.question_answering.settings import METRICS, DataSettings, QuestionSettings
from sightline.tasks.question_answering.task import (
    Answered,
    QuestionTask,
    make_model,
    measure,
    read_all,
    train_tokenizers,
)
from sightline.tasks.report import Figures
from sightline.tasks.spec import Init, Page, PageInput, Pretraining, TaskSpec, Tokenizers

MANY = 1 << 30
# what lengths of answers are told apart, both ends included; 0 is where none is right
LENGTHS: dict[Units, tuple[tuple[int, int], ...]] = {
    "words": ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, MANY)),
    "characters": ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, MANY)),
}


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
    details = _by_length(answers.references, found, model.settings.data.units)
    return Figures(name, len(questions), "questions", found.figures(), seconds, METRICS, answers, details)


def _by_length(references: Sequence[str], found: Answered, units: Units) -> list[Detail]:
    """Exact match and F1 by the length of the right answer, the first where there are several."""
    lengths_N = np.array([len(answer_pieces(one, units)) for one in references])
    rows: list[tuple[str, int, float, float]] = []
    for low, high in LENGTHS[units]:
        inside = (low <= lengths_N) & (lengths_N <= high)
        if inside.any():
            shown = "none" if high == 0 else f"{low}" if low == high else f"{low}–{high}" if high < MANY else f"{low}+"
            exact, f1 = (100 * float(np.array(each)[inside].mean()) for each in (found.exact, found.f1))
            rows.append((shown, int(inside.sum()), exact, f1))
    columns = (units, "questions", "exact match", "F1")
    return [Breakdown("by_length", f"by {units} of the right answer, in %", columns, tuple(rows))]


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
