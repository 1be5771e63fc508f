"""The task of language modelling, as the rest of Sightline sees it."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import Any

from sightline.data.check_records import TEXTS
from sightline.data.documents import TextSource, read_documents
from sightline.data.survey import Survey
from sightline.data.text import is_blank
from sightline.models.registry import LANGUAGE_MODELS
from sightline.tasks.language.confidence import fit_confidence
from sightline.tasks.language.evaluation import evaluate
from sightline.tasks.language.exchange import EXCHANGES, exchanged
from sightline.tasks.language.predictor import LanguageModel
from sightline.tasks.language.settings import METRICS, SIDE, LanguageSettings
from sightline.tasks.language.task import LanguageTask, count_model, encode, make_model, train_tokenizers
from sightline.tasks.presets import FURTHER, LANGUAGE
from sightline.tasks.spec import (
    Fitted,
    Init,
    Page,
    PageInput,
    PageOption,
    Pretraining,
    Say,
    TaskSpec,
    Timed,
    Tokenizers,
    Values,
    columns_as,
)

NAME = "language"
_LONGEST = 2000  # characters of a document whose scoring is timed


def _read_test(settings: LanguageSettings, tokenizers: Tokenizers, files: TextSource) -> object:
    return encode(settings, tokenizers[SIDE], [files])


def _fit(settings: LanguageSettings, tokenizers: Tokenizers, report: Say) -> Fitted | None:
    """An n-gram model is counted; every other kind is trained."""
    if not settings.counted:
        return None
    started = time.monotonic()
    model, found = count_model(settings, tokenizers, report)
    return Fitted(model.tensors(), found, time.monotonic() - started)


def _documents(files: TextSource, count: int) -> list[str]:
    return [one[:_LONGEST] for one in islice((one for one in read_documents(files) if not is_blank(one)), count)]


def _files(source: str, target: str | None) -> Values:
    """Of a folder each file is a document."""
    return {"source": source, **({"documents": "file"} if Path(source).is_dir() else {})}


def _fit_block(survey: Survey, values: Values) -> Values:
    """Blocks of which even a short validation text has a few."""
    model: Any = values.get("model", {})
    data: Any = values.get("data", {})
    block = data.get("block", model.get("max_length", 256))
    while block > 16 and survey.columns and block > sum(survey.columns) / 4 / 64:
        block //= 2
    return {"data": {"block": block}, **({"model": {"max_length": block}} if "max_length" in model else {})}


SPEC = TaskSpec(
    name=NAME,
    settings=LanguageSettings,
    predictor=LanguageModel,
    verb="generate",
    after_training="sightline generate {run} --prompt '…'",
    after_evaluation="sightline score {run} FILE",
    metrics=METRICS,
    train_tokenizers=train_tokenizers,
    make_model=make_model,
    make_task=LanguageTask,
    read_test=_read_test,
    evaluate=evaluate,
    page=Page(
        "continuation",
        (PageInput("prompt", "How the text begins", examples={"": "It was a dark and"}),),
        (
            PageOption("max_tokens", "Tokens", 1, 1024, 1, 60),
            PageOption("temperature", "Temperature", 0, 5, 0.05, 0.8),
            PageOption("top_p", "Top-p", 0.01, 1, 0.01, 0.95),
            PageOption("seed", "Seed", 0, 1e9, 1, 1),
        ),
    ),
    init=Init(
        models=("gpt", "recurrent", "window", "ngram"),
        registry=LANGUAGE_MODELS,
        scales=LANGUAGE,
        further=FURTHER,
        unit="characters",
        units=lambda survey: survey.characters,
        fit=_fit_block,
        undivided={"documents": "running"},
        files=_files,
        validation_is_list=True,
        columns=columns_as("column"),
    ),
    pretraining=Pretraining(
        parents=((NAME, "gpt"), (NAME, "recurrent"), (NAME, "window")), whole=True, bounded="block"
    ),
    bodies={"gpt": ""},
    fit=_fit,
    verbs=("score",),
    timed=Timed(_documents, LanguageModel.score),
    check=TEXTS,
    exchanges=EXCHANGES,
    exchanged=exchanged,
    fit_confidence=fit_confidence,
)
