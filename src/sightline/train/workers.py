"""Workers: one batch computed by several single-threaded workers side by side, as one gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, cast

import torch
from torch import Tensor

from sightline.train import storage
from sightline.train.task import Batch, Task

# More than a few Python threads wait for each other more than they compute.
MOST = 4


def worker_count(threads: int, device: torch.device) -> int:
    """How many workers share `threads` CPU threads; 1 on any other device, which is parallel in itself."""
    return min(threads, MOST) if device.type == "cpu" else 1


def shared_copy(model: torch.nn.Module) -> torch.nn.Module:
    """A model whose parameters are the same memory as `model`'s, with gradients and buffers of its own."""
    replica = copy.deepcopy(model)
    for ours, theirs in zip(replica.parameters(), model.parameters(), strict=True):
        ours.data = theirs.data
    return replica


class Workers(Generic[Batch]):
    """A context manager that splits each batch among workers and sums their gradients into the model.

    Two threads inside one operator wait for each other at every operator's end, which costs small models half their
    speed; two threads that each compute half a batch meet once an update.

    The dropout of every piece has a generator of its own, seeded from the run's, so one generator is all there is to
    save. Running statistics, which training passes change, become the mean of those of the workers that had a piece.
    """

    def __init__(self, task: Task[Batch], threads: int) -> None:
        """`threads` CPU threads are dealt out to the workers; a few workers with several each where there are many."""
        device = next(task.model.parameters()).device
        count = worker_count(threads, device)
        self._task, self._threads, self._each = task, threads, max(1, threads // count)
        self._replicas = [task] if count == 1 else [task.replica(shared_copy(task.model)) for _ in range(count)]
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def __enter__(self) -> Workers[Batch]:
        torch.set_num_threads(self._each)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self._threads)
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def gradients(
        self, batch: Batch, generator: torch.Generator, collect: Callable[[], None]
    ) -> list[tuple[Tensor, int, dict[str, Tensor]]]:
        """Makes the gradients of one batch and has them collected; returns what `Task.loss` returned for each piece.

        `collect` is called with the gradients of one worker at a time in the model, so that it can sum them in fp32.
        """
        if self._pool is None:
            loss, count, extras = self._task.loss(batch, generator)
            loss.backward()
            collect()
            return [(loss.detach(), count, extras)]
        pieces = self._task.split(batch, len(self._replicas))
        seeds = cast("list[int]", torch.randint(2**62, (len(pieces),), generator=generator).tolist())
        replicas = self._replicas[: len(pieces)]
        results = list(self._pool.map(_backward, replicas, pieces, seeds))
        for replica in replicas:
            for ours, theirs in zip(self._task.model.parameters(), replica.model.parameters(), strict=True):
                if theirs.grad is not None:
                    ours.grad = theirs.grad if ours.grad is None else ours.grad.add_(theirs.grad)
                    theirs.grad = None
            collect()
        self._mean_statistics(replicas)
        return results

    @contextmanager
    def all_threads(self) -> Generator[None, None, None]:
        """Inside, whoever computes alone has all threads."""
        torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            torch.set_num_threads(self._each)

    @torch.no_grad()
    def _mean_statistics(self, used: Sequence[Task[Batch]]) -> None:
        """Gives the model and all replicas the mean of the `used` ones': a run that goes on from a checkpoint has no
        others, so none may be left behind by a batch of fewer rows than workers."""
        for name, buffer in storage.persistent_buffers(self._task.model).items():
            theirs = torch.stack([replica.model.get_buffer(name) for replica in used])
            buffer.copy_(theirs.mean(0) if buffer.is_floating_point() else theirs[0])  # a count has no mean
            for replica in self._replicas:
                replica.model.get_buffer(name).copy_(buffer)


def _backward(task: Task[Batch], piece: Batch, seed: int) -> tuple[Tensor, int, dict[str, Tensor]]:
    loss, count, extras = task.loss(piece, torch.Generator().manual_seed(seed))
    loss.backward()
    return loss.detach(), count, extras
