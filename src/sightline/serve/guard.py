"""What stands before every request: who may ask, from where, how much, and what every answer says about itself."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request

from sightline.errors import UsageError
from sightline.serve.errors import ErrorBody
from sightline.serve.forms import read_fields
from sightline.serve.metrics import Metrics

log = logging.getLogger("sightline.serve")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BYTES = 10_000_000  # of a request that may carry an image
MAX_TEXT_BYTES = 512_000  # of any other
READ_SECONDS = 20.0  # a request's body has to be here by then
LINGER_SECONDS = 2.0  # for so long what a refused client still sends is read, and thrown away
# Nothing is taken from anywhere else, nothing is executed but our own files, and nobody may put the page in a frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
WITH_IMAGES = ("/v1/classify", "/v1/attention", "/v1/look")
# without a token: the page asks for it, and LibreTranslate's clients ask whether there is one
OPEN = ("/", "/health", "/ready", "/docs", "/frontend/settings")
OPEN_BELOW = ("/static/", "/ready/")
TOKEN_IN_BODY = ("/translate", "/detect", "/languages")  # where LibreTranslate's clients put it


class Guard:
    """ASGI middleware around the whole application.

    Args:
        hosts: names under which the server may be asked; any where it is empty.
        token: what every request has to carry, if anything.
    """

    def __init__(self, app: Any, *, hosts: Collection[str], token: str | None, metrics: Metrics) -> None:
        self._app, self._hosts, self._metrics = app, {_name(host) or host.lower() for host in hosts}, metrics
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, answered = time.monotonic(), 500, False
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}

        async def with_headers(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                had = {name.lower() for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in had]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        token_in_body = scope["path"] in TOKEN_IN_BODY
        problem = self._refused(scope, headers)
        if problem is None and not token_in_body:
            problem = self._unauthorized(scope, headers)
        body = b""
        try:
            if problem is None:
                body, problem = await self._body(scope, headers, receive)
            if problem is not None:
                await _linger(headers, receive)
            elif token_in_body and self._token is not None:
                problem = self._unauthorized(scope, headers, await _api_key(scope, body, receive))
            if problem is None:
                await self._app(scope, _replayed(body, receive), with_headers)
            else:
                await _refuse(with_headers, *problem)
        except Exception:
            if not answered:  # otherwise the application has answered and logged it
                log.exception("unexpected error")
                await _refuse(with_headers, 500, "unexpected error; the server's log has more")
        finally:
            self._count(scope, status, time.monotonic() - began)

    def _count(self, scope: Any, status: int, seconds: float) -> None:
        # paths that are no routes would let clients make as many rows as they like
        path = scope["route"].path if "route" in scope else "other"
        self._metrics.count("requests", path, str(status))
        self._metrics.count("request_seconds", path, by=seconds)

    def _refused(self, scope: Any, headers: dict[str, str]) -> tuple[int, str] | None:
        """(status, reason) where the request may not be answered."""
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return 421, "this server is not asked under that name; --allow-host adds one"
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != host.lower():
            return 403, "requests from other sites' pages are not answered"
        return None

    def _unauthorized(self, scope: Any, headers: dict[str, str], api_key: str = "") -> tuple[int, str] | None:
        """(401, reason) where a token is needed, and neither the header nor `api_key` is it."""
        if self._token is None or scope["path"] in OPEN or scope["path"].startswith(OPEN_BELOW):
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        keys = (given.strip() if scheme.lower() == "bearer" else "", api_key)
        if any(hmac.compare_digest(key.encode(errors="replace"), self._token) for key in keys):
            return None
        return 401, "a token is needed: Authorization: Bearer …"

    async def _body(
        self, scope: Any, headers: dict[str, str], receive: Receive
    ) -> tuple[bytes, tuple[int, str] | None]:
        """The whole body, or why it is not taken; no more than the limit is ever held."""
        most = MAX_BYTES if scope["path"] in WITH_IMAGES else MAX_TEXT_BYTES
        too_much = (413, f"more than {most:,} bytes")
        declared = headers.get("content-length", "0")
        if not declared.isdecimal():
            return b"", (400, "content-length is no number")
        if int(declared) > most:
            return b"", too_much
        body = bytearray()
        try:
            async with asyncio.timeout(READ_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return b"", (400, "the request ended early")
                    body += message.get("body", b"")
                    if len(body) > most:
                        return b"", too_much
                    if not message.get("more_body", False):
                        return bytes(body), None
        except TimeoutError:
            return b"", (408, "the request took too long to arrive")


async def _api_key(scope: Any, body: bytes, receive: Receive) -> str:
    """`api_key` of a body in any form; nothing where there is none."""
    try:
        key = (await read_fields(Request(scope, _replayed(body, receive)))).get("api_key")
    except UsageError:
        return ""
    return key if isinstance(key, str) else ""


def _host_of(origin: str) -> str:
    """The name and port of an Origin header."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(host: str) -> str:
    """The name in a Host header, without the port; of an IPv6 address without brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What gives the body once, then whatever else comes, such as that the client has gone."""
    given = False

    async def again() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


async def _linger(headers: dict[str, str], receive: Receive) -> None:
    """Reads what is left of a body. Closed with bytes unread, a connection is reset, and many clients that were still
    sending never see the answer."""
    if headers.get("expect", "").lower() == "100-continue":
        return  # it has not begun, and asks before it does
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    except TimeoutError:
        pass


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = ErrorBody.of(status, "refused", reason).model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
