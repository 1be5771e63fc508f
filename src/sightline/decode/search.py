"""Beam search, greedy search and sampling over any `step(tokens, state) -> (logits, state)`.

Shapes: N sentences, K rows (hypotheses) a sentence, V vocabulary, t tokens so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from sightline.decode.options import Hypothesis, SearchOptions
from sightline.decode.probabilities import discouraged, filtered, log_probabilities
from sightline.errors import UsageError

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
Penalty = Callable[[Any], Tensor]
Stop = Callable[[Sequence[int]], bool]
# After each step: the number of each sentence that goes on, and what its best hypothesis has written so far.
Written = list[tuple[int, Tensor]]
P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class _Sentence:
    """What is known of one sentence while its rows are searched."""

    index: int
    max_length: int
    prefix: Sequence[int]
    finished: list[Hypothesis] = field(default_factory=list)
    stuck: list[Hypothesis] = field(default_factory=list)  # after which no token may follow

    def add(self, hypothesis: Hypothesis, most: int) -> None:
        self.finished.append(hypothesis)
        self.finished.sort(key=lambda one: -one.score)
        del self.finished[most:]


def searching(
    step: Step,
    state: Any,
    options: SearchOptions,
    *,
    source_lengths: Sequence[int],
    bos_id: int | Sequence[int],
    eos_id: int,
    forbidden: Sequence[int] = (),
    prefixes: Sequence[Sequence[int]] | None = None,
    read: Sequence[Sequence[int]] | None = None,
    stop: Stop | None = None,
    coverage_penalty: Penalty | None = None,
    seeds: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Generator[Written, None, list[list[Hypothesis]]]:
    """Searches step by step; returns the `n_best` hypotheses of each sentence, best first, as `search` does at once.

    Args:
        step: (tokens (B,), state) → (logits (B, V) of the next token, state after it). Nothing else is known of the
            model. state: for one row a sentence, before the first token.
        source_lengths: of each sentence in tokens; they set the longest output.
        bos_id: the token that the first step reads, one for all or one a sentence.
        forbidden: ids that are never written. prefixes: what each output must begin with.
        read: what each sentence has read before, for the repetition penalty.
        stop: given the token that the first step read and those written since, whether they end a hypothesis as
            end-of-sentence does; the token that brought it about stays.
        coverage_penalty: of each row of a state (B,), at most 0; needed where `coverage_beta` is not 0.
        seeds: of each sentence's own random numbers when sampling; the results of a sentence depend on nothing else.
        device: where the state is. The search itself computes on the CPU, where its small steps are fastest.

    Beam search keeps the `beam` best unfinished hypotheses and, apart from them, the best finished ones. Each step
    looks at the 2 · beam best continuations: of the first `beam` those that end are finished, and the best `beam`
    that do not end go on. A sentence ends only when no unfinished hypothesis can still enter its n best: ln p only
    falls as tokens are added, the length penalty is largest for the longest output, and the coverage penalty is never
    above 0, so ln p / penalty(longest) bounds every score that can come of a hypothesis. With no penalty the bound is
    ln p itself. The result is therefore the same as without stopping early. A beam of one is greedy search: it has
    ended where the likeliest token is the end.

    Raises:
        UsageError: where `coverage_beta` is asked for and the model has no attention to take coverage from.
    """
    if options.coverage_beta and coverage_penalty is None:
        raise UsageError(
            "coverage_beta: the model has no attention over a source, so there is no coverage; set it to 0"
        )
    sampling = options.strategy == "sample"
    width = options.n_best if sampling else options.beam
    starts = prefixes or [[] for _ in source_lengths]
    sentences = [
        _Sentence(index, max(options.max_length(length), len(start) + 1), start)
        for index, (length, start) in enumerate(zip(source_lengths, starts, strict=True))
    ]
    results: list[list[Hypothesis]] = [[] for _ in sentences]
    if not sentences:
        return results
    choose = _Sampler(options, seeds or [options.seed] * len(sentences)) if sampling else _Beam()
    state = state.reorder(torch.arange(len(sentences), device=device).repeat_interleave(width))
    first = [bos_id] * len(sentences) if type(bos_id) is int else list(bos_id)  # pyright: ignore
    tokens_NKt = torch.tensor(first)[:, None, None].repeat(1, width, 1)
    read_NR = _padded(read or [[]] * len(sentences))
    each_NKt = torch.zeros(len(sentences), width, 0)
    total_NK = choose.start(len(sentences), width)
    for length in range(1, max(one.max_length for one in sentences) + 1):
        logits, state = step(tokens_NKt[:, :, -1].flatten().to(device), state)
        if options.repetition_penalty > 1:
            before_NKR = torch.cat([read_NR[:, None].expand(-1, width, -1), tokens_NKt[:, :, 1:]], -1)
            logits = discouraged(logits.cpu(), before_NKR.flatten(0, 1), options.repetition_penalty)
        log_p = log_probabilities(logits).cpu()
        log_p[:, list(forbidden)] = -math.inf
        log_p = _force(log_p, sentences, width, length)
        vocab = log_p.shape[-1]
        dead_NK = (log_p.amax(-1) == -math.inf).view_as(total_NK) & (total_NK > -math.inf)
        for n, k in dead_NK.nonzero().tolist():
            so_far = _hypothesis(tokens_NKt[n, k, 1:], each_NKt[n, k].tolist(), options, 0.0, False)
            sentences[n].stuck.append(so_far)
        rows_NC, ids_NC, log_p_NC = choose(log_p.view(len(sentences), width, vocab), total_NK, sentences)
        history_NCt = tokens_NKt.gather(1, rows_NC[:, :, None].expand(-1, -1, length))
        each_NCt = each_NKt.gather(1, rows_NC[:, :, None].expand(-1, -1, length - 1))
        before_NC = total_NK.gather(1, rows_NC)
        total_NC = before_NC + log_p_NC
        coverage = coverage_penalty(state).cpu().view(len(sentences), width) if options.coverage_beta else None  # pyright: ignore[reportOptionalCall]

        ended_NC = ids_NC == eos_id
        if stop is not None:
            read_and_written = [[(*history_NCt[n, c].tolist(), int(one)) for c, one in enumerate(ids)]
                                for n, ids in enumerate(ids_NC)]  # fmt: skip
            ended_NC |= torch.tensor([[stop(tokens) for tokens in row] for row in read_and_written])
        finished_NC = ended_NC.clone()
        finished_NC[:, width:] = False  # only what would have stayed in the beam may finish
        for n, c in finished_NC.nonzero().tolist():
            if total_NC[n, c] > -math.inf:
                extra = 0.0 if coverage is None else options.coverage_beta * float(coverage[n, rows_NC[n, c]])
                each = [*each_NCt[n, c].tolist(), float(log_p_NC[n, c])]
                tokens = history_NCt[n, c, 1:]
                if ids_NC[n, c] != eos_id:
                    tokens = torch.cat([tokens, ids_NC[n, c, None]])
                sentences[n].add(_hypothesis(tokens, each, options, extra, True), options.n_best)

        # the best `width` that go on: a stable sort keeps the order of scores among them
        going = choose.go_on(ended_NC, width)
        rows_NK = rows_NC.gather(1, going)
        tokens_NKt = torch.cat([history_NCt, ids_NC[:, :, None]], -1).gather(
            1, going[:, :, None].expand(-1, -1, length + 1)
        )
        each_NKt = torch.cat([each_NCt, log_p_NC[:, :, None]], -1).gather(1, going[:, :, None].expand(-1, -1, length))
        total_NK = total_NC.gather(1, going).masked_fill(ended_NC.gather(1, going), -math.inf)

        keep = []
        for n, sentence in enumerate(sentences):
            if length >= sentence.max_length or choose.over(sentence, total_NK[n], options):
                _close(sentence, tokens_NKt[n], each_NKt[n], total_NK[n], options)
                results[sentence.index] = sentence.finished
            else:
                keep.append(n)
        if not keep:
            break
        kept = torch.tensor(keep)
        index = (kept[:, None] * width + rows_NK[kept]).flatten()
        tokens_NKt, each_NKt, total_NK, read_NR = tokens_NKt[kept], each_NKt[kept], total_NK[kept], read_NR[kept]
        everything = len(keep) == len(sentences) and bool((index == torch.arange(len(index))).all())
        if not everything:
            state = state.reorder(index.to(device))
        sentences = [sentences[n] for n in keep]
        yield [(one.index, tokens_NKt[n, 0, 1:]) for n, one in enumerate(sentences)]
    return results


def to_the_end(steps: Generator[Any, None, R]) -> R:
    """What a search returns once all its steps are taken."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _at_once(steps: Callable[P, Generator[Any, None, R]]) -> Callable[P, R]:
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return to_the_end(steps(*args, **kwargs))

    return run


