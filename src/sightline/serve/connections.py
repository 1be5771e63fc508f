"""The listening side: how many connections there may be, how long a request's head may take, how often a log line may
come; and the loop that serves."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from a connection, or the first byte of a further request, to the end of its headers
WRITE_SECONDS = 30.0  # for so long a client may leave unread what was sent
KEEP_ALIVE_SECONDS = 5
BACKLOG = 64  # connections that wait to be accepted; asyncio also tries as often when no descriptor is left
MAX_CONNECTIONS = 512
SHARE_OF_A_CLIENT = 0.75  # of the connections, that one address may have
RESERVED_DESCRIPTORS = 64  # for the models' files and the process itself
LOG_SECONDS = 60.0  # between two log lines of one kind
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s"
)
FULL_BODY = b'{"error": {"message": "too many connections; try again in 5 s", "type": "busy", "code": 503}}'


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, but a request's head has to come in time, and no more connections are kept than allowed."""

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if self._too_many():
            transport.write(FULL % (len(FULL_BODY), FULL_BODY))
            transport.close()
        else:
            self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._stop_write_timer()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        """Sets the timer while the head of a request is awaited; further bytes do not set it anew."""
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_late)

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _head_late(self) -> None:
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read what it asked for."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # what was not read yet would keep the connection
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def _too_many(self) -> bool:
        """Whether this connection is one more than may be kept, of all clients or of this one."""
        most = self.limit_concurrency
        if most is None:
            return False
        host = self.client[0] if self.client else ""
        peers = [one.client for one in self.connections if isinstance(one, H11Protocol)]
        own = sum(1 for peer in peers if peer and peer[0] == host)
        return len(self.connections) >= most or own > most * SHARE_OF_A_CLIENT


class Server(uvicorn.Server):
    """uvicorn's server for one application.

    Args:
        connections: the most that are kept; fewer where the process may not open so many files.
    """

    def __init__(self, application: Any, *, connections: int = MAX_CONNECTIONS) -> None:
        # uvicorn itself refuses requests at its limit, which the protocol never lets connections reach
        limit = min(connections, available_connections()) + 1
        config = uvicorn.Config(
            application,
            http=BoundedProtocol,
            lifespan="on",
            log_level="warning",
            server_header=False,
            backlog=BACKLOG,
            limit_concurrency=limit,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=30,
        )
        super().__init__(config)
        for name in ("asyncio", "uvicorn.error"):  # what clients do can bring about any number of their lines
            logging.getLogger(name).addFilter(RateLimit())

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_in_one_line)
        await super().serve(sockets)


class RateLimit(logging.Filter):
    """Lets one line of each kind pass a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.msg).partition("\n")[0]
        last = self._passed.get(kind)
        if last is not None and record.created - last < LOG_SECONDS:
            return False
        self._passed[kind] = record.created
        return True


def _in_one_line(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if "out of system resource" in context.get("message", ""):
        logging.getLogger("asyncio").error("no file descriptor is left for another connection; raise `ulimit -n`")
    else:
        loop.default_exception_handler(context)


def available_connections() -> int:
    """How many connections fit into the files that this process may open."""
    try:
        import resource
    except ImportError:  # there is no such limit on Windows
        return MAX_CONNECTIONS
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if most == resource.RLIM_INFINITY else max(most - RESERVED_DESCRIPTORS, most // 4, 1)
