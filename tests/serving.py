"""A server in a thread of the test's own process, on a free port of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from sightline.serve.app import create_app
from sightline.serve.metrics import Metrics
from sightline.serve.served import Models


@dataclass(frozen=True)
class Server:
    url: str
    models: Models

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **more)

    def idle(self, seconds: float = 10.0) -> bool:
        """Whether all slots are free within so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not any(one.engine.inside for one in self.models.by_name.values()):
                return True
            time.sleep(0.01)
        return False


@contextmanager
def serving(
    runs: Sequence[str | Path], *, slots: int = 16, waiting: int = 64, token: str | None = None
) -> Iterator[Server]:
    models = Models([str(run) for run in runs], Metrics(), device="cpu", slots=slots, waiting=waiting)
    application = create_app(models, hosts={"127.0.0.1", "localhost"}, token=token)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Server(f"http://127.0.0.1:{listening.getsockname()[1]}", models)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