search = _at_once(searching)


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids side by side, -1 where one is shorter than the longest."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[-1] * (longest - len(row))] for row in rows], dtype=torch.int64).view(len(rows), -1)


class _Beam:
    """The best continuations of all hypotheses of a sentence together."""

    def start(self, sentences: int, width: int) -> Tensor:
        """ln p before the first step: one live hypothesis a sentence, its copies ruled out."""
        total = torch.full((sentences, width), -math.inf)
        total[:, 0] = 0.0
        return total

    def __call__(self, log_p_NKV: Tensor, total_NK: Tensor, sentences: Sequence[_Sentence]) -> tuple[Tensor, ...]:
        """(row, token, ln p of the token) of the 2 · width best continuations, each (N, C), best first."""
        count, width, vocab = log_p_NKV.shape
        scores = (total_NK[:, :, None] + log_p_NKV).view(count, width * vocab)
        _, places = scores.topk(min(2 * width, width * vocab), dim=-1)
        return places // vocab, places % vocab, log_p_NKV.reshape(count, -1).gather(1, places)

    def go_on(self, ended_NC: Tensor, width: int) -> Tensor:
        return ended_NC.int().argsort(dim=1, stable=True)[:, :width]

    def over(self, sentence: _Sentence, total_K: Tensor, options: SearchOptions) -> bool:
        best = float(total_K.max())
        if best == -math.inf:
            return True
        if len(sentence.finished) < options.n_best:
            return False
        if options.beam == 1:  # greedy search takes the likeliest token, and has ended where that is the end
            return True
        return best / options.penalty(sentence.max_length) <= sentence.finished[-1].score


