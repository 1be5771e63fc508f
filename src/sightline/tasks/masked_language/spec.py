"""The task of pretraining a BERT, as the rest of Sightline sees it."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from sightline.data.check_records import SENTENCES
from sightline.data.masking import MaskedBatch
from sightline.data.sentences import SentenceSource
from sightline.special_tokens import EOS_ID
from sightline.tasks.answers import Answers, ratio
from sightline.tasks.masked_language.exchange import EXCHANGES, exchanged
from sightline.tasks.masked_language.predictor import MaskedLanguageModel
from sightline.tasks.masked_language.settings import METRICS, SIDE, MaskedLanguageSettings
from sightline.tasks.masked_language.task import MaskedLanguageTask, encode, make_model, measure, train_tokenizers
from sightline.tasks.presets import FURTHER, MASKED_LANGUAGE
from sightline.tasks.report import Figures
from sightline.tasks.spec import Init, Page, PageInput, Pretraining, TaskSpec, Tokenizers, Values, columns_as

NAME = "masked_language"


def _read_test(settings: MaskedLanguageSettings, tokenizers: Tokenizers, files: SentenceSource) -> object:
    return encode([files], tokenizers[SIDE])


def evaluate(model: MaskedLanguageModel, name: str, files: SentenceSource) -> Figures:
    """Masks and pairs are drawn as in validation, the same each time."""
    start = time.perf_counter()
    tokenizer, documents = model.tokenizer, encode([files], model.tokenizer)
    inputs: list[str] = []
    counts: list[tuple[int, int]] = []  # of each input: masked tokens filled in rightly, and all

    def keep(batch: MaskedBatch, right_N: Tensor) -> None:
        right = iter(cast("list[bool]", right_N.tolist()))
        for masked in cast("list[int]", batch.chosen_BT.sum(1).tolist()):
            counts.append((sum(islice(right, masked)), masked))
        for ids_T, real_T in zip(batch.targets_BT, batch.real_BT, strict=True):
            ids = cast("list[int]", ids_T[real_T].tolist())
            inputs.append(tokenizer.decode(i for i in ids if EOS_ID < i < tokenizer.vocab_size))

    found = measure(model.settings, model.model, tokenizer, documents, keep)
    seconds = time.perf_counter() - start
    right_N2 = np.array(counts, dtype=np.float64)
    score = ratio(METRICS["masked_accuracy"], 100 * right_N2[:, 0], right_N2[:, 1])
    outputs = [f"{right} of {masked} filled in rightly" for right, masked in counts]
    answers = Answers("inputs", inputs, [""] * len(inputs), outputs, [score], reference_units=tokenizer.fingerprint)
    return Figures(name, len(documents.sentences.tokens), "tokens", found, seconds, METRICS, answers)


def _files(source: str, target: str | None) -> Values:
    """Of a folder each file is a document."""
    return {"source": source, **({"documents": "file"} if Path(source).is_dir() else {})}


SPEC = TaskSpec(
    name=NAME,
    settings=MaskedLanguageSettings,
    predictor=MaskedLanguageModel,
    verb="fill",
    after_training="sightline fill {run} 'a text with a [MASK]'",
    after_evaluation="sightline fill {run} 'a text with a [MASK]'",
    metrics=METRICS,
    train_tokenizers=train_tokenizers,
    make_model=make_model,
    make_task=MaskedLanguageTask,
    read_test=_read_test,
    evaluate=evaluate,
    page=Page(
        "blanks",
        (
            PageInput(
                "text",
                "Text with [MASK] where something is missing",
                examples={"": "The cat sat on the [MASK] and looked at us."},
            ),
        ),
        live=True,
    ),
    init=Init(
        models=("bert",),
        scales=MASKED_LANGUAGE,
        further=FURTHER,
        unit="characters",
        units=lambda survey: survey.characters,
        files=_files,
        validation_is_list=True,
        columns=columns_as("column"),
    ),
    pretraining=Pretraining(parents=((NAME, "bert"),), whole=True, bounded="max_tokens"),
    bodies={"bert": "bert."},
    data_files=("source", "groups"),
    check=SENTENCES,
    exchanges=EXCHANGES,
    exchanged=exchanged,
)
