"""How a request waits for its jobs: until they are done, or until the client has gone."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse

from sightline.serve.engine import Call, Engine, Job, Writing

log = logging.getLogger("sightline.serve")


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def results_of(request: Request, engine: Engine, jobs: Sequence[Job], *, further: bool = False) -> list[Any]:
    """The results of jobs, all handed to the engine at once; see `Engine.submit`.

    Raises BusyError, ClosingError, ClientGoneError, or what went wrong in a job; the others are then given up.
    """
    engine.submit(jobs, further=further)
    gone = asyncio.ensure_future(_left(request))
    try:
        left = {job.done for job in jobs}
        while left:
            done, _ = await asyncio.wait({gone, *left}, return_when=asyncio.FIRST_COMPLETED)
            left -= done
            for one in done - {gone}:
                one.result()  # raises what went wrong
            if gone in done and left:
                raise ClientGoneError
        return [job.done.result() for job in jobs]
    finally:
        gone.cancel()
        for job in jobs:
            job.given_up = True


async def each_of(request: Request, engine: Engine, key: Any, run: Any, given: Sequence[Any]) -> list[Any]:
    """The result of `run` for each input, computed with those of the same key that wait beside them."""
    return await results_of(request, engine, [Call(key, run, one) for one in given])


async def beside(request: Request, engine: Engine, key: Any, run: Any, given: Any) -> Any:
    """What is computed of one input beside a text that was written: a part of what was taken before."""
    return (await results_of(request, engine, [Call(key, run, given)], further=True))[0]


async def as_written(job: Writing) -> AsyncIterator[list[int]]:
    """The tokens so far of a streamed job, whenever there are more; at the end `job.done` has the result."""
    while not job.done.done():
        news = asyncio.ensure_future(job.news.wait())
        try:
            await asyncio.wait({news, job.done}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        if not job.news.is_set():
            return
        job.news.clear()
        yield job.so_far


class Events(StreamingResponse):
    """Server-sent events while a job is computed. Where the client goes the job is given up, wherever it is. What can
    be wrong with a request is found before; an error that comes now is a defect, and an event of its own."""

    def __init__(self, told: AsyncIterator[str], job: Job | None) -> None:
        super().__init__(_with_errors(told), media_type="text/event-stream")
        self._job = job

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._job is not None:
                self._job.given_up = True


async def _with_errors(told: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        async for one in told:
            yield one
    except ClientGoneError:
        return
    except Exception as error:
        log.exception("unexpected error in a stream")
        message = f"unexpected {type(error).__name__}; the server's log has more"
        yield event({"error": {"message": message, "type": "server_error", "code": 500}})


def event(data: Any) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
