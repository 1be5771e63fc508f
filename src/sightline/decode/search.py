"""Beam search, greedy search and sampling over any `step(tokens, state) -> (logits, state)`.

Shapes: N requests, K hypotheses of each, V vocabulary, t tokens so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.decode.options import Hypothesis, SearchOptions
from sightline.decode.probabilities import log_probabilities, penalize_repetitions, require_numbers
from sightline.decode.strategies import BeamSearch, Sampling, SearchRequest
from sightline.errors import UsageError
from sightline.nn.state import State

S = TypeVar("S", bound=State)
Step = Callable[[Tensor, S], tuple[Tensor, S]]
Penalty = Callable[[S], Tensor]


class Search(Generic[S]):
    """Requests that are searched together, step by step; others may be added, or removed, before any step.

    Beam search keeps the `beam` best unfinished hypotheses and, apart from them, the best finished ones. Each step
    looks at the 2 · beam best continuations: of the first `beam` those that end are finished, and the best `beam`
    that do not end go on. A request ends only when no unfinished hypothesis can still enter its n best: ln p only
    falls as tokens are added, the length penalty is largest for the longest output, and the coverage penalty is never
    above 0, so ln p / penalty(longest) bounds every score that can come of a hypothesis. With no penalty the bound is
    ln p itself. The result is therefore the same as without stopping early. A beam of one is greedy search: it has
    ended where the likeliest token is the end.

    Args:
        step: (tokens (B,), state) → (logits (B, V) of the next token, state after it). Nothing else is known of the
            model.
        forbidden: ids that are never written.
        coverage_penalty: of each row of a state (B,), at most 0; needed where `coverage_beta` is not 0.
        device: where states are. The search itself computes on the CPU, where its small steps are fastest.

    Raises:
        UsageError: where `coverage_beta` is asked for and the model has no attention to take coverage from.
        SightlineError: by a step whose probabilities are no numbers.
    """

    def __init__(
        self,
        step: Step[S],
        options: SearchOptions,
        *,
        eos_id: int,
        forbidden: Sequence[int] = (),
        coverage_penalty: Penalty[S] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if options.coverage_beta and coverage_penalty is None:
            raise UsageError(
                "coverage_beta: the model has no attention over a source, so there is no coverage; set it to 0"
            )
        self._step, self.options, self._eos_id, self._forbidden = step, options, eos_id, list(forbidden)
        self._coverage_penalty, self._device = coverage_penalty, device
        self._width = options.num_hypotheses
        self._choose = Sampling(options) if options.strategy == "sample" else BeamSearch()
        self._state: S | None = None
        self.requests: list[SearchRequest] = []  # those that are not over
        # what each row has read and written, newest last, -1 before its beginning; and ln p of each token written
        self._tokens_NKt = torch.full((0, self._width, 1), -1)
        self._each_NKt = torch.zeros(0, self._width, 0)
        self._total_NK = torch.zeros(0, self._width)
        self._prompt_NR = torch.full((0, 0), -1)

    @torch.inference_mode()
    def add(self, requests: Sequence[SearchRequest], state: S) -> None:
        """Adds requests, with the state before their first steps: one row each."""
        if not requests:
            return
        count, width = len(requests), self._width
        state = state.reorder(torch.arange(count, device=self._device).repeat_interleave(width))
        state = state if self._state is None else self._state.concatenate(state)
        first = torch.tensor([one.first_token for one in requests])[:, None, None].expand(-1, width, -1)
        tokens_NKt = torch.cat([self._tokens_NKt, _wider(first, self._tokens_NKt.shape[2])])
        each_NKt = torch.cat([self._each_NKt, torch.zeros(count, width, self._each_NKt.shape[2])])
        total_NK = torch.cat([self._total_NK, self._choose.start(requests, width)])
        prompt_NR = _padded([one.prompt for one in requests])
        columns = max(prompt_NR.shape[1], self._prompt_NR.shape[1])
        prompt_NR = torch.cat([_wider(self._prompt_NR, columns), _wider(prompt_NR, columns)])
        # nothing is changed unless all of it can be
        self._state, self._tokens_NKt, self._each_NKt, self._total_NK = state, tokens_NKt, each_NKt, total_NK
        self._prompt_NR, self.requests = prompt_NR, [*self.requests, *requests]

    def remove(self, request: SearchRequest) -> None:
        """Ends a request before it is over."""
        self._keep([n for n, one in enumerate(self.requests) if one is not request])

    def written(self, request: SearchRequest) -> list[int]:
        """What the best hypothesis of a request that is not over has written so far."""
        n = self.requests.index(request)
        return cast("list[int]", self._tokens_NKt[n, 0, self._tokens_NKt.shape[2] - request.length :].tolist())

    def run(self) -> None:
        """Steps until every request is over."""
        while self.requests:
            self.advance()

    @torch.inference_mode()
    def advance(self) -> list[SearchRequest]:
        """One step of every request; returns those that are over with it."""
        options, width, requests = self.options, self._width, self.requests
        if self._state is None:  # nothing is searched
            return []
        tokens_NKt, each_NKt, total_NK = self._tokens_NKt, self._each_NKt, self._total_NK
        logits, self._state = self._step(tokens_NKt[:, :, -1].flatten().to(self._device), self._state)
        if options.repetition_penalty > 1:
            written_NKt = self._only_written(tokens_NKt)
            before_NKR = torch.cat([self._prompt_NR[:, None].expand(-1, width, -1), written_NKt], -1)
            logits = penalize_repetitions(logits.cpu(), before_NKR.flatten(0, 1), options.repetition_penalty)
        log_p = log_probabilities(logits).cpu()
        log_p[:, self._forbidden] = -math.inf
        log_p = _force(log_p, requests, width)
        highest = log_p.amax(-1)
        require_numbers(highest)
        dead_NK = (highest == -math.inf).view_as(total_NK) & (total_NK > -math.inf)
        dead = cast("list[list[int]]", dead_NK.nonzero().tolist())
        for n, k in dead:
            requests[n].dead_ends.append(self._hypothesis(requests[n], tokens_NKt[n, k], each_NKt[n, k], 0.0, False))
        rows_NC, ids_NC, log_p_NC = self._choose(log_p.view(len(requests), width, log_p.shape[-1]), total_NK, requests)
        history_NCt = _with_newest(tokens_NKt, rows_NC, ids_NC)
        each_NCt = _with_newest(each_NKt, rows_NC, log_p_NC)
        total_NC = total_NK.gather(1, rows_NC) + log_p_NC
        coverage_NK = self._coverage()
        for one in requests:
            one.length += 1

        ended_NC = ids_NC == self._eos_id
        for n, one in enumerate(requests):
            if one.stop is not None:
                columns = cast("list[list[int]]", history_NCt[n, :, -one.length - 1 :].tolist())
                ended_NC[n] |= torch.tensor([one.stop(tokens) for tokens in columns])
        finished_NC = ended_NC.clone()
        finished_NC[:, width:] = False  # only what would have stayed in the beam may finish
        finished = cast("list[list[int]]", finished_NC.nonzero().tolist())
        for n, c in finished:
            if total_NC[n, c] > -math.inf:
                extra = options.coverage_beta * float(coverage_NK[n, rows_NC[n, c]])
                requests[n].add(
                    self._hypothesis(requests[n], history_NCt[n, c], each_NCt[n, c], extra, True), options.n_best
                )

        # the best `width` that go on: a stable sort keeps the order of scores among them
        going = self._choose.select_unfinished(ended_NC, width)
        rows_NK = rows_NC.gather(1, going)
        self._tokens_NKt, self._each_NKt = _rows(history_NCt, going), _rows(each_NCt, going)
        self._total_NK = total_NC.gather(1, going).masked_fill(ended_NC.gather(1, going), -math.inf)
        return self._end(rows_NK)

    def _end(self, rows_NK: Tensor) -> list[SearchRequest]:
        """Closes and returns the requests that are over; the others go on from these rows of the state."""
        over: list[SearchRequest] = []
        keep: list[int] = []
        best = cast("list[float]", self._total_NK.amax(1).tolist())
        for n, request in enumerate(self.requests):
            if request.length >= request.max_length or self._choose.is_finished(request, best[n], self.options):
                self._close(request, n)
                over.append(request)
            else:
                keep.append(n)
        self._keep(keep, rows_NK)
        return over

    def _keep(self, keep: list[int], rows_NK: Tensor | None = None) -> None:
        """Only these requests go on, from the rows of the state that `rows_NK` names within each, or its own."""
        width = self._width
        kept = torch.tensor(keep, dtype=torch.int64)
        own_NK = torch.arange(width).expand(len(self.requests), -1) if rows_NK is None else rows_NK
        index = (kept[:, None] * width + own_NK[kept]).flatten()
        everything = len(keep) == len(self.requests)
        moved = not (everything and bool((index == torch.arange(len(index))).all()))
        if keep and moved and self._state is not None:
            self._state = self._state.reorder(index.to(self._device))
        if everything:
            return
        self.requests = [self.requests[n] for n in keep]
        self._state = self._state if keep else None
        longest = max((one.length for one in self.requests), default=0)
        self._tokens_NKt = self._tokens_NKt[kept, :, self._tokens_NKt.shape[2] - longest - 1 :]
        self._each_NKt = self._each_NKt[kept, :, self._each_NKt.shape[2] - longest :]
        most = max((len(one.prompt) for one in self.requests), default=0)
        self._total_NK = self._total_NK[kept]
        self._prompt_NR = self._prompt_NR[kept, self._prompt_NR.shape[1] - most :]

    def _only_written(self, tokens_NKt: Tensor) -> Tensor:
        """The tokens without those that first steps read: -1 in their place."""
        lengths_N = torch.tensor([one.length for one in self.requests])
        column_t = torch.arange(tokens_NKt.shape[2] - 1, -1, -1)
        return torch.where(column_t < lengths_N[:, None, None], tokens_NKt, -1)

    def _coverage(self) -> Tensor:
        """The coverage penalty of each row; zeros where there is none."""
        if not self.options.coverage_beta or self._coverage_penalty is None or self._state is None:
            return torch.zeros(len(self.requests), self._width)
        return self._coverage_penalty(self._state).cpu().view(len(self.requests), self._width)

    def _hypothesis(
        self, request: SearchRequest, tokens_t: Tensor, each_t: Tensor, extra: float, finished: bool
    ) -> Hypothesis:
        """Of what a row has written; without the end of sentence."""
        each = cast("list[float]", each_t[each_t.shape[0] - request.length :].tolist())
        tokens = cast("list[int]", tokens_t[tokens_t.shape[0] - request.length :].tolist())
        if tokens[-1:] == [self._eos_id]:
            tokens.pop()
        total = math.fsum(each)
        score = total / self.options.penalty(max(len(each), 1)) + extra
        return Hypothesis(tuple(tokens), score, total, tuple(each), finished)

    def _close(self, request: SearchRequest, n: int) -> None:
        """Fills the n best with unfinished hypotheses, below the finished ones: of the length limit, then dead ends."""
        total_K, most = self._total_NK[n], self.options.n_best
        best_first = cast("list[int]", total_K.argsort(dim=0, descending=True, stable=True).tolist())
        for row in best_first:
            if len(request.finished) < most and total_K[row] > -math.inf:
                tokens_t, each_t = self._tokens_NKt[n, row], self._each_NKt[n, row]
                request.finished.append(self._hypothesis(request, tokens_t, each_t, 0.0, False))
        dead_ends = sorted(request.dead_ends, key=lambda one: -one.score)
        request.finished += dead_ends[: most - len(request.finished)]


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids side by side, -1 on the left where one is shorter than the longest."""
    longest = max(map(len, rows))
    return torch.tensor([[*[-1] * (longest - len(row)), *row] for row in rows], dtype=torch.int64).view(len(rows), -1)


def _wider(tokens: Tensor, columns: int) -> Tensor:
    """(…, t) tokens with -1 on the left, so that there are `columns`."""
    return F.pad(tokens, [columns - tokens.shape[-1], 0], value=-1)


def _with_newest(x_NKt: Tensor, rows_NC: Tensor, newest_NC: Tensor) -> Tensor:
    """The histories of these rows, each with one more entry (N, C, t + 1)."""
    return torch.cat([_rows(x_NKt, rows_NC), newest_NC[:, :, None]], -1)


def _rows(x_NKt: Tensor, rows_NC: Tensor) -> Tensor:
    """These rows of each request's (N, C, t)."""
    return x_NKt.gather(1, rows_NC[:, :, None].expand(-1, -1, x_NKt.shape[2]))


def _force(log_p_RV: Tensor, requests: Sequence[SearchRequest], width: int) -> Tensor:
    """Rules out every token but the prefix's where a request still has one to write."""
    for n, request in enumerate(requests):
        if request.length < len(request.prefix):
            rows, token = slice(n * width, (n + 1) * width), request.prefix[request.length]
            forced = log_p_RV[rows, token].clone()
            log_p_RV[rows] = -math.inf
            log_p_RV[rows, token] = forced
    return log_p_RV
