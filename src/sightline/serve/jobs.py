"""What can be asked of one model: searches, calls on lists of inputs, computations in steps; and how a kind of job is
computed in batches."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Self, TypeVar

from sightline.decode import Search, SearchOptions, SearchRequest
from sightline.predict.search_options import READ_BY

ROWS_OF_A_SLOT = 8
# Budgets of one turn of the engine. They bound how long another client's job waits for the turn to end.
STEP_ROWS = 128  # rows of a search, each of which takes one token a step
LIST_TOKENS = 4096  # of all inputs of a call on a list
PREFILL_TOKENS = 4096  # of all requests that join a search before a step
SHORT_TOKENS = 1024  # a job of no more than this is a short one


@dataclass(frozen=True)
class Searcher:
    """How searches of a model are begun, by the options they have in common, and how requests are prefilled."""

    begin: Callable[[SearchOptions], Search]
    prefill: Callable[[Search, list[SearchJob]], None]


@dataclass(eq=False, kw_only=True)
class Job(ABC):
    """One thing asked of a model; made in the event loop that waits for it.

    Attributes:
        tokens: how many tokens are computed for it, an estimate.
        result: future of the event loop, set with the result or the error.
        client: who asked; set by `Engine.submit`, as is `submitted`, seconds of the monotonic clock.
        cancelled: whether nobody waits for it any more; it is dropped at the next step.
        ended: whether it no longer counts among the jobs of the engine.
    """

    tokens: int = 1
    loop: asyncio.AbstractEventLoop = field(init=False)
    result: asyncio.Future[Any] = field(init=False)
    client: str = field(default="", init=False)
    submitted: float = field(default=0.0, init=False)
    cancelled: bool = field(default=False, init=False)
    ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.result = self.loop.create_future()

    @property
    def slots(self) -> int:
        """Slots of the engine that it takes while it is computed; only searches take some."""
        return 0

    @property
    def remaining(self) -> float:
        """The tokens that are still to be computed."""
        return float(self.tokens)

    @property
    def is_short(self) -> bool:
        return self.tokens <= SHORT_TOKENS

    @property
    @abstractmethod
    def batch_key(self) -> Hashable:
        """Jobs of one key can be computed together, in a batch that has room."""

    @abstractmethod
    def new_batch(self, searcher: Searcher | None) -> Batch[Self]:
        """An empty batch that this job can join."""


@dataclass(eq=False, kw_only=True)
class CallJob(Job):
    """One input of `function`, which takes a list of inputs and returns a list of as many results.

    Jobs of one `key` are computed together, at most `batch_size` of them.
    """

    key: Hashable
    function: Callable[[list[Any]], Sequence[Any]]
    argument: Any
    batch_size: int = 16

    @property
    def batch_key(self) -> Hashable:
        return CallJob, self.key, self.is_short

    def new_batch(self, searcher: Searcher | None) -> CallBatch:
        return CallBatch(self.batch_key, self.batch_size, self.function)


@dataclass(eq=False, kw_only=True)
class StepwiseJob(Job):
    """A long computation that others take turns with: `steps()` yields between its parts and returns the result."""

    steps: Callable[[], Generator[None, None, Any]]

    @property
    def batch_key(self) -> Hashable:
        return StepwiseJob, id(self)

    def new_batch(self, searcher: Searcher | None) -> StepwiseBatch:
        return StepwiseBatch(self.batch_key, self.steps())


@dataclass(eq=False, kw_only=True)
class SearchJob(Job):
    """A search whose n best hypotheses are the result.

    Attributes:
        options: of the search.
        source: token ids of the source of a translation.
        streamed: whether `written`, the token ids written so far, is updated step by step; `updated` is set whenever
            there are more.
    """

    options: SearchOptions
    request: SearchRequest
    source: Sequence[int] = ()
    streamed: bool = False
    written: list[int] = field(default_factory=list, init=False)
    updated: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tokens = self.rows * self.request.max_length + self.prefill_tokens

    @property
    def rows(self) -> int:
        return self.options.num_hypotheses

    @property
    def slots(self) -> int:
        return -(-self.rows // ROWS_OF_A_SLOT)

    @property
    def prefill_tokens(self) -> int:
        return max(len(self.source), len(self.request.prompt))

    @property
    def remaining(self) -> float:
        return float(self.rows * (self.request.max_length - self.request.length))

    @property
    def batch_key(self) -> Hashable:
        return SearchJob, shared_options(self.options), self.is_short

    def new_batch(self, searcher: Searcher | None) -> SearchBatch:
        if searcher is None:
            raise TypeError("this model does not search")
        return SearchBatch(self.batch_key, searcher, shared_options(self.options))


def shared_options(options: SearchOptions) -> SearchOptions:
    """The options that requests of one search share: all but the seed, the longest output and those it never reads."""
    defaults = SearchOptions.model_validate({})
    unused = [name for strategy, names in READ_BY.items() for name in names if strategy != options.strategy]
    changes = {"seed": 0, "max_length_factor": 0.0, "max_length_offset": 1}
    return options.model_copy(update={**changes, **{name: getattr(defaults, name) for name in unused}})


JobT = TypeVar("JobT", bound=Job)


class Batch(ABC, Generic[JobT]):
    """Jobs that are computed together, one step in each turn of the engine that is theirs.

    Attributes:
        key: of its jobs.
        last_turn: of the engine's turns the last one that was this batch's.
    """

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.last_turn = 0

    @property
    @abstractmethod
    def jobs(self) -> Sequence[JobT]:
        """Those that have not ended."""

    @abstractmethod
    def has_room(self, job: JobT) -> bool:
        """Whether another job of this batch's key may join."""

    @abstractmethod
    def add(self, job: JobT) -> None:
        """Lets a job join before the next step; computes nothing."""

    @abstractmethod
    def drop(self, job: JobT) -> None:
        """Forgets a job that was cancelled."""

    @abstractmethod
    def step(self) -> list[tuple[JobT, Any]]:
        """Computes one step; returns the jobs that have ended, each with its result or its error."""

    def partial_results(self) -> list[tuple[SearchJob, list[int]]]:
        """What streamed jobs have written so far."""
        return []


