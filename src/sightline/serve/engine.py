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
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sightline.decode import Search, SearchOptions, Sentence
from sightline.serve.metrics import Metrics
from sightline.train.machine import return_memory

log = logging.getLogger("sightline.serve")


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
        done: set in the event loop with the result, or the error. told: where what is written so far goes, if anywhere.
        given_up: whether nobody waits for it any more.
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
    """`run` of a list of inputs, of which this is one; a list of as many results comes back."""

    run: Callable[[list[Any]], Sequence[Any]]
    given: Any


@dataclass(eq=False)
class Writing(Job):
    """A sentence to be searched; its n best hypotheses come back."""

    sentence: Sentence
    source: Sequence[int] = ()  # of a translation
    told: asyncio.Queue[list[int]] | None = None  # tokens so far, step by step


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
        self._waiting: deque[Job] = deque()
        self._active: dict[Hashable, tuple[Search, dict[Sentence, Writing]]] = {}
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
    def active(self) -> int:
        """Jobs that are being computed."""
        return sum(len(jobs) for _, jobs in self._active.values())

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, jobs: Sequence[Job]) -> None:
        """All of these jobs, or none. Raises BusyError where too many wait already, ClosingError at the end."""
        with self._wake:
            if self._closing or not self._thread.is_alive():
                raise ClosingError
            # what fits into free slots does not wait
            if len(self._waiting) + len(jobs) > self.most_waiting + max(0, self.slots - self.active):
                self._metrics.count("rejected", self.name)
                raise BusyError(max(1, round(self._seconds)))
            self._waiting.extend(jobs)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._active and not self._closing:
                    self._wake.wait()
                if self._closing and not self._waiting and not self._active:
                    return
                arrived = [self._waiting.popleft() for _ in range(min(len(self._waiting), self.slots - self.active))]
            self._enter([job for job in arrived if not job.given_up])
            for key in list(self._active):
                self._advance(key)
            self._steps += 1
            if self._steps % STEPS_TO_TIDY == 0:  # texts of many lengths leave holes of many sizes
                return_memory()
            self._metrics.set("active", self.name, self.active)
            self._metrics.set("waiting", self.name, self.waiting)

    def _enter(self, jobs: list[Job]) -> None:
        """Calls are done at once, in lists; what is to be written joins its search."""
        groups: dict[tuple[type[Job], Hashable], list[Any]] = defaultdict(list)
        for job in jobs:
            groups[type(job), job.key].append(job)
        for (kind, key), group in groups.items():
            try:
                if kind is Call:
                    self._call(group)
                else:
                    self._join(key, group)
            except Exception as error:
                _settle([(job, error) for job in group])

    def _call(self, group: list[Call]) -> None:
        """All at once; where that fails each alone, so that nobody gets another's error."""
        began = time.monotonic()
        try:
            results = list(group[0].run([job.given for job in group]))
        except Exception as error:
            if len(group) == 1:
                raise
            log.debug("a batch of %d failed: %s", len(group), error)
            for job in group:
                try:
                    results = [(job, job.run([job.given])[0])]
                except Exception as own:
                    results = [(job, own)]
                _settle(results)
            return
        self._metrics.took(self.name, time.monotonic() - began, len(group))
        _settle(list(zip(group, results, strict=True)))

    def _join(self, key: Any, group: list[Writing]) -> None:
        assert self._searcher is not None
        if key not in self._active:
            self._active[key] = (self._searcher.begin(key), {})
        search, jobs = self._active[key]
        try:
            self._searcher.admit(search, group)
        except Exception:
            if not jobs:
                del self._active[key]
            raise
        jobs.update((job.sentence, job) for job in group)

    def _advance(self, key: Hashable) -> None:
        """One step of one search: those that were given up leave, those that are over are told."""
        search, jobs = self._active[key]
        for sentence in [sentence for sentence, job in jobs.items() if job.given_up]:
            search.remove(sentence)
            del jobs[sentence]
            self._metrics.count("given_up", self.name)
        if jobs:
            began = time.monotonic()
            try:
                over = search.advance()
            except Exception as error:
                _settle([(job, error) for job in jobs.values()])
                del self._active[key]
                return
            self._metrics.took(self.name, time.monotonic() - began, len(jobs))
            for sentence in over:
                self._seconds += 0.05 * (time.monotonic() - jobs[sentence].since - self._seconds)
            _settle([(jobs.pop(sentence), sentence.finished) for sentence in over])
            _tell([(job, search.written(sentence).tolist()) for sentence, job in jobs.items() if job.told is not None])
        if not jobs:
            del self._active[key]


def _settle(results: list[tuple[Any, Any]]) -> None:
    """Hands results, or errors, to the event loop that waits for them: one call for all."""

    def hand_over() -> None:
        for job, result in results:
            if not job.done.done():
                if isinstance(result, Exception):
                    job.done.set_exception(result)
                else:
                    job.done.set_result(result)

    _in_loop(results, hand_over)


def _tell(written: list[tuple[Any, list[int]]]) -> None:
    def hand_over() -> None:
        for job, tokens in written:
            job.told.put_nowait(tokens)

    _in_loop(written, hand_over)


def _in_loop(pairs: list[tuple[Any, Any]], hand_over: Callable[[], None]) -> None:
    if pairs:
        loop = pairs[0][0].loop
        if not loop.is_closed():
            loop.call_soon_threadsafe(hand_over)