class _Sampler:
    """One random continuation of each row, from the sentence's own generator."""

    def __init__(self, options: SearchOptions, seeds: Sequence[int]) -> None:
        self._options = options
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def start(self, sentences: int, width: int) -> Tensor:
        return torch.zeros(sentences, width)

    def __call__(self, log_p_NKV: Tensor, total_NK: Tensor, sentences: Sequence[_Sentence]) -> tuple[Tensor, ...]:
        count, width, vocab = log_p_NKV.shape
        draws = torch.stack([torch.rand(width, generator=self._generators[one.index]) for one in sentences])
        # a row that nothing may follow draws anything, which its ln p of -inf rules out
        nothing = log_p_NKV.amax(-1, keepdim=True) == -math.inf
        allowed = log_p_NKV.masked_fill(nothing, 0.0)
        cumulative = filtered(allowed.view(count * width, vocab), self._options).cumsum(-1)
        ids = torch.searchsorted(cumulative, draws.view(-1, 1) * cumulative[:, -1:], right=True)
        ids_NK = ids.clamp(max=vocab - 1).view(count, width)
        rows_NK = torch.arange(width).expand(count, -1)
        return rows_NK, ids_NK, log_p_NKV.gather(2, ids_NK[:, :, None])[:, :, 0]

    def go_on(self, ended_NC: Tensor, width: int) -> Tensor:
        return torch.arange(width).expand(ended_NC.shape[0], -1)

    def over(self, sentence: _Sentence, total_K: Tensor, options: SearchOptions) -> bool:
        return bool((total_K == -math.inf).all())


def _force(log_p_RV: Tensor, sentences: Sequence[_Sentence], width: int, length: int) -> Tensor:
    """Rules out every token but the prefix's where a sentence still has one to write."""
    for n, sentence in enumerate(sentences):
        if length <= len(sentence.prefix):
            rows, token = slice(n * width, (n + 1) * width), sentence.prefix[length - 1]
            forced = log_p_RV[rows, token].clone()
            log_p_RV[rows] = -math.inf
            log_p_RV[rows, token] = forced
    return log_p_RV


def _hypothesis(
    tokens: Tensor, each: Sequence[float], options: SearchOptions, extra: float, finished: bool
) -> Hypothesis:
    total = math.fsum(each)
    score = total / options.penalty(max(len(each), 1)) + extra
    return Hypothesis(tuple(tokens.tolist()), score, total, tuple(each), finished)


def _close(sentence: _Sentence, tokens_Kt: Tensor, each_Kt: Tensor, total_K: Tensor, options: SearchOptions) -> None:
    """Fills the n best with unfinished hypotheses, below the finished ones: of the length limit, then stuck ones."""
    best = total_K.argsort(dim=0, descending=True, stable=True).tolist()
    for row in best:
        if len(sentence.finished) < options.n_best and total_K[row] > -math.inf:
            sentence.finished.append(_hypothesis(tokens_Kt[row, 1:], each_Kt[row].tolist(), options, 0.0, False))
    stuck = sorted(sentence.stuck, key=lambda one: -one.score)
    sentence.finished += stuck[: options.n_best - len(sentence.finished)]
