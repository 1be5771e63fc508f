"""Fine-tuning a BERT to find the answer to a question in a text (Devlin et al. 2019, sections 4.2 and 4.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from sightline.data.batches import DataPosition, iterate
from sightline.data.labelled import ExampleBatch, Examples, collate_examples
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.questions import (
    Question,
    QuestionSource,
    Units,
    Window,
    answer_tokens,
    exact_match,
    overlap_f1,
    place,
    read_questions,
    windows,
)
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError
from sightline.nn.forward import Forward
from sightline.special_tokens import BOS_ID, EOS_ID
from sightline.tasks.base import PlainTask
from sightline.tasks.settings import Frozen
from sightline.tasks.tokens import SIDE, TokenSettings, in_batches, make_token_classifier, token_logits

NOWHERE = (0, 0)  # the tokens of an answer that does not stand in a window: [CLS]


class DataSettings(Frozen):
    """What is learned and measured."""

    train: tuple[QuestionSource, ...] = Field(
        description="files of SQuAD's layout, or JSON Lines with question, context and answers",
    )
    validation: QuestionSource | None = Field(None, description="questions that choose the best checkpoint")
    test: dict[str, QuestionSource] = Field({}, description="sets that `sightline evaluate` reports on, by name")
    first: int = Field(0, ge=0, description="use only the first so many training questions; 0 takes all")
    unanswerable: bool = Field(False, description="some questions have no answer in their text (SQuAD 2.0)")
    threshold: float = Field(
        0.0, description="unanswerable only: an answer must be so much better, in logits, than that there is none"
    )
    units: Units = Field("words", description="what F1 counts: words (SQuAD) or characters (KorQuAD)")
    max_tokens: int = Field(384, ge=16, description="the longest input: question, text and what lies between")
    max_question: int = Field(64, ge=4, description="more tokens of a question are cut off, at most half of max_tokens")
    step: int = Field(128, ge=1, description="longer texts are read in windows, each so many tokens after the last")
    max_answer: int = Field(30, ge=1, description="tokens of the longest answer that is looked for")


class QuestionSettings(TokenSettings):
    """Everything a fine-tuned answerer of questions is made from."""

    task: Literal["question_answering"] = Field("question_answering", description="what the model learns")
    data: DataSettings

    def given(self, source: str) -> QuestionSource:
        """A file that is only named."""
        return QuestionSource(source=source)

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Question answerer"

    @property
    def figures(self) -> tuple[str, ...]:
        """What is measured in validation."""
        return ("loss", "exact_match", "f1")

    @model_validator(mode="after")
    def _two_segments(self) -> QuestionSettings:
        if self.model.segments < 2:
            raise ValueError("model.segments: question and text are two")
        return self


def read_training(settings: QuestionSettings) -> Iterator[Question]:
    """The training questions, the first `data.first` of them."""
    return islice(chain.from_iterable(read_questions(source) for source in settings.data.train),
                  settings.data.first or None)  # fmt: skip


def train_tokenizers(settings: QuestionSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizer, learned from the training texts and questions."""

    def texts() -> Iterator[str]:
        before = None
        for one in read_training(settings):
            yield one.question
            # many questions are about one text
            if one.context != before:
                yield one.context
            before = one.context

    reported = ProgressReporter(report, VOCABULARY).over(texts())
    return {SIDE: Tokenizer.train(reported, **settings.tokenizer.model_dump())}


def make_model(settings: QuestionSettings, tokenizers: dict[str, Tokenizer]) -> nn.Module:
    """The model: of every token how well an answer begins and how well one ends there."""
    return make_token_classifier(settings, tokenizers, 2)


@dataclass(frozen=True)
class Inputs:
    """Questions as the model reads them: one input for every window of a text.

    Attributes:
        question: of each input the number of its question. sequences: [CLS] question [SEP] window [SEP].
        offset: of each input how many tokens stand before those of its window. windows: of each input.
        spans: of each question the characters that the tokens of its text stand for.
    """

    question: list[int]
    sequences: list[list[int]]
    offset: list[int]
    windows: list[Window]
    spans: list[list[tuple[int, int]]]


