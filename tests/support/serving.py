"""A server in a thread of the test's own process, on a free port of this machine, and how tests ask it."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from sightline.serve import connections
from sightline.serve.app import create_app
from sightline.serve.metrics import Metrics
from sightline.serve.served import Models
from support.data import write_images

TEXT = "ein haus rot blau"


@dataclass(frozen=True)
class Server:
    url: str
    models: Models

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def client(self, address: str | None = None, **more: Any) -> httpx.Client:
        """A client; with an address of this machine, such as 127.0.0.2, one that the server takes for another's."""
        transport = httpx.HTTPTransport(local_address=address) if address else None
        return httpx.Client(base_url=self.url, trust_env=False, transport=transport, **{"timeout": 60, **more})

    def idle(self, seconds: float = 10.0) -> bool:
        """Whether all slots are free within so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not any(one.engine.unfinished for one in self.models.by_name.values()):
                return True
            time.sleep(0.01)
        return False


@contextmanager
def serving(
    runs: Sequence[str | Path],
    *,
    slots: int = 16,
    waiting: int = 64,
    token: str | None = None,
    most_connections: int = 512,
) -> Iterator[Server]:
    models = Models([str(run) for run in runs], Metrics(), device="cpu", slots=slots, waiting=waiting)
    application = create_app(models, hosts={"127.0.0.1", "localhost"}, token=token)
    listening = socket.create_server(("127.0.0.1", 0))
    server = connections.Server(application, connections=most_connections)
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


@contextmanager
def serving_all(kinds: Mapping[str, Path], folder: Path) -> Iterator[Server]:
    """A server with every kind of model, each under the name of its kind."""
    for name, path in kinds.items():
        (folder / name).symlink_to(path)
    with serving([folder / name for name in kinds]) as server:
        yield server


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: httpx.Client, path: str, **body: Any) -> list[dict[str, Any]]:
    with client.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]


def picture(folder: Path) -> str:
    """An image that the tests' classifier of images knows, as a PNG file in base64."""
    write_images(folder / "one.npz", 1, seed=9)
    file = io.BytesIO()
    Image.fromarray(np.load(folder / "one.npz")["images"][0]).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
