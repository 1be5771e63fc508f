"""Questions and windows of texts as inputs; the loss and the search for the best span (Devlin et al. 2019, 4.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.questions import (
    Question,
    Window,
    answer_tokens,
    find_answer,
    windows,
)
from sightline.data.tokenizer import Tokenizer
from sightline.special_tokens import BOS_ID, EOS_ID
from sightline.tasks.question_answering.settings import QuestionSettings

NOWHERE = (0, 0)  # the tokens of an answer that does not stand in a window: [CLS]


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
        at = find_answer(question.context, text, start) if text.strip() else None
        tokens = None if at is None else answer_tokens(spans, at, at + len(text))
        if tokens is not None:
            return tokens
    return None


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
    reached, open_TM = 0, np.empty((0, most), np.float32)
    sums: list[float] = []
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