class CallBatch(Batch[CallJob]):
    """Calls of one function: all of them are computed in one step."""

    def __init__(self, key: Hashable, size: int, function: Callable[[list[Any]], Sequence[Any]]) -> None:
        super().__init__(key)
        self._size, self._function = size, function
        self._jobs: list[CallJob] = []

    @property
    def jobs(self) -> Sequence[CallJob]:
        return self._jobs

    def has_room(self, job: CallJob) -> bool:
        fits = sum(one.tokens for one in self._jobs) + job.tokens <= LIST_TOKENS
        return not self._jobs or (fits and len(self._jobs) < self._size)

    def add(self, job: CallJob) -> None:
        self._jobs.append(job)

    def drop(self, job: CallJob) -> None:
        self._jobs.remove(job)

    def step(self) -> list[tuple[CallJob, Any]]:
        """All at once; where that fails each alone, so that nobody gets another's error."""
        jobs, self._jobs = self._jobs, []
        try:
            return list(zip(jobs, self._function([job.argument for job in jobs]), strict=True))
        except Exception as error:
            return [(jobs[0], error)] if len(jobs) == 1 else [self._alone(job) for job in jobs]

    def _alone(self, job: CallJob) -> tuple[CallJob, Any]:
        try:
            return job, self._function([job.argument])[0]
        except Exception as error:
            return job, error


class StepwiseBatch(Batch[StepwiseJob]):
    """One job that is computed part by part."""

    def __init__(self, key: Hashable, steps: Generator[None, None, Any]) -> None:
        super().__init__(key)
        self._steps = steps
        self._jobs: list[StepwiseJob] = []

    @property
    def jobs(self) -> Sequence[StepwiseJob]:
        return self._jobs

    def has_room(self, job: StepwiseJob) -> bool:
        return not self._jobs

    def add(self, job: StepwiseJob) -> None:
        self._jobs.append(job)

    def drop(self, job: StepwiseJob) -> None:
        self._jobs.remove(job)
        self._steps.close()

    def step(self) -> list[tuple[StepwiseJob, Any]]:
        try:
            next(self._steps)
        except StopIteration as end:
            return [(self._jobs.pop(), end.value)]
        except Exception as error:
            return [(self._jobs.pop(), error)]
        return []


class SearchBatch(Batch[SearchJob]):
    """Requests of one search: each step reads what those that join bring, and writes a token of every row."""

    def __init__(self, key: Hashable, searcher: Searcher, options: SearchOptions) -> None:
        super().__init__(key)
        self._prefill, self._begin = searcher.prefill, partial(searcher.begin, options)
        self._search = self._begin()
        self._joining: deque[SearchJob] = deque()
        self._searched: dict[SearchRequest, SearchJob] = {}

    @property
    def jobs(self) -> Sequence[SearchJob]:
        return [*self._joining, *self._searched.values()]

    def has_room(self, job: SearchJob) -> bool:
        count = len(self._joining) + len(self._searched)
        return not count or (count + 1) * job.rows <= STEP_ROWS

    def add(self, job: SearchJob) -> None:
        self._joining.append(job)

    def drop(self, job: SearchJob) -> None:
        if job in self._joining:
            self._joining.remove(job)
        else:
            del self._searched[job.request]
            self._search.remove(job.request)

    def step(self) -> list[tuple[SearchJob, Any]]:
        failed = self._join(self._next_to_join())
        if not self._searched:
            return failed
        try:
            return failed + [(self._searched.pop(one), one.finished) for one in self._search.advance()]
        except Exception as error:
            jobs, self._searched = self._searched, {}
            self._search = self._begin()
            return failed + [(job, error) for job in jobs.values()]

    def _next_to_join(self) -> list[SearchJob]:
        """Requests whose prefill is within the budget of a step, one at least."""
        taken: list[SearchJob] = []
        tokens = 0
        while self._joining and (not taken or tokens + self._joining[0].prefill_tokens <= PREFILL_TOKENS):
            tokens += self._joining[0].prefill_tokens
            taken.append(self._joining.popleft())
        return taken

    def _join(self, jobs: Sequence[SearchJob]) -> list[tuple[SearchJob, Any]]:
        """Prefills requests; returns those that cannot be, with their errors."""
        if not jobs:
            return []
        try:
            self._prefill(self._search, list(jobs))
        except Exception as error:
            for job in jobs:
                if job.request in self._search.requests:
                    self._search.remove(job.request)
            if len(jobs) == 1:
                return [(jobs[0], error)]
            return [failed for job in jobs for failed in self._join([job])]  # one of them may be at fault
        self._searched.update((job.request, job) for job in jobs)
        return []

    def partial_results(self) -> list[tuple[SearchJob, list[int]]]:
        streamed = [(request, job) for request, job in self._searched.items() if job.streamed]
        return [(job, self._search.written(request)) for request, job in streamed]
