"""The server's own API, /v1/…: one function for each thing that can be body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from sightline.errors import UsageError
from sightline.jsonio import finite
from sightline.predict.confidence import require_confidence
from sightline.predict.streaming import Pieces
from sightline.serve import inside, looking, requests, translating
from sightline.serve.errors import RESPONSES, streamed
from sightline.serve.jobs import CallJob, Job, SearchJob, StepwiseJob
from sightline.serve.responses import (
    EventStream,
    calls,
    client_of,
    event,
    partial_outputs,
    results_of,
    text_tokens,
)
from sightline.serve.served import Models, ServedModel

IMAGE_TOKENS = 256  # about as many patches as an image has


def router(models: Models) -> APIRouter:
    """All routes of /v1 that are ours alone."""
    routes = APIRouter(prefix="/v1", tags=["sightline"], responses=RESPONSES)

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

    @routes.post(
        "/translate",
        responses=streamed("The translations; or, on request, events: see `stream`", translating.TranslateAnswer),
    )
    async def translate(request: Request, body: requests.TranslateRequest):
        """Translations of texts of any number of sentences, each sentence on its own, with the probability of every
        token; streamed as they are written on request."""
        served = models.pick(body.model, "translate")
        texts = requests.as_list(body.text)
        if not body.stream:
            found = await translating.translations(request, served, body, texts)
            return {"model": served.name, "translations": found}
        if len(texts) != 1:
            raise UsageError("stream: for one text at a time")
        return translating.stream(request, served, body, texts[0])

    @routes.post("/generate", responses=streamed("The text; or, where one is written, events: see `stream`"))
    async def generate(request: Request, body: requests.GenerateRequest):
        """What a language model writes after a prompt; streamed as it is written unless that is turned off."""
        served = models.pick(body.model, "generate")
        if body.confidence:
            require_confidence(served.predictor.confidence, served.name)
        one = Continuation(served.predictor, body.prompt, body.max_tokens, body.n, body.stop, body.options())
        alone = one.options.num_hypotheses == 1  # several would compete, or end at different times
        if body.stream and not alone:
            raise UsageError(
                f"stream: {one.options.num_hypotheses} hypotheses cannot be shown while they are written; ask for one"
            )
        if alone if body.stream is None else body.stream:
            job = one.job(streamed=True)
            served.engine.submit([job], client_of(request))
            return EventStream(_stream_generation(request, served, body, one, job), [job])
        (found,) = await results_of(request, served.engine, [one.job()])
        return await _generation(request, served, body, one, found)

    @routes.post("/score")
    async def score(request: Request, body: requests.ScoreRequest) -> dict[str, Any]:
        """How probable texts are, token by token, or translations given their sources."""
        served = models.pick(body.model, "score", body.fits)
        texts = requests.as_list(body.text)
        if not served.predictor.scores_pairs:
            if body.target is not None:
                raise UsageError(f"target: {served.name} scores texts, not translations; leave it out")
            found = await results_of(request, served.engine, _score_jobs(served, texts))
            return {"model": served.name, "scores": [_scored(one) for one in found]}
        targets = requests.as_list(body.target or [])
        if len(targets) != len(texts):
            raise UsageError("target: give a translation for each text")

        def both(pairs: list[tuple[str, str]]) -> Sequence[Any]:
            return served.predictor.score([source for source, _ in pairs], [target for _, target in pairs])

        pairs = list(zip(texts, targets, strict=True))
        tokens = [text_tokens(*pair) for pair in pairs]
        found = await results_of(request, served.engine, calls("score", both, pairs, tokens))
        each = [
            {
                "tokens": looking.probable(_target_tokens(served, target), one.token_log_probabilities),
                "log_probability": finite(one.log_probability),
                "perplexity": finite(one.perplexity),
            }
            for (_, target), one in zip(pairs, found, strict=True)
        ]
        return {"model": served.name, "scores": each}

    @routes.post("/fill")
    async def fill(request: Request, body: requests.FillRequest) -> dict[str, Any]:
        """What may stand in the blanks of a text."""
        served = models.pick(body.model, "fill")

        def run(texts: list[str]) -> list[Any]:
            return [served.predictor.fill(text, top=body.top) for text in texts]

        jobs = calls(("fill", body.top), run, [body.text], [text_tokens(body.text)])
        (found,) = await results_of(request, served.engine, jobs)
        return {"model": served.name, **asdict(found)}

    @routes.post("/classify")
    async def classify(request: Request, body: requests.ClassifyRequest) -> dict[str, Any]:
        """Labels of texts, or of an image, with the probability of each class."""
        served = models.pick(body.model, "classify", body.fits)
        if served.predictor.reads_images:
            if body.image is None or body.texts:
                raise UsageError("image: this model labels an image; send one in base64")
            records: list[Any] = [await looking.image(served, body.image)]
            tokens = [IMAGE_TOKENS]
        else:
            if body.image is not None or not body.texts:
                raise UsageError("texts: this model labels texts; send some")
            records = [one if isinstance(one, str) else tuple(one) for one in body.texts]
            tokens = [text_tokens(*requests.as_list(one)) for one in body.texts]
        jobs = calls("classify", served.predictor.predict, records, tokens)
        found = await results_of(request, served.engine, jobs)
        results = [{name: value for name, value in asdict(one).items() if name != "texts"} for one in found]
        return {"model": served.name, "labels": results}

    @routes.post("/predict")
    async def predict(request: Request, body: requests.PredictRequest) -> dict[str, Any]:
        """What a model of a user's own task makes of inputs; its fields are the task's, `text` says it in words."""
        served = models.pick(body.model, "predict")
        jobs = calls("predict", served.predictor.predict, body.inputs, [text_tokens(one) for one in body.inputs])
        found = await results_of(request, served.engine, jobs)
        return {"model": served.name, "predictions": [{**asdict(one), "text": str(one)} for one in found]}

    @routes.post("/tag")
    async def tag(request: Request, body: requests.TagRequest) -> dict[str, Any]:
        """The spans that a tagger finds in texts."""
        served = models.pick(body.model, "tag")
        texts = requests.as_list(body.text)
        jobs = calls("tag", served.predictor.tag, texts, [text_tokens(text) for text in texts])
        found = await results_of(request, served.engine, jobs)
        return {"model": served.name, "texts": [asdict(one) for one in found]}

    @routes.post("/answer")
    async def answer(request: Request, body: requests.AnswerRequest) -> dict[str, Any]:
        """The answer to a question, as a stretch of a text."""
        served = models.pick(body.model, "answer")
        pair = (body.question, body.context)
        jobs = calls("answer", served.predictor.answer_each, [pair], [text_tokens(*pair)])
        (found,) = await results_of(request, served.engine, jobs)
        return {"model": served.name, **asdict(found)}

    @routes.post("/attention")
    async def attention(request: Request, body: requests.AttentionRequest) -> dict[str, Any]:
        """Where a model looks while it reads, or while it writes a translation."""
        served = models.pick(body.model, "attention", body.fits)
        pixels = None if body.image is None else await looking.image(served, body.image)
        passes = looking.MAX_CHECKED if body.check else 1
        job = CallJob(
            key="attention",
            function=partial(_each, looking.attention_of, served),
            argument=(body, pixels),
            batch_size=1,
            tokens=passes * text_tokens(*requests.as_list(body.text or "")),
        )
        (found,) = await results_of(request, served.engine, [job])
        return {"model": served.name, **found}

    @routes.post("/look")
    async def look(request: Request, body: requests.LookRequest) -> dict[str, Any]:
        """What else is inside: `gates`, `belt`, `states`, `gradients`, `positions`, `masks`, `residual`, `norms`,
        `lens`; `heads` by what is lost without them; `steps` of what is written; `page`, all attention as HTML."""
        served = models.pick(body.model, "attention", body.fits)
        pixels = None if body.image is None else await looking.image(served, body.image)
        job = CallJob(
            key="look",
            function=partial(_each, inside.look_of, served),
            argument=(body, pixels),
            batch_size=1,
            tokens=inside.passes_of(body) * text_tokens(*requests.as_list(body.text or "")),
        )
        (found,) = await results_of(request, served.engine, [job])
        return {"model": served.name, **found}

    return routes


class Continuation:
    """The continuation of a prompt: how it is encoded, searched and decoded."""

    def __init__(
        self, model: Any, prompt: str, max_tokens: int, n: int, stop: str | Sequence[str], changes: dict[str, Any]
    ) -> None:
        """Raises UsageError for a prompt that cannot be read, or options that contradict each other."""
        self.model, self.prompt = model, prompt
        self.stop = model.stop_strings(stop)
        self.options = requests.within_limits(model.options(max_tokens, n, **changes))
        self.read = model.encode_prompt(prompt)

    def job(self, streamed: bool = False) -> SearchJob:
        request = self.model.make_request(self.read, self.options, self.stop)
        return SearchJob(options=self.options, request=request, streamed=streamed)

    def pieces(self) -> Pieces:
        return self.model.pieces(self.read, self.stop)

    def record(self, hypotheses: Any, confidence: bool = False) -> Any:
        sure = self.model.confidences(self.read, hypotheses) if confidence else ()
        return self.model.generation(self.prompt, self.read, hypotheses, self.stop, sure)


async def _stream_generation(
    request: Request, served: ServedModel, body: requests.GenerateRequest, one: Continuation, job: SearchJob
) -> AsyncIterator[str]:
    pieces = one.pieces()
    async for tokens in partial_outputs(job):
        if piece := pieces.more(tokens):
            yield event({"piece": piece})
    found = await job.result
    whole = await _generation(request, served, body, one, found)
    if rest := pieces.rest(whole["text"]):
        yield event({"piece": rest})
    yield event({"done": whole})


async def _generation(
    request: Request, served: ServedModel, body: requests.GenerateRequest, one: Continuation, hypotheses: Any
) -> dict[str, Any]:
    record = one.record(hypotheses, body.confidence)
    whole = {"model": served.name, "prompt": body.prompt, **looking.written(record)}
    whole["alternatives"] = [looking.written(other) for other in record.alternatives]
    whole["note"] = record.note
    if body.candidates and whole["tokens"]:
        given = (one.read, list(hypotheses[0].tokens), len(whole["tokens"]), body.candidates)
        function = partial(_each, looking.explain_continuation, served)
        job = CallJob(key="candidates", function=function, argument=given, tokens=len(one.read) + len(whole["tokens"]))
        whole |= (await results_of(request, served.engine, [job], continues=True))[0]
    return whole


def _each(function: Any, served: ServedModel, given: list[Any]) -> list[Any]:
    """A function of one input as one of a list."""
    return [function(served, one) for one in given]


def _score_jobs(served: ServedModel, texts: Sequence[str]) -> list[Job]:
    """Short texts together; each long one step by step, so that others take turns and it stops with its client."""
    model: Any = served.predictor

    def steps(text: str) -> Generator[None, None, Any]:
        (scored,) = yield from model.score_stepwise([text])
        return scored

    jobs: list[Job] = list(calls("score", model.score, texts, [text_tokens(text) for text in texts]))
    return [
        job if job.is_short else StepwiseJob(steps=partial(steps, text), tokens=job.tokens)
        for job, text in zip(jobs, texts, strict=True)
    ]


def _target_tokens(served: ServedModel, target: str) -> list[str]:
    model: Any = served.predictor
    tokenizer = model.tokenizers["target"]
    return [*tokenizer.tokens(model.encode_target(target)), tokenizer.END]


def _scored(one: Any) -> dict[str, Any]:
    names = ("log_probability", "perplexity", "word_perplexity", "bits_per_byte", "bits_per_character")
    return {
        "tokens": looking.probable(one.tokens, one.token_log_probabilities),
        **{name: finite(getattr(one, name)) for name in names},
    }
