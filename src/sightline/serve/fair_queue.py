"""Who may wait, and whose job is computed next: places and computing time are shared fairly among clients."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sightline.serve.jobs import Job

LONGEST_RETRY = 120  # seconds
SHORT_WEIGHT = 4  # short jobs get so many times the computing time of long ones that compete with them


class BusyError(Exception):
    """No more can wait. `seconds` is when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"busy; try again in {seconds} s")
        self.seconds = seconds


@dataclass(eq=False)
class Flow:
    """The short jobs of one client, or its long ones; a client's flow gets as much as another's of its kind.

    Attributes:
        served: virtual seconds of computing it has had, which are its seconds divided by its weight. A flow that
            begins starts where the least served one is.
        slots: held by its jobs that are being computed. waiting: jobs that wait for slots, in the order they came.
        jobs: all of them.
    """

    served: float
    slots: int = 0
    waiting: deque[Job] = field(default_factory=deque)
    jobs: set[Job] = field(default_factory=set)


class FairQueue:
    """The jobs of one model: admission, the order in which they start, and what each flow has been given.

    Start-time fair queueing (Goyal, Vin and Cheng 1996): the flow with the least virtual time goes first, and a flow
    is charged what its jobs take. Not safe for several threads: the engine holds its lock.

    Args:
        slots: of jobs that are computed at the same time. waiting: how many more jobs may wait.
    """

    def __init__(self, slots: int, waiting: int) -> None:
        self.slots, self.capacity = slots, slots + waiting
        self._flows: dict[tuple[str, bool], Flow] = {}
        self._slotless: list[Job] = []  # jobs that start at the next turn
        self._used = 0  # slots
        self._clock = 0.0  # virtual seconds of the least served flow; never goes back
        self._tokens, self._seconds = 0.0, 0.0  # computed lately, and how long that took

    def __len__(self) -> int:
        """Jobs that were admitted and have not ended."""
        return sum(len(flow.jobs) for flow in self._flows.values())

    def admit(self, jobs: Sequence[Job], *, refusable: bool = True) -> None:
        """Lets all of these jobs, of one client, wait.

        Where places are short a client gets its share of them at least, though others hold them all: what one client
        has waiting never keeps another one out.

        Raises BusyError.
        """
        client, inside = jobs[0].client, len(self)
        own = sum(len(flow.jobs) for (name, _), flow in self._flows.items() if name == client)
        clients = len({client, *(name for name, _ in self._flows)})
        more = len(jobs)
        within_share = own + more <= self.capacity // clients and inside + more <= 2 * self.capacity
        if refusable and inside + more > self.capacity and not within_share:
            raise BusyError(self._retry_after(inside + more - self.capacity))
        for job in jobs:
            flow = self._flows.setdefault((job.client, job.is_short), Flow(self._clock))
            flow.jobs.add(job)
            (flow.waiting if job.slots else self._slotless).append(job)

    def take_cancelled(self) -> list[Job]:
        """Waiting jobs that nobody waits for any more; they have ended."""
        found = [job for flow in self._flows.values() for job in flow.waiting if job.cancelled]
        for flow in self._flows.values():
            flow.waiting = deque(job for job in flow.waiting if not job.cancelled)
        self._remove(found, started=False)
        return found

    @property
    def has_waiting(self) -> bool:
        return bool(self._slotless) or any(flow.waiting for flow in self._flows.values())

    def start(self) -> list[Job]:
        """The jobs that are to start now: those that need no slots, and the others as slots allow, those of the least
        served flow first.

        A flow that holds less than its share of the slots may go over their number, up to twice as many: it does not
        wait for the long jobs of others to end.
        """
        started, self._slotless = self._slotless, []
        for flow in sorted(self._flows.values(), key=lambda one: one.served):
            while flow.waiting and self._may_start(flow, flow.waiting[0]):
                job = flow.waiting.popleft()
                flow.slots += job.slots
                self._used += job.slots
                started.append(job)
        return started

    def _may_start(self, flow: Flow, job: Job) -> bool:
        used = self._used + job.slots
        share = self.slots // len(self._flows)
        within_share = flow.slots == 0 or flow.slots + job.slots <= share
        return used <= self.slots or self._used == 0 or (within_share and used <= 2 * self.slots)

    def served(self, jobs: Iterable[Job]) -> float:
        """The virtual time of the least served flow among these jobs."""
        return min((self._flow(job).served for job in jobs), default=math.inf)

    def charge(self, jobs: Sequence[Job], seconds: float) -> None:
        """Accounts a step that took so many seconds to the flows of its jobs, by the slots that they hold."""
        shares = [max(job.slots, 1) for job in jobs]
        for job, share in zip(jobs, shares, strict=True):
            self._flow(job).served += seconds * share / sum(shares) / (SHORT_WEIGHT if job.is_short else 1)
        self._clock = max(self._clock, min(flow.served for flow in self._flows.values()))
        self._seconds += seconds

    def end(self, jobs: Sequence[Job]) -> None:
        """Started jobs that have ended: their places and slots are free."""
        self._tokens += sum(job.tokens - job.remaining if job.cancelled else job.tokens for job in jobs)
        if self._seconds > 60:  # older measurements count for less
            self._tokens, self._seconds = self._tokens / 2, self._seconds / 2
        self._remove(jobs, started=True)

    def _remove(self, jobs: Iterable[Job], *, started: bool) -> None:
        for job in jobs:
            job.ended = True
            flow = self._flow(job)
            flow.jobs.remove(job)
            if started:
                flow.slots -= job.slots
                self._used -= job.slots
            if not flow.jobs:
                del self._flows[job.client, job.is_short]

    def _flow(self, job: Job) -> Flow:
        return self._flows[job.client, job.is_short]

    def _retry_after(self, places: int) -> int:
        """Seconds until so many jobs should have ended, at the measured speed; at least 1.

        Jobs in work share the machine and end at about the same time, hence all of them count.
        """
        waiting = {job for flow in self._flows.values() for job in flow.waiting}
        active = [job for flow in self._flows.values() for job in flow.jobs if job not in waiting]
        first = active + sorted(waiting, key=lambda job: job.tokens)[: max(0, places - len(active))]
        if not self._tokens:
            return 1
        seconds = sum(job.remaining for job in first) * self._seconds / self._tokens
        return min(LONGEST_RETRY, max(1, math.ceil(seconds)))
