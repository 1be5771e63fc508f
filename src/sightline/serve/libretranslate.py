"""The interface of LibreTranslate, for clients that exist for it. Its errors are {"error": message}."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from sightline.data.languages import code_of
from sightline.data.text import normalize_text
from sightline.errors import UsageError
from sightline.serve.errors import RESPONSES, describe_validation, one_line
from sightline.serve.forms import MULTIPART, URL_ENCODED, read_fields
from sightline.serve.languages import detect
from sightline.serve.markup import Markup
from sightline.serve.requests import (
    MAX_CHARACTERS,
    DetectRequest,
    LibreTranslateRequest,
    TranslateRequest,
    as_list,
)
from sightline.serve.served import Models, ServedModel
from sightline.serve.translating import translations

AUTO = {"code": "auto", "name": "Auto Detect"}
Pairs = dict[tuple[str, str], ServedModel]  # by the codes of both languages
Sent = TypeVar("Sent", bound=DetectRequest)


class LibreError(BaseModel):
    """What LibreTranslate's clients expect of an error."""

    error: str = Field(description="one line")


def router(models: Models, *, needs_token: bool) -> APIRouter:
    """`/translate`, `/detect`, `/languages` and `/frontend/settings`."""
    pairs = _pairs(models)
    errors = {**RESPONSES, 400: {"model": LibreError, "description": "The request cannot be answered as it is"}}
    routes = APIRouter(tags=["LibreTranslate"], responses=errors)

    @routes.get("/languages")
    async def languages() -> list[dict[str, Any]]:
        """The languages that are translated from, and into which."""
        targets: dict[str, list[str]] = {}
        for source, target in pairs:
            targets.setdefault(source, []).append(target)
        return [{"code": code, "name": _name(pairs, code), "targets": found} for code, found in targets.items()]

    @routes.get("/frontend/settings")
    async def settings() -> dict[str, Any]:
        """What a page of LibreTranslate asks before anything else."""
        target = next((target for _, target in pairs), None)
        return {
            "apiKeys": needs_token,
            "charLimit": MAX_CHARACTERS,
            "filesTranslation": False,
            "frontendTimeout": 500,
            "keyRequired": needs_token,
            "language": {
                "source": AUTO,
                "target": {"code": target, "name": _name(pairs, target)} if target and not needs_token else AUTO,
            },
            "suggestions": False,
            "supportedFilesFormat": [],
        }

    @routes.post("/detect", openapi_extra=_body_of(DetectRequest))
    async def detect_language(request: Request) -> Any:
        """Which of the languages that are translated from a text is in: the likeliest first."""

        async def answer(body: DetectRequest) -> Any:
            found = [_detected(pairs, text) for text in as_list(body.q)]
            return found[0] if isinstance(body.q, str) else found

        return await _answered(request, DetectRequest, answer)

    @routes.post("/translate", openapi_extra=_body_of(LibreTranslateRequest))
    async def translate(request: Request) -> Any:
        """Translations of texts of any number of sentences, each sentence on its own; of HTML the text between tags."""

        async def answer(body: LibreTranslateRequest) -> Any:
            return await _translate(request, pairs, body)

        return await _answered(request, LibreTranslateRequest, answer)

    return routes


async def _answered(request: Request, schema: type[Sent], answer: Callable[[Sent], Awaitable[Any]]) -> Any:
    """The answer to a request in any form, or what is wrong with it as LibreTranslate's clients expect."""
    try:
        return await answer(_checked(schema, await read_fields(request)))
    except UsageError as error:
        return JSONResponse(LibreError(error=one_line(str(error))).model_dump(), 400)


def _checked(schema: type[Sent], fields: dict[str, Any]) -> Sent:
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        raise UsageError(describe_validation(error.errors(include_url=False))) from None


async def _translate(request: Request, pairs: Pairs, body: LibreTranslateRequest) -> dict[str, Any]:
    texts = as_list(body.q)
    served = _pick(pairs, body, texts)
    parse = Markup if body.format == "html" else PlainText
    documents = [parse(text) for text in texts]
    stretches = [stretch for one in documents for stretch in one.texts]
    count = body.alternatives + 1
    asked = TranslateRequest.model_validate({"text": "", "n_best": count})
    translated = await translations(request, served, asked, stretches) if stretches else []
    found = iter([_versions(one, count) for one in translated])
    each = [[next(found) for _ in one.texts] for one in documents]
    versions = [
        [one.joined([stretch[number] for stretch in stretches]) for number in range(count)]
        for one, stretches in zip(documents, each, strict=True)
    ]
    answer: dict[str, list[Any]] = {"translatedText": [one[0] for one in versions]}
    if body.alternatives:
        answer["alternatives"] = [one[1:] for one in versions]
    if body.source == "auto":
        unknown = [{"language": code_of(served.languages[0]), "confidence": 0}]
        answer["detectedLanguage"] = [(_detected(pairs, text) or unknown)[0] for text in texts]
    # one text is answered by one of each, a list of texts by lists
    return {name: values[0] for name, values in answer.items()} if isinstance(body.q, str) else answer


class PlainText:
    """A text without markup: one stretch."""

    def __init__(self, document: str) -> None:
        self.texts = [document]

    def joined(self, translations: Sequence[str]) -> str:
        return translations[0]


def _versions(translation: dict[str, Any], count: int) -> list[str]:
    """So many versions of a translation, best first; its last again where it has fewer."""
    found = [one["text"] for one in (translation, *translation["alternatives"])]
    return [found[min(number, len(found) - 1)] for number in range(count)]


def _pairs(models: Models) -> Pairs:
    found: Pairs = {}
    for served in models.by_name.values():
        if "translate" in served.verbs:
            source, target = map(code_of, served.languages)
            found.setdefault((source, target), served)
    return found


def _name(pairs: Pairs, code: str) -> str:
    """The English name of a language that is served."""
    return next(name for served in pairs.values() for name in served.languages if code_of(name) == code)


def _detected(pairs: Pairs, text: str) -> list[dict[str, Any]]:
    by_source = {source: served for (source, _), served in pairs.items()}

    def pieces(code: str, text: str) -> int:
        return len(by_source[code].predictor.tokenizers["source"].encode(normalize_text(text)))

    found = detect(text, by_source, pieces)
    return [{"language": code, "confidence": confidence} for code, confidence in found]


def _pick(pairs: Pairs, body: LibreTranslateRequest, texts: Sequence[str]) -> ServedModel:
    """The model of the languages that are asked for; with "auto", of the language that the texts are likeliest in."""
    source, target = body.source.lower(), body.target.lower()
    fitting = {pair: served for pair, served in pairs.items() if pair[1] == target and source in (pair[0], "auto")}
    if not fitting:
        known = ", ".join(f"{source} to {target}" for source, target in pairs) or "none"
        raise UsageError(f"no model here translates {body.source} to {body.target}; known: {known}")
    likeliest = [one["language"] for one in _detected(fitting, " ".join(texts))]
    first = next(iter(fitting.values()))
    return fitting.get((likeliest[0], target), first) if likeliest else first


def _body_of(schema: type[BaseModel]) -> dict[str, Any]:
    """For the API's description: the body in any of the forms that are read."""
    kinds = ("application/json", URL_ENCODED, MULTIPART)
    content = {kind: {"schema": schema.model_json_schema()} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}
