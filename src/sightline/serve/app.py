"""The whole application: routes, what errors become, the page's files, and the guard around all of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from sightline import __version__
from sightline.errors import SightlineError
from sightline.serve import api, compatible
from sightline.serve.engine import BusyError, ClosingError
from sightline.serve.guard import Guard
from sightline.serve.served import Models, UnknownModelError
from sightline.serve.waiting import ClientGoneError

log = logging.getLogger("sightline.serve")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def create_app(models: Models, *, hosts: Collection[str] = (), token: str | None = None) -> Any:
    """The ASGI application over loaded models; see `Guard` for the arguments."""

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        models.start()
        yield
        # not in the event loop, where answers are still being sent
        await asyncio.to_thread(models.close)

    app = FastAPI(
        title="Sightline",
        version=__version__,
        description="Translate, write, fill in, label and look inside, with the models that are served here.",
        docs_url=None,  # those pages load scripts from elsewhere; /docs is our own
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(api.router(models))
    app.include_router(compatible.completions(models))
    app.include_router(compatible.libre_translate(models))

    @app.get("/health", tags=["operation"])
    async def health() -> dict[str, Any]:
        """That the server runs, and how much is being computed."""
        return {
            "status": "ok",
            "in_work": {name: one.engine.inside for name, one in models.by_name.items()},
        }

    @app.get("/metrics", tags=["operation"])
    async def metrics() -> PlainTextResponse:
        """Counters for Prometheus."""
        return PlainTextResponse(models.metrics.text(), media_type="text/plain; version=0.0.4")

    files = {
        file.name: file.read_bytes()
        for file in (resources.files("sightline") / "serve/page").iterdir()
        if file.name.endswith(tuple(KINDS))
    }

    def page_file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, f'no file "{name[:50]}"')
        kind = KINDS[name[name.rindex(".") :]]
        return Response(files[name], media_type=f"{kind}; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return page_file("index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return page_file("docs.html")

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        return page_file(name)

    _errors(app)
    return Guard(app, hosts=hosts, token=token, metrics=models.metrics)


def _errors(app: FastAPI) -> None:
    """Every error is one line in one form: {"error": {"message", "type", "code"}}."""

    def told(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
        # a text that is no Unicode may be quoted in a message; it cannot be sent
        message = message.encode("utf-8", "replace").decode()
        return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status, headers)

    @app.exception_handler(SightlineError)
    async def wrong(request: Request, error: SightlineError) -> JSONResponse:
        return told(400, "invalid_request_error", str(error))

    @app.exception_handler(UnknownModelError)
    async def unknown(request: Request, error: UnknownModelError) -> JSONResponse:
        return told(404, "not_found_error", str(error))

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> JSONResponse:
        return told(429, "busy", str(error), {"retry-after": str(error.seconds)})

    @app.exception_handler(ClosingError)
    async def closing(request: Request, error: ClosingError) -> JSONResponse:
        return told(503, "closing", "the server is going down", {"retry-after": "5"})

    @app.exception_handler(ClientGoneError)
    async def gone(request: Request, error: ClientGoneError) -> JSONResponse:
        return told(499, "gone", "the client has gone")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = error.errors()
        # where a field may be of several kinds, what is wrong inside the one that was meant says more
        problem = next((one for one in problems if not one["type"].endswith("_type")), problems[0])
        name, *inner = problem["loc"][1:] or ["body"]
        # beside numbers these are pydantic's names for kinds
        place = ".".join(["body" if type(name) is int else str(name), *(str(one) for one in inner if type(one) is int)])
        return told(422, "invalid_request_error", f"{place[:200]}: {problem['msg'].lower()}")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return told(error.status_code, "http", str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.exception("unexpected error")
        return told(500, "server_error", f"unexpected {type(error).__name__}; the server's log has more")
