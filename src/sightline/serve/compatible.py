"""Two interfaces that clients exist for: OpenAI's completions and LibreTranslate's translations."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from sightline.data.sentences import split_sentences
from sightline.errors import UsageError
from sightline.serve.api import Continuation, translations
from sightline.serve.engine import Writing
from sightline.serve.requests import MOST_TEXTS, Completion, LibreTranslate, Translate, several
from sightline.serve.served import Models, Served
from sightline.serve.waiting import Events, as_written, event, results_of

COLD = 1e-4  # a temperature at which nothing but the likeliest token is drawn
CODES = {
    "arabic": "ar", "chinese": "zh", "english": "en", "french": "fr", "german": "de", "hebrew": "he", "hindi": "hi",
    "italian": "it", "japanese": "ja", "korean": "ko", "portuguese": "pt", "russian": "ru", "spanish": "es",
    "turkish": "tr", "vietnamese": "vi",
}  # fmt: skip


def completions(models: Models) -> APIRouter:
    """`/v1/completions`, as OpenAI's clients ask for it."""
    routes = APIRouter(tags=["OpenAI"])

    @routes.post("/v1/completions")
    async def complete(request: Request, asked: Completion):
        """What a language model writes after one prompt or several."""
        served = models.pick(asked.model, "generate")
        for name, allowed in (("suffix", (None, "")), ("best_of", (None, 1)), ("presence_penalty", (None, 0)),
                              ("frequency_penalty", (None, 0)), ("logit_bias", (None, {}))):  # fmt: skip
            if getattr(asked, name) not in allowed:
                raise UsageError(f"{name}: not supported")
        ongoing = [_continuation(served, asked, prompt) for prompt in several(asked.prompt)]
        about = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }
        if asked.logprobs is not None and (asked.stream or asked.echo):
            raise UsageError("logprobs: not together with stream or echo")
        if asked.stream:
            if len(ongoing) > 1 or (asked.n or 1) > 1:
                raise UsageError("stream: one prompt and n = 1 at a time")
            job = ongoing[0].job(streamed=True)
            served.engine.submit([job])
            return Events(_streamed(ongoing[0], job, about, asked), job)
        found = await results_of(request, served.engine, [one.job() for one in ongoing])
        records = [one.record(hypotheses) for one, hypotheses in zip(ongoing, found, strict=True)]
        written = [one for record in records for one in (record, *record.alternatives)]
        read = sum(len(one.read) for one in ongoing)
        count = sum(len(one.tokens) for one in written)
        return {
            **about,
            "choices": [_choice(number, one, asked) for number, one in enumerate(written)],
            "usage": {"prompt_tokens": read, "completion_tokens": count, "total_tokens": read + count},
        }

    return routes


def _continuation(served: Served, asked: Completion, prompt: str) -> Continuation:
    count = asked.n or 1
    temperature = 1.0 if asked.temperature is None else asked.temperature
    if temperature < COLD and count == 1:
        changes: dict[str, Any] = {"beam": 1}
    else:
        # a share of 0 is as good as the likeliest token alone
        top_p = 1.0 if asked.top_p is None else max(asked.top_p, 1e-6)
        changes = {"strategy": "sample", "temperature": max(temperature, COLD), "top_p": top_p}
    changes["seed"] = uuid.uuid4().int % 2**31 if asked.seed is None else asked.seed
    stop = [one for one in several(asked.stop or []) if one]
    return Continuation(served.ready, prompt, asked.max_tokens or 16, count, stop, changes)


def _choice(number: int, record: Any, asked: Completion) -> dict[str, Any]:
    logprobs = None
    if asked.logprobs is not None:
        each = [one if math.isfinite(one) else None for one in record.token_log_probabilities[: len(record.tokens)]]
        logprobs = {"tokens": record.tokens, "token_logprobs": each, "top_logprobs": None, "text_offset": None}
    text = (record.prompt if asked.echo else "") + record.text
    reason = "stop" if record.finished else "length"
    return {"index": number, "text": text, "finish_reason": reason, "logprobs": logprobs}


async def _streamed(one: Continuation, job: Writing, about: dict, asked: Completion) -> AsyncIterator[str]:
    pieces = one.pieces()

    def part(text: str, reason: str | None = None) -> str:
        return event({**about, "choices": [{"index": 0, "text": text, "finish_reason": reason, "logprobs": None}]})

    if asked.echo:
        yield part(one.prompt)
    async for tokens in as_written(job):
        if piece := pieces.more(tokens):
            yield part(piece)
    record = one.record(await job.done)
    yield part(pieces.rest(record.text), "stop" if record.finished else "length")
    yield "data: [DONE]\n\n"