def inputs_of(settings: QuestionSettings, tokenizer: Tokenizer, asked: Iterable[tuple[str, str]]) -> Inputs:
    """(question, text) of each as what the model reads."""
    found, data = Inputs([], [], [], [], []), settings.data
    latest: tuple[str, list[int], list[tuple[int, int]]] = ("", [], [])
    for number, (question, context) in enumerate(asked):
        if context != latest[0]:
            latest = (context, tokenizer.encode(context), tokenizer.spans(context))
        _, ids, spans = latest
        head = [BOS_ID, *tokenizer.encode(question)[: min(data.max_question, data.max_tokens // 2 - 2)], EOS_ID]
        found.spans.append(spans)
        for low, high in windows(len(ids), data.max_tokens - len(head) - 1, data.step):
            found.question.append(number)
            found.sequences.append([*head, *ids[low:high], EOS_ID])
            found.offset.append(len(head))
            found.windows.append((low, high))
    return found


def targets_of(inputs: Inputs, questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) int64, the first and last token of the answer in each input; and which inputs can be learned from.

    [CLS] is the answer where the first right one that the text holds does not stand in the window. An input can be
    learned from unless none of the question's answers is found in its text.
    """
    targets, usable = np.zeros((len(inputs.sequences), 2), dtype=np.int64), np.ones(len(inputs.sequences), dtype=bool)
    placed: dict[int, tuple[int, int] | None] = {}
    for row, number in enumerate(inputs.question):
        question = questions[number]
        if not question.answers:
            continue
        if number not in placed:
            placed[number] = _tokens(question, inputs.spans[number])
        tokens = placed[number]
        if tokens is None:
            usable[row] = False
            continue
        low, high = inputs.windows[row]
        if low <= tokens[0] and tokens[1] < high:
            targets[row] = np.array(tokens) - low + inputs.offset[row]
    return targets, usable


def _tokens(question: Question, spans: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    for text, start in question.answers:
        at = place(question.context, text, start) if text.strip() else None
        tokens = None if at is None else answer_tokens(spans, at, at + len(text))
        if tokens is not None:
            return tokens
    return None


class QuestionTask(PlainTask):
    """Joins a model with questions for the training loop."""

    settings: QuestionSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        validation: Any = settings.data.validation
        self._validation = read_all(settings, validation)
        questions = list(read_training(settings))
        where = settings.data.train[0].source
        _require_answers(settings, questions, where)
        inputs = inputs_of(settings, self.tokenizers[SIDE], ((one.question, one.context) for one in questions))
        targets, usable = targets_of(inputs, questions)
        if not usable.any():
            raise DataError(f"{where}: no answer stands in its text; check the file")
        kept = np.flatnonzero(usable)
        self._train = Examples([inputs.sequences[row] for row in kept], 1, targets[kept])
        self._order = in_batches(settings, self._train, settings.training.seed)
        lost = len({inputs.question[row] for row in np.flatnonzero(~usable)})
        report(f"{where}: {len(questions):,} questions in {len(inputs.sequences):,} inputs; skipped: {lost:,} whose "
               "answer does not stand in the text")  # fmt: skip
        report(f"batches: {len(self._order.epoch(0)):,} per epoch")

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, ExampleBatch]]:
        """Batches from `position` on, for ever, each with the position after it; targets (N, 2)."""
        for after, indices in iterate(self._order, position):
            yield after, collate_examples(self._train, indices).to(self.device)

    def size(self, batch: ExampleBatch) -> int:
        """Tokens of the inputs."""
        return self._train.num_tokens(batch.indices)

    def loss(self, batch: ExampleBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """The mean of the cross-entropies of begin and end (nats), summed over the inputs; how many those are."""
        model: Any = self.model
        forward = Forward(generator=generator)
        logits_NTC = model.outputs(model.read(batch.tokens_NT, batch.real_NT, forward), forward).float()
        loss = span_loss(logits_NTC, answerable(batch.tokens_NT, batch.real_NT), batch.targets_B)
        return loss, len(batch.targets_B), {}

    def describe(self, batch: ExampleBatch) -> str:
        """Names a batch in an error message: its inputs and its first text."""
        first = self.tokenizers[SIDE].decode(batch.tokens_NT[0].tolist())
        return f"inputs {batch.indices[:5].tolist()}…, the first one {first[:80]!r}"

    def validate(self) -> dict[str, float]:
        """See `measure`."""
        return measure(self.settings, self.model, self.tokenizers[SIDE], self._validation)


def read_all(settings: QuestionSettings, source: QuestionSource) -> list[Question]:
    """The questions of a file. Raises DataError where one has no answer and the settings do not allow for it."""
    found = list(read_questions(source))
    _require_answers(settings, found, source.source)
    return found


def _require_answers(settings: QuestionSettings, questions: Sequence[Question], where: str) -> None:
    if not settings.data.unanswerable:
        for number, one in enumerate(questions, 1):
            if not one.answers:
                raise DataError(f"{where}, question {number}: no answer; set data.unanswerable = true, or leave it out")


def answerable(tokens_NT: Tensor, real_NT: Tensor) -> Tensor:
    """Which tokens an answer may consist of: those of the text, and [CLS], which stands for none."""
    ends = tokens_NT == EOS_ID
    allowed = (ends.cumsum(1) == 1) & ~ends & real_NT
    allowed[:, 0] = True
    return allowed


def span_loss(logits_NTC: Tensor, answerable_NT: Tensor, targets_N2: Tensor) -> Tensor:
    """The mean of the cross-entropies (nats) of the first and the last token over those that may be, summed."""
    begin_NT, end_NT = logits_NTC.masked_fill(~answerable_NT[..., None], -torch.inf).unbind(2)
    first = F.cross_entropy(begin_NT, targets_N2[:, 0], reduction="sum")
    return (first + F.cross_entropy(end_NT, targets_N2[:, 1], reduction="sum")) / 2


@dataclass(frozen=True)
class Found:
    """An answer: characters `start` … `end` - 1 of its text; both are 0 where there is none.

    Attributes:
        probability: of this span among all that may be the answer, each counted once with the window that likes it
            most. row, tokens: the input that answers, and the first and last token of the answer in it.
    """

    start: int
    end: int
    probability: float
    row: int
    tokens: tuple[int, int] = NOWHERE


def answers(settings: QuestionSettings, inputs: Inputs, logits: Sequence[Tensor]) -> list[Found]:
    """The likeliest answer to each question: the span with the greatest sum of logits of begin and end.

    Where questions may have no answer it must be better than [CLS] by `data.threshold` (Devlin et al. 2019, 4.3).

    Args:
        logits: (T, 2) of the tokens of each input.
    """
    rows: list[list[int]] = [[] for _ in inputs.spans]
    for row, number in enumerate(inputs.question):
        rows[number].append(row)
    return [_best(settings, inputs, [(row, logits[row]) for row in own]) for own in rows]


def _best(settings: QuestionSettings, inputs: Inputs, own: Sequence[tuple[int, Tensor]]) -> Found:
    # one window that has an answer is enough, so the least sure one speaks for there being none
    nowhere, best = min((float(logits_TC[0].sum()), row) for row, logits_TC in own), (-math.inf, own[0][0], 0, 0)
    most = settings.data.max_answer
    # what is known so far of the spans that begin at `reached` or later; and the sums of those before
    reached, open_TM, sums = 0, np.empty((0, most), np.float32), []
    for row, logits_TC in own:
        low, high = inputs.windows[row]
        if low == high:
            continue
        sums_TM = span_sums(logits_TC[inputs.offset[row] : -1].numpy(), most)
        first, more = divmod(int(sums_TM.argmax()), most)
        if sums_TM[first, more] > best[0]:
            best = (float(sums_TM[first, more]), row, low + first, low + first + more)
        # a span counts once, with the window that likes it most; no later window has those that begin before this one
        sums.append(_logsumexp(open_TM[: low - reached]))
        open_TM = open_TM[low - reached :]
        np.maximum(sums_TM[: len(open_TM)], open_TM, out=sums_TM[: len(open_TM)])
        reached, open_TM = low, sums_TM
    sums += [_logsumexp(open_TM)] * (len(open_TM) > 0)
    if settings.data.unanswerable:
        sums.append(nowhere[0])
        if best[0] <= nowhere[0] + settings.data.threshold:
            return Found(0, 0, math.exp(nowhere[0] - _logsumexp(sums)), nowhere[1])
    if not sums:
        return Found(0, 0, 1.0, own[0][0])
    value, row, first, last = best
    places, shift = inputs.spans[inputs.question[row]], inputs.offset[row] - inputs.windows[row][0]
    probability = math.exp(value - _logsumexp(sums))
    return Found(places[first][0], places[last][1], probability, row, (first + shift, last + shift))


def span_sums(logits_TC: np.ndarray, most: int) -> np.ndarray:
    """(T, most): of the span that begins at a token and has so many more, begin's logit plus end's; -inf beyond T."""
    padded = np.pad(logits_TC[:, 1], (0, most - 1), constant_values=-np.inf)
    return logits_TC[:, :1] + np.lib.stride_tricks.sliding_window_view(padded, most)


def _logsumexp(values: Sequence[float] | np.ndarray) -> float:
    return float(torch.tensor(values, dtype=torch.float64).flatten().logsumexp(0))


def measure(
    settings: QuestionSettings, model: Any, tokenizer: Tokenizer, questions: Sequence[Question]
) -> dict[str, float]:
    """How well a model answers.

    exact_match, f1: per cent, each answer compared with the right one that is nearest (Rajpurkar et al. 2016).
    loss: nats an input, of those that could be learned from.
    """
    inputs = inputs_of(settings, tokenizer, ((one.question, one.context) for one in questions))
    logits = token_logits(settings, model, inputs.sequences)
    targets, usable = targets_of(inputs, questions)
    losses = [
        float(span_loss(one[None], answerable(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool)), target))
        for one, ids, target in zip(logits, inputs.sequences, torch.from_numpy(targets)[:, None], strict=True)
    ]
    units, right = settings.data.units, [one.texts for one in questions]
    told = [
        one.context[found.start : found.end].strip()
        for one, found in zip(questions, answers(settings, inputs, logits), strict=True)
    ]
    exact = [exact_match(*pair, units) for pair in zip(told, right, strict=True)]
    shared = [overlap_f1(*pair, units) for pair in zip(told, right, strict=True)]
    loss = float(np.mean(np.array(losses)[usable])) if usable.any() else math.nan
    return {"loss": loss, "exact_match": 100 * float(np.mean(exact)), "f1": 100 * float(np.mean(shared))}
