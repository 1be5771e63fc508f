"""How a request waits for its jobs: until they have ended, or until the client has disconnected."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse

from sightline.errors import SightlineError
from sightline.jsonio import dumps
from sightline.serve.engine import Engine
from sightline.serve.errors import ErrorBody, one_line
from sightline.serve.jobs import CallJob, Job, SearchJob

log = logging.getLogger("sightline.serve")


class ClientDisconnectedError(Exception):
    """Nobody waits for the answer any more."""


def client_of(request: Request) -> str:
    """Who shares places and computing time with others: an address, or of IPv6 the network of one subscriber (/64)."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))


async def results_of(request: Request, engine: Engine, jobs: Sequence[Job], *, continues: bool = False) -> list[Any]:
    """The results of jobs, all handed to the engine at once; see `Engine.submit`.

    Raises BusyError, ClosingError, ClientDisconnectedError, or what went wrong in a job; the others are then cancelled.
    """
    engine.submit(jobs, client_of(request), continues=continues)
    disconnected = asyncio.ensure_future(_disconnected(request))
    try:
        pending = {job.result for job in jobs}
        while pending:
            done, _ = await asyncio.wait({disconnected, *pending}, return_when=asyncio.FIRST_COMPLETED)
            pending -= done
            for one in done - {disconnected}:
                one.result()  # raises what went wrong
            if disconnected in done and pending:
                raise ClientDisconnectedError
        return [job.result.result() for job in jobs]
    finally:
        disconnected.cancel()
        for job in jobs:
            job.cancelled = True


def calls(
    key: Hashable, function: Callable[[list[Any]], Sequence[Any]], arguments: Sequence[Any], tokens: Sequence[int]
) -> list[CallJob]:
    """A job for each argument of a function of lists, of so many tokens; others of the key are computed with them."""
    return [
        CallJob(key=key, function=function, argument=argument, tokens=count)
        for argument, count in zip(arguments, tokens, strict=True)
    ]


def text_tokens(*texts: str) -> int:
    """About how many tokens there are in texts; half of their characters is more than most tokenizers need."""
    return sum(map(len, texts)) // 2 + 1


async def partial_outputs(job: SearchJob) -> AsyncIterator[list[int]]:
    """The token ids so far of a streamed job, whenever there are more; at the end `job.result` has the result."""
    while not job.result.done():
        updated = asyncio.ensure_future(job.updated.wait())
        try:
            await asyncio.wait({updated, job.result}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            updated.cancel()
        if not job.updated.is_set():
            return
        job.updated.clear()
        yield job.written


class EventStream(StreamingResponse):
    """Server-sent events while jobs are computed. Where the client disconnects they are cancelled, wherever they are.
    What can be wrong with a request is found before most often; an error that comes now is an event of its own."""

    def __init__(self, events: AsyncIterator[str], jobs: Sequence[Job]) -> None:
        super().__init__(_with_errors(events), media_type="text/event-stream")
        self._jobs = jobs

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            for job in self._jobs:
                job.cancelled = True


async def _with_errors(events: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        async for one in events:
            yield one
    except ClientDisconnectedError:
        return
    except SightlineError as error:  # such as a model whose numbers are none, which only computing tells
        yield event(ErrorBody.of(400, "invalid_request_error", str(error)).model_dump())
    except Exception as error:
        log.exception("unexpected error in a stream")
        message = one_line(f"unexpected {type(error).__name__}; the server's log has more")
        yield event(ErrorBody.of(500, "server_error", message).model_dump())


def event(data: Any) -> str:
    """One server-sent event."""
    return f"data: {dumps(data)}\n\n"


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
