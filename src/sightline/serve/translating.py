"""Texts translated sentence by sentence: the searches of a request, their answers, and what is told meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from typing import Any, Self, TypeVar

from fastapi import Request
from pydantic import BaseModel, Field

from sightline.data.splitting import Passage
from sightline.errors import UsageError
from sightline.jsonio import finite
from sightline.predict.confidence import require_confidence
from sightline.serve import looking, requests
from sightline.serve.jobs import CallJob, Job, SearchJob
from sightline.serve.responses import EventStream, client_of, event, partial_outputs, results_of
from sightline.serve.served import ServedModel

MAX_SENTENCES = 512  # of a request

T = TypeVar("T")


class TokenAnswer(BaseModel):
    token: str
    log_probability: float | None = Field(description="ln p of it, in nats; null where that is no number")


class VersionAnswer(BaseModel):
    """One translation of a text, as the API describes it."""

    text: str = Field(description="the translation; between sentences stands what stood in the source")
    tokens: list[TokenAnswer] = Field(description="its pieces; each sentence ends with </s> where the model ended it")
    log_probability: float | None = Field(
        None, description="ln p of the whole, the sum over all sentences; missing where the text is blank"
    )
    finished: bool = Field(description="whether the model ended all of it; false where a limit did")
    confidence: float | None = Field(
        None,
        description="on request, the probability that it is acceptable; of several sentences that of the least sure",
    )


class SentenceAnswer(VersionAnswer):
    """The translation of one sentence; with what it looked at and what else might stand there, where asked for."""

    source: str
    alternatives: list[VersionAnswer]
    candidates: list[list[dict[str, Any]]] | None = Field(
        None, description="on request, of one sentence: the likeliest tokens at each place"
    )
    offsets: list[int] | None = Field(None, description="with candidates: where each place begins in `text`")
    attention: dict[str, Any] | None = Field(
        None, description="on request, of one sentence: weights (target, source), and both sides"
    )


class TranslationAnswer(SentenceAnswer):
    """The translation of one text."""

    sentences: list[SentenceAnswer] = Field(
        description="of a text of several sentences the translation of each, with its own source, alternatives, "
        "candidates and attention; empty where the text is one sentence"
    )


class TranslateAnswer(BaseModel):
    model: str
    translations: list[TranslationAnswer] = Field(description="one for each text")


@dataclass(frozen=True)
class _Task:
    """A text that is to be translated: its sentences, their token ids, and the search of each that is not blank."""

    text: str
    passage: Passage
    sources: list[list[int]]
    jobs: list[SearchJob | None]

    @classmethod
    def of(cls, served: ServedModel, body: requests.TranslateRequest, text: str, streamed: bool = False) -> Self:
        model: Any = served.predictor
        changes = {"n_best": body.n_best} | ({} if body.beam is None else {"beam": body.beam})
        wanted = model.settings.search.with_changes(**changes)

        def job(number: int, source: list[int]) -> SearchJob:
            options = requests.within_limits(wanted, len(source))
            request = model.make_request(source, options, None if number else body.prefix)
            return SearchJob(options=options, request=request, source=source, streamed=streamed)

        passage = Passage.of(text, split=body.split)
        sources = [model.encode_source(one) for one in passage.sentences]
        return cls(text, passage, sources, [job(number, one) if one else None for number, one in enumerate(sources)])


async def translations(
    request: Request, served: ServedModel, body: requests.TranslateRequest, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """The translation of each text; nothing is made of nothing."""
    tasks = _tasks(served, body, texts)
    await _computed(request, served, [job for task in tasks for job in _searched(task.jobs)])
    return await _answers(request, served, body, tasks)


def stream(request: Request, served: ServedModel, body: requests.TranslateRequest, text: str) -> EventStream:
    """The events of one text: all of its translation so far, and then the whole answer."""
    (task,) = _tasks(served, body, [text], streamed=True)
    portions = list(_portions(served, task.jobs))
    served.engine.submit(_searched(portions[0]), client_of(request))
    return EventStream(_events(request, served, body, task, portions), _searched(task.jobs))


def _tasks(
    served: ServedModel, body: requests.TranslateRequest, texts: Sequence[str], streamed: bool = False
) -> list[_Task]:
    count = sum(len(Passage.of(text, split=body.split).sentences) for text in texts)
    if count > MAX_SENTENCES:
        raise UsageError(f"{count:,} sentences; at most {MAX_SENTENCES} in a request, send the rest in another")
    if body.confidence:
        model: Any = served.predictor
        require_confidence(model.confidence, served.name)
    return [_Task.of(served, body, text, streamed) for text in texts]


def _portions(served: ServedModel, jobs: Sequence[T]) -> Iterator[Sequence[T]]:
    """So many jobs at a time as the engine takes at once, and as leave others a place."""
    size = min(requests.MAX_TEXTS, served.engine.capacity)
    return (jobs[start : start + size] for start in range(0, len(jobs), size))


def _searched(jobs: Sequence[SearchJob | None]) -> list[SearchJob]:
    return [job for job in jobs if job is not None]


async def _computed(
    request: Request, served: ServedModel, jobs: Sequence[Job], *, continues: bool = False
) -> list[Any]:
    """The results of jobs, portion after portion."""
    found: list[Any] = []
    for some in _portions(served, jobs):
        found += await results_of(request, served.engine, some, continues=continues or bool(found))
    return found


async def _events(
    request: Request,
    served: ServedModel,
    body: requests.TranslateRequest,
    task: _Task,
    portions: Sequence[Sequence[SearchJob | None]],
) -> AsyncIterator[str]:
    """Sentence after sentence; those that come later are computed at the same time. The first portion is submitted."""
    decode = served.predictor.tokenizers["target"].decode
    written: list[str] = []
    for number, portion in enumerate(portions):
        if number:
            served.engine.submit(_searched(portion), client_of(request), continues=True)
        for job in portion:
            if job is None:
                written.append("")
                continue
            async for tokens in partial_outputs(job):
                yield event(_so_far(task.passage, [*written, decode(tokens)]))
            written.append(decode((await job.result)[0].tokens))
    (whole,) = await _answers(request, served, body, [task])
    yield event({"done": {"model": served.name, **whole}})


def _so_far(passage: Passage, texts: list[str]) -> dict[str, Any]:
    several = {"sentences": texts} if len(passage.sentences) > 1 else {}
    return {"text": passage.joined(texts), **several}


async def _answers(
    request: Request, served: ServedModel, body: requests.TranslateRequest, tasks: Sequence[_Task]
) -> list[dict[str, Any]]:
    """The answer for each text, whose searches have ended."""
    jobs = [job for task in tasks for job in _searched(task.jobs)]
    explained: Iterator[dict[str, Any]] = iter([{}] * len(jobs))
    if body.attention or body.candidates:
        function = partial(_each, looking.explain_translation, served)
        explanations = [_explanation(job, body, function) for job in jobs]
        explained = iter(await _computed(request, served, explanations, continues=True))
    sure: Iterator[list[float]] = iter([[]] * len(jobs))
    if body.confidence:
        sure = iter(await _computed(request, served, list(map(_confidences, jobs, repeat(served))), continues=True))
    model: Any = served.predictor
    answers: list[dict[str, Any]] = []
    for task in tasks:
        each = zip(task.passage.sentences, task.sources, task.jobs, strict=True)
        records = [
            model.translation(one, source, [])
            if job is None
            else model.translation(one, source, job.result.result(), confidences=next(sure))
            for one, source, job in each
        ]
        more = [{} if job is None else next(explained) for job in task.jobs]
        answers.append(_answer(model.whole(task.text, task.passage, records), more))
    return answers


def _explanation(job: SearchJob, body: requests.TranslateRequest, function: Any) -> CallJob:
    best = job.result.result()[0]
    written = list(best.tokens)
    # an end that was not written has no place to stand
    places = len(best.token_log_probabilities)
    given = (list(job.source), written, places, body.candidates, body.attention)
    return CallJob(key="explain", function=function, argument=given, tokens=len(job.source) + len(written))


def _confidences(job: SearchJob, served: ServedModel) -> CallJob:
    """How sure one can be of each hypothesis of a search that has ended."""
    found = [(job.source, one) for one in job.result.result()]
    tokens = sum(len(source) + len(one.tokens) for source, one in found)
    return CallJob(key="confidence", function=partial(_confidences_of, served), argument=found, tokens=tokens)


def _confidences_of(served: ServedModel, each: list[list[tuple[Any, Any]]]) -> list[list[float]]:
    model: Any = served.predictor
    found = iter(model.confidences([one for some in each for one in some]))
    return [list(islice(found, len(some))) for some in each]


def _answer(record: Any, explained: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A text's translation as the API gives it; `explained` is of each of its sentences."""
    if not record.token_log_probabilities:  # of a blank text
        return {
            "source": record.source,
            "text": "",
            "tokens": [],
            "alternatives": [],
            "finished": True,
            "sentences": [],
        }
    whole = {"source": record.source, **_written(record)}
    whole["alternatives"] = [_written(other) for other in record.alternatives]
    if not record.sentences:
        return {**whole, "sentences": [], **explained[0]}
    whole["sentences"] = [_sentence(one, more) for one, more in zip(record.sentences, explained, strict=True)]
    return whole


def _sentence(record: Any, explained: dict[str, Any]) -> dict[str, Any]:
    alternatives = [looking.written(other) for other in record.alternatives]
    return {"source": record.source, **looking.written(record), "alternatives": alternatives, **explained}


def _written(record: Any) -> dict[str, Any]:
    """A translation as plain values; the tokens of several sentences follow each other."""
    if not record.sentences:
        return looking.written(record)
    tokens = [token for one in record.sentences for token in looking.written(one)["tokens"]]
    values = {"log_probability": finite(record.log_probability), "finished": record.finished}
    return {"text": record.text, "tokens": tokens, **values, **looking.confidence(record)}


def _each(function: Any, served: ServedModel, given: list[Any]) -> list[Any]:
    """A function of one input as one of a list."""
    return [function(served, one) for one in given]
