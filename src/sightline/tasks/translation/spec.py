"""The task of translation, as the rest of Sightline sees it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from sightline.data.batches import BatchOrder
from sightline.data.check_records import PAIRS, Limit
from sightline.data.languages import name_of
from sightline.data.pairs import PairSource, read_pairs
from sightline.data.sources import format_suffix
from sightline.data.survey import Survey
from sightline.models import Seq2SeqSizes
from sightline.models.registry import ENCODER_DECODERS
from sightline.tasks.presets import FURTHER, TRANSLATION
from sightline.tasks.spec import (
    Init,
    Page,
    PageInput,
    PageOption,
    Pretraining,
    TaskSpec,
    Timed,
    Tokenizers,
    Values,
    columns_as,
)
from sightline.tasks.translation.confidence import fit_confidence
from sightline.tasks.translation.evaluation import evaluate
from sightline.tasks.translation.predictor import Translator
from sightline.tasks.translation.settings import METRICS, DataSettings, TranslationSettings
from sightline.tasks.translation.task import TranslationTask, make_model, train_tokenizers

NAME = "translation"


def _read_test(settings: TranslationSettings, tokenizers: Tokenizers, files: PairSource) -> int:
    return sum(1 for _ in read_pairs(files))


def _after_training(settings: TranslationSettings) -> str:
    """A translation, with where the decoder looked if it looks anywhere."""
    fixed = isinstance(settings.model, Seq2SeqSizes) and settings.model.attention == "none"
    return "sightline translate {run} --text '…'" + ("" if fixed else " --attention")


def _sources(files: PairSource, count: int) -> list[str]:
    return [source for source, _ in islice(read_pairs(files), count)]


def _tokens(survey: Survey, settings: TranslationSettings) -> float:
    """Those that as many full batches hold as the pairs fill, which rows and padding leave room in."""
    data, tokens = settings.data, settings.training.tokens_per_batch
    pieces = survey.pieces(settings.tokenizer.vocab_size, shared=settings.tokenizer.shared)
    shares = np.divide(pieces, np.maximum(1, survey.columns))
    lengths = np.maximum(1, np.rint(survey.lengths * shares)).astype(np.int64)
    most = np.minimum((data.max_source_tokens, data.max_target_tokens), tokens - 1)
    lengths = lengths[(lengths <= most).all(1)] if lengths.shape[1] == len(most) else lengths[:0]
    if not len(lengths):
        return 0.0
    batches = len(BatchOrder(lengths[:, 0], lengths[:, 1], tokens, seed=settings.training.seed).epoch(0))
    return batches * tokens * survey.records / len(survey.lengths)


def _languages(entry: Values) -> Values:
    """Which languages the sides are in, where columns or the ends of files name both of them."""
    columns, files = ([entry.get(f"{side}{what}") for side in ("source", "target")] for what in ("_column", ""))
    named = [str(one) for one in columns] if all(columns) else [format_suffix(Path(str(one)))[1:] for one in files]
    source, target = map(name_of, named)
    return {"source_language": source, "target_language": target} if source and target else {}


# what is translated on the page where a run keeps no example, by its source language; English of any other
EXAMPLES = {
    "": "A dog runs in the snow.",
    "ko": "나는 학생입니다.",
    "de": "Ein Hund rennt im Schnee.",
    "fr": "Un chien court dans la neige.",
}

SPEC = TaskSpec(
    name=NAME,
    settings=TranslationSettings,
    predictor=Translator,
    verb="translate",
    after_training=_after_training,
    after_evaluation="sightline translate {run} FILE",
    metrics=METRICS,
    train_tokenizers=train_tokenizers,
    make_model=make_model,
    make_task=TranslationTask,
    read_test=_read_test,
    evaluate=evaluate,
    page=Page(
        "translation",
        (PageInput("text", "Text to translate", examples=EXAMPLES),),
        (PageOption("beam", "Beam width", 1, 16, 1),),
        live=True,
    ),
    init=Init(
        models=("transformer", "seq2seq"),
        registry=ENCODER_DECODERS,
        scales=TRANSLATION,
        further=FURTHER,
        unit="pairs",
        tokens=_tokens,
        columns=columns_as("source_column", "target_column"),
        about=_languages,
    ),
    pretraining=Pretraining(parents=((NAME, "transformer"), (NAME, "seq2seq")), whole=True),
    verbs=("score",),
    fit_confidence=fit_confidence,
    timed=Timed(_sources, Translator.translate),
    evaluate_options=frozenset({"beam", "lowercase", "by_length", "batch_size", "done"}),
    data_files=("source", "target"),
    check=replace(
        PAIRS,
        limits={
            side: Limit(DataSettings.model_fields[f"max_{side}_tokens"].default, "leaves out")
            for side in ("source", "target")
        },
    ),
)
