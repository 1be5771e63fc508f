"""One model in one thread: whatever is asked of it at the same time is computed together.

Texts that are written (translations, continuations) take one step each in turn, all of them at once: one that comes
joins at the next step, one that is done or was given up leaves at once, and short ones do not wait for long ones.
Everything else is a call on a list of inputs, and those that wait together are one list.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sightline.decode import Search, SearchOptions, Sentence
from sightline.serve.metrics import Metrics
from sightline.train.machine import return_memory

STEPS_TO_TIDY = 200


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
        given_up: whether nobody waits for it any more. since: when it came.
    """

    key: Any
    loop: asyncio.AbstractEventLoop = field(init=False)
    done: asyncio.Future[Any] = field(init=False)
    given_up: bool = field(default=False, init=False)
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
        source: of a translation. streamed: whether what is written so far is told step by step: `so_far`, whenever
            there is `news`.
    """

    sentence: Sentence
    source: Sequence[int] = ()
    streamed: bool = False
    so_far: list[int] = field(default_factory=list, init=False)
    news: asyncio.Event = field(default_factory=asyncio.Event, init=False)


@dataclass(frozen=True)
class Searcher:
    """How a model's searches are begun, by the options they have in common, and how sentences enter them."""

    begin: Callable[[SearchOptions], Search]
    admit: Callable[[Search, list[Writing]], None]


def in_common(options: SearchOptions) -> SearchOptions:
    """The options that sentences of one search share: all but the seed and the longest output."""
    return options.model_copy(update={"seed": 0, "max_length_factor": 0.0, "max_length_offset": 1})


class Engine:
    """The thread of one model.

    Args:
        name: of the model, for the metrics.
        searcher: for models that write.
        slots: how many jobs are computed at the same time. waiting: how many more may wait.
    """

    def __init__(
        self, name: str, metrics: Metrics, searcher: Searcher | None = None, *, slots: int = 32, waiting: int = 64
    ) -> None:
        self.name, self.slots, self.most_waiting = name, slots, waiting
        self._metrics, self._searcher = metrics, searcher
        self._calls: deque[Call] = deque()
        self._writings: deque[Writing] = deque()
        self._active: dict[Hashable, tuple[Search, dict[Sentence, Writing]]] = {}
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

    def submit(self, jobs: Sequence[Job]) -> None:
        """All of these jobs, or none. Raises BusyError where too many wait already, ClosingError at the end."""
        with self._wake:
            if self._closing or not self._thread.is_alive():
                raise ClosingError
            if self._inside + len(jobs) > self.slots + self.most_waiting:
                self._metrics.count("rejected", self.name)
                raise BusyError(max(1, round(self._seconds)))
            self._inside += len(jobs)
            for job in jobs:
                (self._writings if isinstance(job, Writing) else self._calls).append(job)  # pyright: ignore
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._calls or self._writings or self._active or self._closing):
                    self._wake.wait()
                if self._closing and not (self._calls or self._writings or self._active):
                    return
                calls, joining = self._next_calls(), self._next_writings()
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
        for call in self._calls:
            if call.given_up:
                self._over(1)
            elif not taken or (call.key == taken[0].key and len(taken) < taken[0].together):
                taken.append(call)
            else:
                kept.append(call)
        self._calls = kept
        return taken

    def _next_writings(self) -> dict[Any, list[Writing]]:
        """As many as there are free slots, by key; those given up are forgotten."""
        free = self.slots - sum(len(jobs) for _, jobs in self._active.values())
        groups: dict[Any, list[Writing]] = defaultdict(list)
        while free > 0 and self._writings:
            job = self._writings.popleft()
            if job.given_up:
                self._over(1)
                continue
            groups[job.key].append(job)
            free -= 1
        return groups

    def _over(self, count: int) -> None:
        with self._wake:
            self._inside -= count

    def _call(self, group: list[Call]) -> None:
        """All at once; where that fails each alone, so that nobody gets another's error."""
        began = time.monotonic()
        try:
            results = list(zip(group, group[0].run([job.given for job in group]), strict=True))
        except Exception as error:
            results = [(job, error) for job in group] if len(group) == 1 else [self._alone(job) for job in group]
        self._metrics.took(self.name, time.monotonic() - began, len(group))
        self._settle(results)

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
            self._searcher.admit(search, group)
        except Exception as error:
            self._settle([(job, error) for job in group])
            search, jobs = self._active.get(key, (None, {}))
            for job in group:
                if search is not None and job.sentence in search.sentences:
                    search.remove(job.sentence)
            if not jobs:
                self._active.pop(key, None)
            return
        jobs.update((job.sentence, job) for job in group)

    def _advance(self, key: Hashable) -> None:
        """One step of one search: those that were given up leave, those that are over are told."""
        search, jobs = self._active[key]
        for sentence in [sentence for sentence, job in jobs.items() if job.given_up]:
            search.remove(sentence)
            del jobs[sentence]
            self._over(1)
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
                self._seconds += 0.05 * (time.monotonic() - jobs[sentence].since - self._seconds)
            self._settle([(jobs.pop(sentence), sentence.finished) for sentence in over])
            _tell([(job, search.written(sentence).tolist()) for sentence, job in jobs.items() if job.streamed])
        if not jobs:
            del self._active[key]

    def _settle(self, results: list[tuple[Any, Any]]) -> None:
        """Hands results, or errors, to the event loop that waits for them: one call for all."""
        self._over(len(results))

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
