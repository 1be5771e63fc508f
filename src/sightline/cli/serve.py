"""`sightline serve`: trained runs as a web page and an HTTP API."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from sightline.cli.common import (
    DeviceOption,
    ThreadsOption,
    say,
)

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    app.command(name="serve")(serve)


def serve(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Run directories; each is served by its name.")],
    host: Annotated[str, typer.Option(help="Where to listen; anything but this machine needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SIGHTLINE_TOKEN", help="What clients must send, 8 characters or more; better set SIGHTLINE_TOKEN."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name under which clients may ask; may be repeated.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, help="Texts computed at the same time, for each model.")] = 32,
    waiting: Annotated[int, typer.Option(min=0, help="Texts that may wait for a slot; further ones are refused.")] = 64,
    connections: Annotated[int, typer.Option(min=1, help="Connections at the same time; more are refused.")] = 512,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
) -> None:
    """Serve trained runs: a page to use and look into them, and an HTTP API.

    sightline serve runs/demo-gru runs/demo-transformer

    SIGHTLINE_TOKEN=correct-horse sightline serve runs/novels --host 0.0.0.0 --allow-host models.example.org
    """
    from sightline.errors import UsageError

    if host not in LOOPBACK and not token:
        raise UsageError(f"--host {host}: others could use it; set SIGHTLINE_TOKEN to what they must send, or leave it")
    if token is not None and not (token.isascii() and token.isprintable() and len(token) >= 8 and " " not in token):
        raise UsageError("--token: at least 8 printable ASCII characters without spaces")

    # kernels made for each shape of a batch are kept, 1,024 of them unless told otherwise: 200 MB under mixed load
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

    import socket

    import torch

    from sightline.serve.app import create_app
    from sightline.serve.connections import BACKLOG, Server
    from sightline.serve.metrics import Metrics
    from sightline.serve.served import Models
    from sightline.train.machine import mmap_large_blocks

    mmap_large_blocks()
    if threads is not None:
        torch.set_num_threads(threads)
    models = Models(runs, Metrics(), device=device, slots=slots, waiting=waiting)
    hosts = {*LOOPBACK, *(allow_host or []), *([host] if host not in ("0.0.0.0", "::") else [])}
    application = create_app(models, hosts=hosts, token=token)
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)  # who comes before the server runs waits instead of being refused
    except OSError as error:
        listening.close()
        if isinstance(error, socket.gaierror):
            raise UsageError(f"--host {host}: no such address") from None
        raise UsageError(f"--port {port}: {os.strerror(error.errno or 0).lower()}; choose another, or 0") from None
    for name, one in models.by_name.items():
        say(f"{name}: {one.task}, {one.about()['parameters']:,} parameters; can {', '.join(one.verbs)}")
    shown = {"0.0.0.0": "127.0.0.1", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
    say(f"open http://{shown}:{listening.getsockname()[1]}/ in a browser; /docs describes the API; Ctrl-C ends it")
    Server(application, connections=connections).run(sockets=[listening])
