"""One model in one thread: whatever is asked of it at the same time is computed together.

Texts that are written (translations, continuations) take one step each in turn, all of them at once: one that comes
joins at the next step, one that is done or was given up leaves at once, and short ones do not wait for long ones.
Everything else is a call on a list of inputs, and those that wait together are one list.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from sightline.decode import Search, SearchOptions, SearchRequest
from sightline.errors import UsageError
from sightline.serve.metrics import Metrics
from sightline.train.machine import return_memory

STEPS_TO_TIDY = 200
ROWS_OF_A_SLOT = 8
# what a search of each strategy does not look at; how hypotheses are ranked plays a part where there are several
UNUSED = {"beam": ("temperature", "top_k", "top_p", "min_p"), "sample": ("beam",)}

log = logging.getLogger("sightline.serve")


class BusyError(Exception):
    """No more can wait. `seconds` is when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"busy; try again in {seconds} s")
        self.seconds = seconds


class ClosingError(Exception):
    """The server is going down and takes nothing new."""


@dataclass(eq=False)
class Job:
    """One thing asked of a model.

    Attributes:
        key: jobs of one key can be computed together.
        done: set in the event loop with the result, or the error.
        given_up: whether nobody waits for it any more. over: whether its place is free again. since: when it came.
    """

    key: Any
    loop: asyncio.AbstractEventLoop = field(init=False)
    done: asyncio.Future[Any] = field(init=False)
    given_up: bool = field(default=False, init=False)
    over: bool = field(default=False, init=False)
    since: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()


@dataclass(eq=False)
class Call(Job):
    """`run` of a list of inputs, of which this is one; a list of as many results comes back. At most `together` of
    one key are computed at once, and between two lists everything that is being written takes a step."""

    run: Callable[[list[Any]], Sequence[Any]]
    given: Any
    together: int = 16


