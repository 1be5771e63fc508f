"""The interface of OpenAI's completions, for clients that exist for it."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request

from sightline.errors import UsageError
from sightline.jsonio import finite
from sightline.serve.api import Continuation
from sightline.serve.errors import RESPONSES, streamed
from sightline.serve.jobs import SearchJob
from sightline.serve.requests import CompletionRequest, as_list
from sightline.serve.responses import EventStream, client_of, event, partial_outputs, results_of
from sightline.serve.served import Models, ServedModel


def router(models: Models) -> APIRouter:
    """`/v1/completions`, as OpenAI's clients ask for it."""
    routes = APIRouter(tags=["OpenAI"], responses=RESPONSES)

    @routes.post("/v1/completions", responses=streamed("The texts; or, on request, events: see `stream`"))
    async def complete(request: Request, body: CompletionRequest):
        """What a language model writes after one prompt or several."""
        served = models.pick(body.model, "generate")
        for name, allowed in (("suffix", (None, "")), ("best_of", (None, 1)), ("presence_penalty", (None, 0)),
                              ("frequency_penalty", (None, 0)), ("logit_bias", (None, {}))):  # fmt: skip
            if getattr(body, name) not in allowed:
                raise UsageError(f"{name}: not supported")
        ongoing = [_continuation(served, body, prompt) for prompt in as_list(body.prompt)]
        about = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }
        if body.logprobs is not None and (body.stream or body.echo):
            raise UsageError("logprobs: not together with stream or echo")
        if body.stream:
            if len(ongoing) > 1 or (body.n or 1) > 1:
                raise UsageError("stream: one prompt and n = 1 at a time")
            job = ongoing[0].job(streamed=True)
            served.engine.submit([job], client_of(request))
            return EventStream(_stream(ongoing[0], job, about, body), [job])
        found = await results_of(request, served.engine, [one.job() for one in ongoing])
        records = [one.record(hypotheses) for one, hypotheses in zip(ongoing, found, strict=True)]
        written = [one for record in records for one in (record, *record.alternatives)]
        read = sum(len(one.read) for one in ongoing)
        count = sum(len(one.tokens) for one in written)
        return {
            **about,
            "choices": [_choice(number, one, body) for number, one in enumerate(written)],
            "usage": {"prompt_tokens": read, "completion_tokens": count, "total_tokens": read + count},
        }

    return routes


def _continuation(served: ServedModel, body: CompletionRequest, prompt: str) -> Continuation:
    changes = {
        "strategy": "sample",
        "temperature": 1.0 if body.temperature is None else body.temperature,
        # a share of 0 is as good as the likeliest token alone
        "top_p": 1.0 if body.top_p is None else max(body.top_p, 1e-6),
        "seed": uuid.uuid4().int % 2**31 if body.seed is None else body.seed,
    }
    stop = [one for one in as_list(body.stop or []) if one]
    return Continuation(served.predictor, prompt, body.max_tokens or 16, body.n or 1, stop, changes)


def _choice(number: int, record: Any, body: CompletionRequest) -> dict[str, Any]:
    logprobs = None
    if body.logprobs is not None:
        each = finite(record.token_log_probabilities[: len(record.tokens)])
        logprobs = {"tokens": record.tokens, "token_logprobs": each, "top_logprobs": None, "text_offset": None}
    text = (record.prompt if body.echo else "") + record.text
    reason = "stop" if record.finished else "length"
    return {"index": number, "text": text, "finish_reason": reason, "logprobs": logprobs}


async def _stream(one: Continuation, job: SearchJob, about: dict, body: CompletionRequest) -> AsyncIterator[str]:
    pieces = one.pieces()

    def part(text: str, reason: str | None = None) -> str:
        return event({**about, "choices": [{"index": 0, "text": text, "finish_reason": reason, "logprobs": None}]})

    if body.echo:
        yield part(one.prompt)
    async for tokens in partial_outputs(job):
        if piece := pieces.more(tokens):
            yield part(piece)
    record = one.record(await job.result)
    yield part(pieces.rest(record.text), "stop" if record.finished else "length")
    yield "data: [DONE]\n\n"
