"""How a request waits for its jobs: until they are done, or until the client has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request

from sightline.serve.engine import Call, Engine, Job, Writing


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def results_of(request: Request, engine: Engine, jobs: Sequence[Job]) -> list[Any]:
    """The results of jobs, all handed to the engine at once.

    Raises BusyError, ClosingError, ClientGoneError, or what went wrong in a job; the others are then given up.
    """
    engine.submit(jobs)
    gone = asyncio.ensure_future(_left(request))
    together = asyncio.gather(*(job.done for job in jobs))
    try:
        await asyncio.wait({gone, together}, return_when=asyncio.FIRST_COMPLETED)
        if not together.done():
            raise ClientGoneError
        return await together
    finally:
        gone.cancel()
        together.cancel()
        for job in jobs:
            job.given_up = True


async def result_of(request: Request, engine: Engine, key: Any, run: Any, given: Any) -> Any:
    """The result of `run` for one input, computed with those of the same key that wait beside it."""
    return (await results_of(request, engine, [Call(key, run, given)]))[0]


async def as_written(engine: Engine, job: Writing) -> AsyncIterator[list[int]]:
    """The tokens so far, again and again while they are written; at the end `job.done` has the result.

    Where the reader stops reading, or the client goes, the job is given up.
    """
    assert job.told is not None
    engine.submit([job])
    try:
        while not job.done.done():
            more = asyncio.ensure_future(job.told.get())
            await asyncio.wait({more, job.done}, return_when=asyncio.FIRST_COMPLETED)
            if not more.done():
                more.cancel()
                return
            tokens = more.result()
            while not job.told.empty():  # a slow reader gets the newest
                tokens = job.told.get_nowait()
            yield tokens
    finally:
        job.given_up = True


def event(data: Any) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
