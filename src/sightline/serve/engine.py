"""One model in one thread: whatever is asked of it at the same time is computed together, and in turns.

Jobs that can be computed together are a batch. In each turn of the thread, one batch computes one step: a search
writes a token of every row, a list of calls is computed at once, a long computation goes on by a part. The next turn
is that of the batch with the client who has had the least computing time, so nobody waits for another's long text.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from sightline.errors import UsageError
from sightline.serve.fair_queue import BusyError, FairQueue
from sightline.serve.jobs import Batch, Job, Searcher
from sightline.serve.metrics import Metrics
from sightline.train.machine import trim_memory

STEPS_BETWEEN_TRIMS = 200
STUCK_SECONDS = 60  # a step that takes longer makes the model unready

log = logging.getLogger("sightline.serve")


class ClosingError(Exception):
    """The server is going down and takes nothing new."""


class Engine:
    """The thread of one model.

    Args:
        name: of the model, for the metrics.
        searcher: for models that search.
        slots: how many jobs are computed at the same time. waiting: how many more may wait.
        exclusive: entered while it computes, such as a lock for models that must not compute at the same time.
    """

    def __init__(
        self,
        name: str,
        metrics: Metrics,
        searcher: Searcher | None = None,
        *,
        slots: int = 32,
        waiting: int = 64,
        exclusive: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.name = name
        self._metrics, self._searcher = metrics, searcher
        self._exclusive = nullcontext() if exclusive is None else exclusive
        self._queue = FairQueue(slots, waiting)
        self._batches: list[Batch[Any]] = []
        self._wake = threading.Condition()
        self._closing = False
        self._turns = 0
        self._turn_began: float | None = None
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
    def capacity(self) -> int:
        """How many jobs it takes at once at most."""
        return self._queue.capacity

    @property
    def unfinished(self) -> int:
        """Jobs that were taken and have not ended."""
        with self._wake:
            return len(self._queue)

    @property
    def problem(self) -> str | None:
        """Why nothing can be asked of it, in a few words; None where it computes."""
        if self._closing:
            return "the server is going down"
        if not self._thread.is_alive():
            return "its thread does not run"
        began = self._turn_began
        if began is not None and (seconds := time.monotonic() - began) > STUCK_SECONDS:
            return f"one step has taken {seconds:.0f} s"
        return None

    def submit(self, jobs: Sequence[Job], client: str, *, continues: bool = False) -> None:
        """All of these jobs of one client, or none.

        Args:
            continues: they are a part of what was taken before, and are not refused.

        Raises BusyError where too many wait already, ClosingError at the end, UsageError for more than ever fit.
        """
        if len(jobs) > self._queue.capacity:
            raise UsageError(f"{len(jobs)} texts at once; this server takes {self._queue.capacity} at most")
        if not jobs:
            return
        with self._wake:
            if not self._thread.is_alive() or (self._closing and not continues):
                raise ClosingError
            for job in jobs:
                job.client, job.submitted = client, time.monotonic()
            try:
                self._queue.admit(jobs, refusable=not continues)
            except BusyError:
                self._metrics.count("rejected", self.name)
                raise
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._queue.has_waiting or self._batches):
                    if self._closing:
                        return
                    self._wake.wait()
                left = self._queue.take_cancelled()
                starting = self._queue.start()
            self._metrics.count("given_up", self.name, by=len(left))
            self._turn_began = time.monotonic()
            try:
                with self._exclusive:
                    self._turn(starting)
            except Exception as error:  # a defect of ours: whoever waits is told, and others are served
                self._fail(starting, error)
            except BaseException as error:  # such as a panic in a tokenizer's Rust code, which is no Exception
                self._fail(starting, RuntimeError(f"{type(error).__name__}: {error}"))
            self._turn_began = None

    def _fail(self, starting: Sequence[Job], error: Exception) -> None:
        """Ends everything that is in work with an error, which is being handled."""
        log.exception("%s: unexpected error", self.name)
        jobs = {*starting, *(job for batch in self._batches for job in batch.jobs)}
        self._batches.clear()
        self._finish([(job, error) for job in jobs if not job.ended])

    def _turn(self, starting: Sequence[Job]) -> None:
        """Jobs that start join batches; then one batch computes a step."""
        self._turns += 1
        for job in starting:
            self._batch_for(job).add(job)
        for batch in self._batches:
            self._drop_cancelled(batch)
        self._batches = [batch for batch in self._batches if batch.jobs]
        if self._batches:
            with self._wake:
                batch = min(self._batches, key=lambda one: (self._queue.served(one.jobs), one.last_turn))
            batch.last_turn = self._turns
            self._step(batch)
            self._batches = [batch for batch in self._batches if batch.jobs]
        if self._turns % STEPS_BETWEEN_TRIMS == 0:  # texts of many lengths leave holes of many sizes
            trim_memory()
        active = sum(len(batch.jobs) for batch in self._batches)
        self._metrics.set("active", self.name, active)
        self._metrics.set("waiting", self.name, self.unfinished - active)

    def _batch_for(self, job: Job) -> Batch[Any]:
        """The batch that a job joins: one of its key that has room, or a new one."""
        for batch in self._batches:
            if batch.key == job.batch_key and batch.has_room(job):
                return batch
        batch = job.new_batch(self._searcher)
        self._batches.append(batch)
        return batch

    def _drop_cancelled(self, batch: Batch[Any]) -> None:
        cancelled = [job for job in batch.jobs if job.cancelled]
        for job in cancelled:
            batch.drop(job)
        if cancelled:
            self._metrics.count("given_up", self.name, by=len(cancelled))
            self._end(cancelled)

    def _step(self, batch: Batch[Any]) -> None:
        jobs, began = list(batch.jobs), time.monotonic()
        ended = batch.step()
        seconds = time.monotonic() - began
        self._metrics.observe_step(self.name, seconds, len(jobs))
        with self._wake:
            self._queue.charge(jobs, seconds)
        self._finish(ended)
        for job, tokens in batch.partial_results():
            job.written = tokens
            _call_in_loop(job, job.updated.set)

    def _end(self, jobs: Sequence[Job]) -> None:
        with self._wake:
            self._queue.end(jobs)

    def _finish(self, results: Sequence[tuple[Job, Any]]) -> None:
        """Hands results, or errors, to the event loops that wait for them."""
        self._end([job for job, _ in results])
        for job, result in results:
            _call_in_loop(job, partial(_set, job.result, result))


def _set(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # whoever has left does not hear of it
    else:
        future.set_result(result)


def _call_in_loop(job: Job, function: Callable[[], object]) -> None:
    if not job.loop.is_closed():
        job.loop.call_soon_threadsafe(function)
