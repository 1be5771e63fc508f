"""One request of a search, and the two strategies by which its hypotheses are extended: beam search and sampling.

Shapes: N requests, K hypotheses of each, C continuations, V vocabulary.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from sightline.decode.options import Hypothesis, SearchOptions
from sightline.decode.probabilities import filter_probabilities

Stop = Callable[[Sequence[int]], bool]


def request_seed(seed: int, ids: Sequence[int]) -> int:
    """The seed of one request's random numbers, of its ids alone: the other requests of a batch change nothing."""
    return zlib.crc32(repr((seed, list(ids))).encode())


@dataclass(eq=False)
class SearchRequest:
    """One output to search for, and what has been found.

    Attributes:
        max_length: the longest output in tokens, end of sentence included. first_token: what the first step reads.
        prefix: what the output must begin with. prompt: what was read before, for the repetition penalty.
        stop: given the token that the first step read and those written since, whether they end a hypothesis as
            end-of-sentence does; the token that brought it about stays.
        seed: of its own random numbers when sampling; its results depend on nothing else.
        length: tokens written so far. finished: the best finished hypotheses, best first, once it is over all of them.
    """

    max_length: int
    first_token: int
    prefix: Sequence[int] = ()
    prompt: Sequence[int] = ()
    stop: Stop | None = None
    seed: int = 1
    length: int = field(default=0, init=False)
    finished: list[Hypothesis] = field(default_factory=list[Hypothesis], init=False)
    dead_ends: list[Hypothesis] = field(default_factory=list[Hypothesis], init=False)  # after which no token may follow

    def __post_init__(self) -> None:
        self.max_length = max(self.max_length, len(self.prefix) + 1)

    @cached_property
    def generator(self) -> torch.Generator:
        """Of its random numbers."""
        return torch.Generator().manual_seed(self.seed)

    def add(self, hypothesis: Hypothesis, most: int) -> None:
        """Takes in a finished hypothesis; of all, the `most` of the highest scores stay."""
        self.finished.append(hypothesis)
        self.finished.sort(key=lambda one: -one.score)
        del self.finished[most:]


class BeamSearch:
    """Beam search: the best continuations among all hypotheses of a request."""

    def start(self, requests: Sequence[SearchRequest], width: int) -> Tensor:
        """ln p before the first step: one live hypothesis a request, its copies ruled out."""
        total = torch.full((len(requests), width), -math.inf)
        total[:, 0] = 0.0
        return total

    def __call__(self, log_p_NKV: Tensor, total_NK: Tensor, requests: Sequence[SearchRequest]) -> tuple[Tensor, ...]:
        """(row, token, ln p of the token) of the 2 · width best continuations, each (N, C), best first."""
        count, width, vocab = log_p_NKV.shape
        scores = (total_NK[:, :, None] + log_p_NKV).view(count, width * vocab)
        _, flat = scores.topk(min(2 * width, width * vocab), dim=-1)
        return flat // vocab, flat % vocab, log_p_NKV.reshape(count, -1).gather(1, flat)

    def select_unfinished(self, ended_NC: Tensor, width: int) -> Tensor:
        """Columns (N, width) of the best continuations that do not end; then, to fill up, of some that do."""
        return ended_NC.int().argsort(dim=1, stable=True)[:, :width]

    def is_finished(self, request: SearchRequest, best: float, options: SearchOptions) -> bool:
        """Whether nothing can still change a request's n best, given ln p of its best unfinished hypothesis."""
        if best == -math.inf:
            return True
        if len(request.finished) < options.n_best:
            return False
        if options.beam == 1:  # greedy search takes the likeliest token, and has ended where that is the end
            return True
        return best / options.penalty(request.max_length) <= request.finished[-1].score


class Sampling:
    """Sampling: one random continuation of each hypothesis, from the request's own generator."""

    def __init__(self, options: SearchOptions) -> None:
        self._options = options

    def start(self, requests: Sequence[SearchRequest], width: int) -> Tensor:
        """ln p before the first step (N, width): all hypotheses are live, and drawn apart from each other."""
        return torch.zeros(len(requests), width)

    def __call__(self, log_p_NKV: Tensor, total_NK: Tensor, requests: Sequence[SearchRequest]) -> tuple[Tensor, ...]:
        """(row, token, ln p of the token) of one continuation of each hypothesis, each (N, width)."""
        count, width, vocab = log_p_NKV.shape
        draws = torch.stack([torch.rand(width, generator=one.generator) for one in requests])
        # a row that nothing may follow draws anything, which its ln p of -inf rules out
        nothing = log_p_NKV.amax(-1, keepdim=True) == -math.inf
        allowed = log_p_NKV.masked_fill(nothing, 0.0)
        cumulative = filter_probabilities(allowed.view(count * width, vocab), self._options).cumsum(-1)
        ids = torch.searchsorted(cumulative, draws.view(-1, 1) * cumulative[:, -1:], right=True)
        ids_NK = ids.clamp(max=vocab - 1).view(count, width)
        rows_NK = torch.arange(width).expand(count, -1)
        return rows_NK, ids_NK, log_p_NKV.gather(2, ids_NK[:, :, None])[:, :, 0]

    def select_unfinished(self, ended_NC: Tensor, width: int) -> Tensor:
        """Columns (N, width): each hypothesis stays where it is, those that ended ruled out by their ln p."""
        return torch.arange(width).expand(ended_NC.shape[0], -1)

    def is_finished(self, request: SearchRequest, best: float, options: SearchOptions) -> bool:
        """Whether no hypothesis of a request is live any more."""
        return best == -math.inf
