"""The server's own API, /v1/…: one function for each thing that can be asked."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from sightline.errors import UsageError
from sightline.predict.streaming import Pieces
from sightline.serve import looking, requests
from sightline.serve.engine import Call, Writing, in_common
from sightline.serve.served import Models, Served
from sightline.serve.waiting import Events, as_written, beside, each_of, event, results_of


def router(models: Models) -> APIRouter:
    """All routes of /v1 that are ours alone."""
    routes = APIRouter(prefix="/v1", tags=["sightline"])

    @routes.get("/models")
    async def list_models() -> dict[str, Any]:
        """What is served, and what may be asked of it."""
        return {"object": "list", "data": [one.about() for one in models.by_name.values()]}

    @routes.get("/models/{name}")
    async def about_model(name: str) -> dict[str, Any]:
        """One of them."""
        if name not in models.by_name:
            raise models.unknown(name)
        return models.by_name[name].about()

    @routes.post("/translate")
    async def translate(request: Request, asked: requests.Translate):
        """Translations, with the probability of every token; streamed as they are written on request."""
        served = models.pick(asked.model, "translate")
        texts = requests.several(asked.text)
        if not asked.stream:
            found = await translations(request, served, asked, texts)
            return {"model": served.name, "translations": found}
        if len(texts) != 1:
            raise UsageError("stream: for one text at a time")
        (source,), (job,) = _to_translate(served, asked, texts, streamed=True)
        if job is not None:
            served.engine.submit([job])
        return Events(_translating(request, served, asked, texts[0], source, job), job)

    @routes.post("/generate")
    async def generate(request: Request, asked: requests.Generate):
        """What a language model writes after a prompt; streamed as it is written unless that is turned off."""
        served = models.pick(asked.model, "generate")
        one = Continuation(served.ready, asked.prompt, asked.max_tokens, asked.n, asked.stop, asked.options())
        alone = one.options.num_hypotheses == 1  # several would compete, or end at different times
        if asked.stream and not alone:
            raise UsageError(
                f"stream: {one.options.num_hypotheses} hypotheses cannot be shown while they are written; ask for one"
            )
        if alone if asked.stream is None else asked.stream:
            job = one.job(streamed=True)
            served.engine.submit([job])
            return Events(_generating(request, served, asked, one, job), job)
        (found,) = await results_of(request, served.engine, [one.job()])
        return await _generation(request, served, asked, one, found)

    @routes.post("/score")
    async def score(request: Request, asked: requests.Score) -> dict[str, Any]:
        """How probable texts are, token by token, or translations given their sources."""
        served = models.pick(asked.model, "score", asked.fits)
        texts = requests.several(asked.text)
        if served.task == "language":
            found = await each_of(request, served.engine, "score", served.ready.score, texts)
            return {"model": served.name, "scores": [_scored(one) for one in found]}
        targets = requests.several(asked.target or [])
        if len(targets) != len(texts):
            raise UsageError("target: give a translation for each text")

        def both(pairs: list[tuple[str, str]]) -> Sequence[Any]:
            return served.ready.score([source for source, _ in pairs], [target for _, target in pairs])

        pairs = list(zip(texts, targets, strict=True))
        found = await each_of(request, served.engine, "score", both, pairs)
        each = [
            {
                "tokens": _probable(_target_tokens(served, target), one.token_log_probabilities),
                "log_probability": _finite(one.log_probability),
                "perplexity": _finite(one.perplexity),
            }
            for (_, target), one in zip(pairs, found, strict=True)
        ]
        return {"model": served.name, "scores": each}

    @routes.post("/fill")
    async def fill(request: Request, asked: requests.Fill) -> dict[str, Any]:
        """What may stand in the blanks of a text."""
        served = models.pick(asked.model, "fill")

        def run(texts: list[str]) -> list[Any]:
            return [served.ready.fill(text, top=asked.top) for text in texts]

        (found,) = await each_of(request, served.engine, ("fill", asked.top), run, [asked.text])
        return {"model": served.name, **asdict(found)}

    @routes.post("/classify")
    async def classify(request: Request, asked: requests.Classify) -> dict[str, Any]:
        """Labels of texts, or of an image, with the probability of each class."""
        served = models.pick(asked.model, "classify", asked.fits)
        if served.task == "image_classification":
            if asked.image is None or asked.texts:
                raise UsageError("image: this model labels an image; send one in base64")
            records: list[Any] = [await looking.image(served, asked.image)]
        else:
            if asked.image is not None or not asked.texts:
                raise UsageError("texts: this model labels texts; send some")
            records = [one if isinstance(one, str) else tuple(one) for one in asked.texts]
        found = await each_of(request, served.engine, "classify", served.ready.predict, records)
        fields = ("label", "probabilities", "value")
        results = [{name: getattr(one, name) for name in fields if hasattr(one, name)} for one in found]
        return {"model": served.name, "labels": results}

    @routes.post("/tag")
    async def tag(request: Request, asked: requests.Tag) -> dict[str, Any]:
        """The spans that a tagger finds in texts."""
        served = models.pick(asked.model, "tag")
        texts = requests.several(asked.text)
        found = await each_of(request, served.engine, "tag", served.ready.tag, texts)
        return {"model": served.name, "texts": [asdict(one) for one in found]}

    @routes.post("/answer")
    async def answer(request: Request, asked: requests.Answer) -> dict[str, Any]:
        """The answer to a question, as a stretch of a text."""
        served = models.pick(asked.model, "answer")
        pair = (asked.question, asked.context)
        (found,) = await each_of(request, served.engine, "answer", served.ready.answer_each, [pair])
        return {"model": served.name, **asdict(found)}

    @routes.post("/attention")
    async def attention(request: Request, asked: requests.Look) -> dict[str, Any]:
        """Where a model looks while it reads, or while it writes a translation."""
        served = models.pick(asked.model, "attention", asked.fits)
        pixels = None if asked.image is None else await looking.image(served, asked.image)
        job = Call("attention", partial(_each, looking.look_into, served), (asked, pixels), together=1)
        (found,) = await results_of(request, served.engine, [job])
        return {"model": served.name, **found}

    return routes


class Continuation:
    """A prompt to be gone on from: how it is read, searched and told."""

    def __init__(
        self, model: Any, prompt: str, max_tokens: int, n: int, stop: str | Sequence[str], changes: dict[str, Any]
    ) -> None:
        """Raises UsageError for a prompt that cannot be read, or options that contradict each other."""
        self.model, self.prompt = model, prompt
        self.stop = [stop] if isinstance(stop, str) else list(stop)
        self.options = model.options(max_tokens, n, **changes)
        if self.options.beam > requests.MOST_BEAM:
            raise UsageError(f"beam: at most {requests.MOST_BEAM} here, not {self.options.beam}")
        self.read = model.encode_prompt(prompt)

    def job(self, streamed: bool = False) -> Writing:
        sentence = self.model.make_request(self.read, self.options, self.stop)
        return Writing(in_common(self.options), sentence, self.options.num_hypotheses, streamed=streamed)

    def pieces(self) -> Pieces:
        return self.model.pieces(self.read, self.stop)

    def record(self, hypotheses: Any) -> Any:
        return self.model.generation(self.prompt, self.read, hypotheses, self.stop)


async def _generating(
    request: Request, served: Served, asked: requests.Generate, one: Continuation, job: Writing
) -> AsyncIterator[str]:
    pieces = one.pieces()
    async for tokens in as_written(job):
        if piece := pieces.more(tokens):
            yield event({"piece": piece})
    found = await job.done
    whole = await _generation(request, served, asked, one, found)
    if rest := pieces.rest(whole["text"]):
        yield event({"piece": rest})
    yield event({"done": whole})


async def _generation(
    request: Request, served: Served, asked: requests.Generate, one: Continuation, hypotheses: Any
) -> dict[str, Any]:
    record = one.record(hypotheses)
    whole = {"model": served.name, "prompt": asked.prompt, **_written(record)}
    whole["alternatives"] = [_written(other) for other in record.alternatives]
    if asked.candidates and whole["tokens"]:
        given = (one.read, list(hypotheses[0].tokens), len(whole["tokens"]), asked.candidates)
        run = partial(_each, looking.beside_continuation, served)
        whole |= await beside(request, served.engine, "candidates", run, given)
    return whole


async def translations(
    request: Request, served: Served, asked: requests.Translate, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """The translation of each text; nothing is made of nothing."""
    sources, jobs = _to_translate(served, asked, texts)
    found = iter(await results_of(request, served.engine, [job for job in jobs if job is not None]))
    results = [None if job is None else next(found) for job in jobs]
    return [await _translation(request, served, asked, *one) for one in zip(texts, sources, results, strict=True)]


def _to_translate(
    served: Served, asked: requests.Translate, texts: Sequence[str], streamed: bool = False
) -> tuple[list[list[int]], list[Writing | None]]:
    model: Any = served.ready
    changes = {"n_best": asked.n_best} | ({} if asked.beam is None else {"beam": asked.beam})
    options = model.settings.search.with_changes(**changes)
    sources = [model.encode_source(text) for text in texts]
    key = in_common(options)
    jobs = [
        Writing(key, model.make_request(source, options, asked.prefix), options.num_hypotheses, source, streamed)
        if source
        else None
        for source in sources
    ]
    return sources, jobs


async def _translating(
    request: Request, served: Served, asked: requests.Translate, text: str, source: list[int], job: Writing | None
) -> AsyncIterator[str]:
    found = None
    if job is not None:
        async for tokens in as_written(job):
            yield event({"text": served.ready.tokenizers["target"].decode(tokens)})
        found = await job.done
    yield event({"done": {"model": served.name, **await _translation(request, served, asked, text, source, found)}})


async def _translation(
    request: Request, served: Served, asked: requests.Translate, text: str, source: list[int], hypotheses: Any
) -> dict[str, Any]:
    if hypotheses is None:
        return {"source": text, "text": "", "tokens": [], "alternatives": [], "finished": True}
    record = served.ready.translation(text, source, hypotheses)  # pyright: ignore
    whole = {"source": text, **_written(record)}
    whole["alternatives"] = [_written(other) for other in record.alternatives]
    if asked.attention or asked.candidates:
        # an end that was not written has no place to stand
        written = list(hypotheses[0].tokens)
        given = (source, written, len(whole["tokens"]), asked.candidates, asked.attention)
        run = partial(_each, looking.beside_translation, served)
        whole |= await beside(request, served.engine, "beside", run, given)
    return whole


def _each(function: Any, served: Served, given: list[Any]) -> list[Any]:
    """A function of one input as one of a list."""
    return [function(served, one) for one in given]


def _written(record: Any) -> dict[str, Any]:
    """A translation or continuation: its text, and how sure the model was of each token."""
    tokens = [*record.tokens, *(["</s>"] if len(record.token_log_probabilities) > len(record.tokens) else [])]
    return {
        "text": record.text,
        "tokens": _probable(tokens, record.token_log_probabilities),
        "log_probability": _finite(record.log_probability),
        "finished": record.finished,
    }


def _probable(tokens: Sequence[str], log_probabilities: Sequence[float | None]) -> list[dict[str, Any]]:
    return [
        {"token": token, "log_probability": None if one is None else _finite(one)}
        for token, one in zip(tokens, log_probabilities, strict=True)
    ]


def _target_tokens(served: Served, target: str) -> list[str]:
    tokenizer = served.ready.tokenizers["target"]
    return [*tokenizer.tokens(tokenizer.encode(target)), tokenizer.END]


def _scored(one: Any) -> dict[str, Any]:
    names = ("log_probability", "perplexity", "word_perplexity", "bits_per_byte", "bits_per_character")
    return {
        "tokens": _probable(one.tokens, one.token_log_probabilities),
        **{name: _finite(getattr(one, name)) for name in names},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
