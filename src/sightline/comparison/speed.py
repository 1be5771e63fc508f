"""How fast models are used and what memory that takes: by turns, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sightline.errors import SightlineError
from sightline.runs.plugins import load_plugin, loaded_files

ROUNDS = 3
RECORDS = 64  # that are computed together
ALONE = 8  # that are computed one after the other


@dataclass(frozen=True)
class Speed:
    """Medians over rounds in which the models took turns.

    Attributes:
        per_second: records, many at once. latency: seconds of one alone. peak_bytes: the most memory that the process
            held, Python and PyTorch included; None where the system does not tell.
    """

    per_second: float
    latency: float
    peak_bytes: int | None


def measure_speed(runs: Sequence[Path], files: Any, threads: int | None = None, rounds: int = ROUNDS) -> list[Speed]:
    """The speed of runs of one task on the first records of a set.

    They take turns, so that whatever else the machine does hits all of them alike. A first round is not counted. Raises
    SightlineError where a run's process ends before it is done.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may wait for ever
    workers: list[tuple[Any, Connection]] = []
    try:
        for run in runs:
            ours, theirs = context.Pipe()
            own = (theirs, str(run), files, threads, loaded_files())
            worker = context.Process(target=_work, args=own, daemon=True)
            worker.start()
            theirs.close()
            workers.append((worker, ours))
        together: list[list[float]] = [[] for _ in runs]
        alone: list[list[float]] = [[] for _ in runs]
        for number in range(rounds + 1):
            for (_, connection), ours, single in zip(workers, together, alone, strict=True):
                speed, latency = _ask(connection, "measure")
                if number:
                    ours.append(speed)
                    single.append(latency)
        peaks = [_ask(connection, "memory") for _, connection in workers]
    finally:
        for worker, connection in workers:
            connection.close()
            worker.terminate()
            worker.join()
    return [
        Speed(statistics.median(ours), statistics.median(single), peak)
        for ours, single, peak in zip(together, alone, peaks, strict=True)
    ]


def _ask(connection: Connection, what: str) -> Any:
    try:
        connection.send(what)
        found = connection.recv()
    except (EOFError, OSError):
        raise SightlineError("a process that measured a model's speed ended; compare again without speed") from None
    if isinstance(found, SightlineError):
        raise found
    return found


def _work(connection: Connection, run: str, files: Any, threads: int | None, plugins: Sequence[Path]) -> None:
    """Answers until its connection is closed."""
    try:
        for path in plugins:
            load_plugin(path)
        measure = _prepare(run, files, threads)
    except SightlineError as error:
        connection.recv()
        connection.send(error)
        return
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        connection.send(peak_memory() if asked == "memory" else measure())


def _prepare(run: str, files: Any, threads: int | None) -> Any:
    from sightline.runs.loading import load, spec_of
    from sightline.train.machine import setup
    from sightline.train.run_directory import Run

    setup(threads)
    timed, model = spec_of(Run(run)).timed, load(run)
    assert timed is not None
    records = timed.read(files, RECORDS)

    def measure() -> tuple[float, float]:
        """(records a second, many at once; the median of seconds of one alone)."""
        start = time.perf_counter()
        timed.use(model, records)
        speed = len(records) / (time.perf_counter() - start)
        seconds: list[float] = []
        for one in records[:ALONE]:
            start = time.perf_counter()
            timed.use(model, [one])
            seconds.append(time.perf_counter() - start)
        return speed, statistics.median(seconds)

    return measure


def peak_memory() -> int | None:
    """The most bytes that this process has held; None where the system does not tell."""
    import torch

    from sightline.train import machine

    found = machine.peak_bytes(torch.device("cpu"))
    if found or sys.platform != "darwin":
        return found or None
    import resource

    # not on Linux, where a process begins with what the one that started it had held at most
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
