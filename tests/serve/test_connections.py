"""Connections: how many there may be, how long they may take, and how much is written about them."""

from __future__ import annotations

import logging
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from sightline.serve import connections
from support.serving import Server, serving


@pytest.fixture(scope="module")
def served(runs: dict[str, Path]) -> Iterator[Server]:
    with serving([runs["seq2seq"]]) as server:
        yield server


def closed(raw: socket.socket, seconds: float = 5.0) -> bytes:
    """What the server still says before it closes the connection; raises TimeoutError where it does not."""
    raw.settimeout(seconds)
    said = b""
    with suppress(ConnectionResetError):
        while more := raw.recv(65536):
            said += more
    return said


def test_a_head_that_does_not_end_is_cut_off(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with socket.create_connection(served.address) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        assert closed(raw).startswith(b"HTTP/1.1 408 ")
    with socket.create_connection(served.address) as raw:  # one that sends a little now and then
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - began < 5:
                raw.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 4
    with socket.create_connection(served.address) as raw:  # the second request of a connection
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in raw.recv(65536)
        raw.sendall(b"GET /health HTTP/1.1\r\nHost:")
        assert b"408" in closed(raw)


def test_a_request_within_the_time_is_answered(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the head: neither the body nor the answer has to be there by then."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with socket.create_connection(served.address) as raw:
        raw.sendall(b"POST /v1/translate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        raw.sendall(b"Connection: close\r\nContent-Length: 15\r\n\r\n")
        time.sleep(0.6)
        raw.sendall(b'{"text": "rot"}')
        assert closed(raw).startswith(b"HTTP/1.1 200 ")


def test_who_does_not_read_is_cut_off(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.3)
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(served.address)
        raw.settimeout(10)
        end = time.monotonic() + 30
        with suppress(ConnectionError):
            while time.monotonic() < end:
                raw.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 20)
                time.sleep(0.05)
        assert time.monotonic() < end


def test_no_more_connections_than_allowed(runs: dict[str, Path]) -> None:
    with serving([runs["seq2seq"]], most_connections=8) as server, ExitStack() as stack:
        open_ones = [stack.enter_context(socket.create_connection(server.address)) for _ in range(12)]
        refused = 0
        for one in open_ones:
            one.settimeout(0.3)
            with suppress(TimeoutError, ConnectionResetError):
                refused += b" 503 " in one.recv(1000)
        assert refused >= 4
        # one client does not take them all
        with server.client("127.0.0.2") as other:
            assert other.get("/health").status_code == 200
        for one in open_ones:
            one.close()
        time.sleep(0.2)
        with server.client() as client:
            assert client.get("/health").status_code == 200


def test_with_few_descriptors_the_log_stays_short(runs: dict[str, Path]) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    command = [sys.executable, "-m", "sightline", "serve", str(runs["seq2seq"]), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=few) as process, ExitStack() as stack:
        assert process.stderr is not None
        line = ""
        while "open http" not in line:
            line = process.stderr.readline()
            assert line
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found
        for _ in range(150):
            with suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", int(found.group(1))), timeout=1))
        for _ in range(20):
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(found.group(1))), timeout=1) as raw:
                raw.sendall(b"\x00 is no HTTP\r\n\r\n")
        time.sleep(2.5)
        stack.close()
        time.sleep(0.5)
        with httpx.Client(base_url=found.group(), timeout=30, trust_env=False) as client:
            assert client.get("/health").json()["status"] == "ok"
        process.terminate()
        assert len(process.stderr.read().splitlines()) <= 5


def test_a_line_of_the_log_comes_once_a_minute() -> None:
    limit = connections.RateLimit()

    def line(message: str, created: float) -> logging.LogRecord:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, message, (), None)
        record.created = created
        return record

    passed = [limit.filter(line("Invalid HTTP request received.", second)) for second in (0, 1, 59, 61, 62)]
    assert passed == [True, False, False, True, False]
    assert limit.filter(line("something else", 62))


def test_connections_leave_room_for_other_files() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections.available_connections() < soft or os.name == "nt"