def libre_translate(models: Models) -> APIRouter:
    """`/translate` and `/languages`, as LibreTranslate's clients ask for them."""
    routes = APIRouter(tags=["LibreTranslate"])

    def pairs() -> dict[tuple[str, str], Served]:
        found: dict[tuple[str, str], Served] = {}
        for served in models.by_name.values():
            if "translate" in served.verbs:
                source, target = map(code_of, served.languages)
                found.setdefault((source, target), served)
        return found

    @routes.get("/languages")
    async def languages() -> list[dict[str, Any]]:
        """The languages that are translated from, and into which."""
        by_source: dict[str, list[str]] = {}
        names: dict[str, str] = {}
        for (source, target), served in pairs().items():
            by_source.setdefault(source, []).append(target)
            names[source] = served.languages[0]
        return [{"code": code, "name": names[code], "targets": targets} for code, targets in by_source.items()]

    @routes.post(
        "/translate",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    kind: {"schema": LibreTranslate.model_json_schema()}
                    for kind in ("application/json", "application/x-www-form-urlencoded")
                },
            }
        },
    )
    async def translate(request: Request):
        """Translations of texts of any number of sentences, each sentence on its own."""
        try:
            asked = await _libre_request(request)
            if asked.format != "text":
                raise UsageError("format: only text is translated")
            served = _fitting(pairs(), asked)
            found = await _whole(request, served, several(asked.q), asked.alternatives)
        except UsageError as error:
            return JSONResponse({"error": str(error)}, 400)
        told: dict[str, list[Any]] = {"translatedText": [one[0] for one in found]}
        if asked.alternatives:
            told["alternatives"] = [one[1:] for one in found]
        if asked.source == "auto":
            told["detectedLanguage"] = [{"language": code_of(served.languages[0]), "confidence": 0}] * len(found)
        # one text is answered by one of each, a list of texts by lists
        return {name: values[0] for name, values in told.items()} if isinstance(asked.q, str) else told

    return routes


def code_of(language: str) -> str:
    """The ISO 639-1 code of a language's English name; the name itself, in small letters, where it is not known."""
    return CODES.get(language.lower(), language.lower())


async def _libre_request(request: Request) -> LibreTranslate:
    """The request, from JSON or a form. Raises UsageError for one that is neither, or lacks something."""
    try:
        if "json" in request.headers.get("content-type", ""):
            return LibreTranslate.model_validate(await request.json())
        fields = parse_qs(
            (await request.body()).decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_TEXTS + 20
        )
        values = {name: given if name == "q" and len(given) > 1 else given[0] for name, given in fields.items()}
        return LibreTranslate.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "body"
        raise UsageError(f"{place}: {problem['msg'].lower()}") from None
    except (ValueError, RecursionError):
        raise UsageError("body: neither JSON nor a form in UTF-8") from None


def _fitting(pairs: dict[tuple[str, str], Served], asked: LibreTranslate) -> Served:
    for (source, target), served in pairs.items():
        if asked.target.lower() == target and asked.source.lower() in (source, "auto"):
            return served
    known = ", ".join(f"{source} to {target}" for source, target in pairs) or "none"
    raise UsageError(f"no model here translates {asked.source} to {asked.target}; known: {known}")


async def _whole(request: Request, served: Served, texts: list[str], alternatives: int) -> list[list[str]]:
    """Each text and its alternatives, line by line and sentence by sentence; what stands between lines stays."""
    lines = [[split_sentences(line) for line in text.split("\n")] for text in texts]
    sentences = [one for text in lines for line in text for one in line]
    if len(sentences) > MOST_TEXTS:
        raise UsageError(f"q: {len(sentences)} sentences; at most {MOST_TEXTS}")
    asked = Translate.model_validate({"text": "", "n_best": alternatives + 1})
    found = iter(await translations(request, served, asked, sentences) if sentences else [])
    # of each sentence all translations, best first
    each = [[[_texts_of(next(found)) for _ in line] for line in text] for text in lines]

    def joined(text: list[list[list[str]]], number: int) -> str:
        """With the translation of this number of every sentence that has as many, else its last."""
        return "\n".join(" ".join(one[min(number, len(one) - 1)] for one in line) for line in text)

    return [[joined(text, number) for number in range(alternatives + 1)] for text in each]


def _texts_of(translation: dict[str, Any]) -> list[str]:
    return [one["text"] for one in (translation, *translation["alternatives"])]