@dataclass(eq=False)
class Writing(Job):
    """A sentence to be searched; its n best hypotheses come back.

    Attributes:
        rows: of the search, which are its hypotheses; every eight of them take a slot.
        source: of a translation. streamed: whether what is written so far is told step by step: `so_far`, whenever
            there is `news`.
    """

    sentence: SearchRequest
    rows: int
    source: Sequence[int] = ()
    streamed: bool = False
    so_far: list[int] = field(default_factory=list, init=False)
    news: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def slots(self) -> int:
        return -(-self.rows // ROWS_OF_A_SLOT)


@dataclass(frozen=True)
class Searcher:
    """How a model's searches are begun, by the options they have in common, and how sentences enter them."""

    begin: Callable[[SearchOptions], Search]
    prefill: Callable[[Search, list[Writing]], None]


def in_common(options: SearchOptions) -> SearchOptions:
    """The options that sentences of one search share: all but the seed, the longest output and what plays no part."""
    defaults = SearchOptions.model_validate({})
    unused = UNUSED[options.strategy]
    changes = {"seed": 0, "max_length_factor": 0.0, "max_length_offset": 1}
    return options.model_copy(update={**changes, **{name: getattr(defaults, name) for name in unused}})


class Engine:
    """The thread of one model.

    Args:
        name: of the model, for the metrics.
        searcher: for models that write.
        slots: how many jobs are computed at the same time. waiting: how many more may wait.
        turns: entered while it computes, such as a lock for models that must not compute at the same time.
    """

    def __init__(
        self,
        name: str,
        metrics: Metrics,
        searcher: Searcher | None = None,
        *,
        slots: int = 32,
        waiting: int = 64,
        turns: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.name, self.slots, self.most_waiting = name, slots, waiting
        self._metrics, self._searcher = metrics, searcher
        self._turns = nullcontext() if turns is None else turns
        self._waiting: dict[type[Job], deque[Any]] = {Call: deque(), Writing: deque()}
        self._active: dict[Hashable, tuple[Search, dict[SearchRequest, Writing]]] = {}
        self._inside = 0  # jobs that have come and are not over
        self._wake = threading.Condition()
        self._closing = False
        self._seconds = 1.0  # from a job's coming to its end, a running mean
        self._steps = 0
        self._thread = threading.Thread(target=self._run, name=f"sightline-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Takes nothing new, finishes what it has, and returns when that is done."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def inside(self) -> int:
        """Jobs that have come and are not over."""
        return self._inside

    def submit(self, jobs: Sequence[Job], *, further: bool = False) -> None:
        """All of these jobs, or none.

        Args:
            further: they are a part of what was taken before, and are not refused.

        Raises BusyError where too many wait already, ClosingError at the end, UsageError for more than ever fit.
        """
        most = self.slots + self.most_waiting
        if len(jobs) > most:
            raise UsageError(f"{len(jobs)} texts at once; this server takes {most} at most")
        with self._wake:
            if not self._thread.is_alive() or (self._closing and not further):
                raise ClosingError
            if self._inside + len(jobs) > most and not further:
                self._metrics.count("rejected", self.name)
                raise BusyError(max(1, round(self._seconds)))
            self._inside += len(jobs)
            for job in jobs:
                self._waiting[type(job)].append(job)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (any(self._waiting.values()) or self._active):
                    if self._closing:
                        return
                    self._wake.wait()
                calls, joining = self._next_calls(), self._next_writings()
            try:
                with self._turns:
                    self._turn(calls, joining)
            except Exception as error:  # a defect of ours: whoever waits is told, and others are served
                log.exception("%s: unexpected error", self.name)
                within = [job for _, jobs in self._active.values() for job in jobs.values()]
                jobs = {*calls, *(job for group in joining.values() for job in group), *within}
                self._active.clear()
                self._settle([(job, error) for job in jobs if not job.over])

    def _turn(self, calls: list[Call], joining: dict[Any, list[Writing]]) -> None:
        """One list of calls, then one step of every search."""
        if calls:
            self._call(calls)
        for key, group in joining.items():
            self._join(key, group)
        for key in list(self._active):
            self._advance(key)
        self._steps += 1
        if self._steps % STEPS_TO_TIDY == 0:  # texts of many lengths leave holes of many sizes
            return_memory()
        active = sum(len(jobs) for _, jobs in self._active.values())
        self._metrics.set("active", self.name, active)
        self._metrics.set("waiting", self.name, self._inside - active)

    def _next_calls(self) -> list[Call]:
        """The oldest call, and others of its key that can be computed with it; those given up are forgotten."""
        taken: list[Call] = []
        kept: deque[Call] = deque()
        for call in self._waiting[Call]:
            if call.given_up:
                self._over([call])
            elif not taken or (call.key == taken[0].key and len(taken) < taken[0].together):
                taken.append(call)
            else:
                kept.append(call)
        self._waiting[Call] = kept
        return taken

    def _next_writings(self) -> dict[Any, list[Writing]]:
        """As many as there are free slots, by key; those given up are forgotten."""
        free = self.slots - sum(job.slots for _, jobs in self._active.values() for job in jobs.values())
        groups: dict[Any, list[Writing]] = defaultdict(list)
        kept: deque[Writing] = deque()
        for job in self._waiting[Writing]:
            if job.given_up:
                self._over([job])
            elif not kept and (job.slots <= free or free == self.slots):  # one that is too wide is written alone
                groups[job.key].append(job)
                free -= job.slots
            else:
                kept.append(job)
        self._waiting[Writing] = kept
        return groups

    def _over(self, jobs: Iterable[Job]) -> None:
        """Their places are free."""
        with self._wake:
            for job in jobs:
                job.over = True
                self._inside -= 1

    def _call(self, group: list[Call]) -> None:
        """All at once; where that fails each alone, so that nobody gets another's error."""
        began = time.monotonic()
        try:
            results = list(zip(group, group[0].run([job.given for job in group]), strict=True))
        except Exception as error:
            results = [(job, error) for job in group] if len(group) == 1 else [self._alone(job) for job in group]
        self._metrics.took(self.name, time.monotonic() - began, len(group))
        for job in group:
            self._note(job)
        self._settle(results)

    def _note(self, job: Job) -> None:
        """How long a job has taken, for those that come too often."""
        self._seconds += 0.05 * (time.monotonic() - job.since - self._seconds)

    def _alone(self, job: Call) -> tuple[Call, Any]:
        try:
            return job, job.run([job.given])[0]
        except Exception as error:
            return job, error

    def _join(self, key: Any, group: list[Writing]) -> None:
        assert self._searcher is not None
        try:
            if key not in self._active:
                self._active[key] = (self._searcher.begin(key), {})
            search, jobs = self._active[key]
            self._searcher.prefill(search, group)
        except Exception as error:
            search, jobs = self._active.get(key, (None, {}))
            for job in group:
                if search is not None and job.sentence in search.requests:
                    search.remove(job.sentence)
            if not jobs:
                self._active.pop(key, None)
            if len(group) == 1:
                self._settle([(group[0], error)])
            else:  # one of them may be at fault
                for job in group:
                    self._join(key, [job])
            return
        jobs.update((job.sentence, job) for job in group)

    def _advance(self, key: Hashable) -> None:
        """One step of one search: those that were given up leave, those that are over are told."""
        search, jobs = self._active[key]
        for sentence in [sentence for sentence, job in jobs.items() if job.given_up]:
            search.remove(sentence)
            self._over([jobs.pop(sentence)])
            self._metrics.count("given_up", self.name)
        if jobs:
            began = time.monotonic()
            try:
                over = search.advance()
            except Exception as error:
                del self._active[key]
                self._settle([(job, error) for job in jobs.values()])
                return
            self._metrics.took(self.name, time.monotonic() - began, len(jobs))
            for sentence in over:
                self._note(jobs[sentence])
            self._settle([(jobs.pop(sentence), sentence.finished) for sentence in over])
            _tell([(job, search.written(sentence).tolist()) for sentence, job in jobs.items() if job.streamed])
        if not jobs:
            del self._active[key]

    def _settle(self, results: list[tuple[Any, Any]]) -> None:
        """Hands results, or errors, to the event loop that waits for them: one call for all."""
        self._over(job for job, _ in results)

        def hand_over() -> None:
            for job, result in results:
                if not job.done.done():
                    if isinstance(result, Exception):
                        job.done.set_exception(result)
                        job.done.exception()  # whoever has left does not hear of it
                    else:
                        job.done.set_result(result)

        _in_loop(results, hand_over)


def _tell(written: list[tuple[Any, list[int]]]) -> None:
    def hand_over() -> None:
        for job, tokens in written:
            job.so_far = tokens
            job.news.set()

    _in_loop(written, hand_over)


def _in_loop(pairs: list[tuple[Any, Any]], hand_over: Callable[[], None]) -> None:
    if pairs:
        loop = pairs[0][0].loop
        if not loop.is_closed():
            loop.call_soon_threadsafe(hand_over)
