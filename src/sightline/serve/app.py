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
from sightline.serve import api, completions, libretranslate
from sightline.serve.engine import ClosingError
from sightline.serve.errors import RESPONSES, ErrorBody, describe_validation
from sightline.serve.fair_queue import BusyError
from sightline.serve.guard import Guard
from sightline.serve.responses import ClientDisconnectedError
from sightline.serve.served import Models, UnknownModelError

log = logging.getLogger("sightline.serve")
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


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
    app.include_router(completions.router(models))
    app.include_router(libretranslate.router(models, needs_token=token is not None))

    @app.get("/health", tags=["operation"])
    async def health() -> dict[str, Any]:
        """Liveness: that the process answers, and how much is being computed."""
        return {"status": "ok", "in_work": {name: one.engine.unfinished for name, one in models.by_name.items()}}

    @app.get("/ready", tags=["operation"], responses=_unready("One model or several cannot be asked"))
    async def ready() -> JSONResponse:
        """Readiness: whether every model computes what is asked of it."""
        found = {name: one.readiness for name, one in models.by_name.items()}
        everything = all(one["ready"] for one in found.values())
        return JSONResponse({"ready": everything, "models": found}, 200 if everything else 503)

    @app.get("/ready/{name}", tags=["operation"], responses={**_unready("It cannot be asked"), 404: RESPONSES[404]})
    async def model_ready(name: str) -> JSONResponse:
        """Readiness of one model."""
        if name not in models.by_name:
            raise models.unknown(name)
        found = models.by_name[name].readiness
        return JSONResponse(found, 200 if found["ready"] else 503)

    @app.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Counters for Prometheus."""
        return PlainTextResponse(models.metrics.text(), media_type="text/plain; version=0.0.4")

    files = {
        file.name: file.read_bytes()
        for file in (resources.files("sightline") / "serve/page").iterdir()
        if file.name.endswith(tuple(MEDIA_TYPES))
    }

    def page_file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, f'no file "{name[:50]}"')
        kind = MEDIA_TYPES[name[name.rindex(".") :]]
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

    _handle_errors(app)
    return Guard(app, hosts=hosts, token=token, metrics=models.metrics)


def _unready(description: str) -> dict[int | str, dict[str, Any]]:
    return {503: {"description": description, "content": {"application/json": {}}}}


def _handle_errors(app: FastAPI) -> None:
    """Every error is one line in one form, `ErrorBody`."""

    def answer(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse(ErrorBody.of(status, kind, message).model_dump(), status, headers)

    @app.exception_handler(SightlineError)
    async def wrong(request: Request, error: SightlineError) -> JSONResponse:
        return answer(400, "invalid_request_error", str(error))

    @app.exception_handler(UnknownModelError)
    async def unknown(request: Request, error: UnknownModelError) -> JSONResponse:
        return answer(404, "not_found_error", str(error))

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> JSONResponse:
        return answer(429, "busy", str(error), {"retry-after": str(error.seconds)})

    @app.exception_handler(ClosingError)
    async def closing(request: Request, error: ClosingError) -> JSONResponse:
        return answer(503, "closing", "the server is going down", {"retry-after": "5"})

    @app.exception_handler(ClientDisconnectedError)
    async def disconnected(request: Request, error: ClientDisconnectedError) -> JSONResponse:
        return answer(499, "disconnected", "the client has disconnected")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [{**one, "loc": one["loc"][1:]} for one in error.errors()]  # all are of the body
        return answer(422, "invalid_request_error", describe_validation(problems))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, "http", str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.exception("unexpected error")
        return answer(500, "server_error", f"unexpected {type(error).__name__}; the server's log has more")
