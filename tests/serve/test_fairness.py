"""Who waits for whom: places and computing time are shared among clients, and nobody computes for those who left."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sightline import LanguageModel
from sightline.serve.engine import Engine
from sightline.serve.fair_queue import SHORT_WEIGHT, BusyError, FairQueue
from sightline.serve.jobs import SHORT_TOKENS, CallJob, Job, StepwiseJob
from sightline.serve.metrics import Metrics
from support.serving import Server, post, serving

OTHER = "127.0.0.2"  # another client's address
LARGE = 2 * SHORT_TOKENS
LONG = "rot blau haus hund alt sieht ein " * 8


@contextmanager
def in_work(server: Server, path: str, body: dict[str, Any]) -> Iterator[None]:
    """A request of 127.0.0.1 whose jobs have been taken; its client leaves at the end of the block."""
    before, content = unfinished(server), json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with socket.create_connection(server.address) as raw:
        raw.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        while unfinished(server) == before:
            time.sleep(0.002)
        yield


def unfinished(server: Server) -> int:
    return sum(one.engine.unfinished for one in server.models.by_name.values())


def test_a_client_that_fills_every_place_keeps_no_other_out(runs: dict[str, Path]) -> None:
    wide = {"text": [LONG] * 48, "beam": 16}
    with serving([runs["transformer"]], slots=32, waiting=64) as server, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(in_work(server, "/v1/translate", wide))
        with server.client() as first:  # who has all places gets no more, and is told when there may be some
            refused = first.post("/v1/translate", json={"text": "ein haus"})
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
        with server.client(OTHER) as other:
            answers = [other.post("/v1/translate", json={"text": "ein haus"}) for _ in range(3)]
            assert [one.status_code for one in answers] == [200] * 3
            assert unfinished(server) > 48  # it did not wait for the others' texts
        stack.close()
        assert server.idle()


def test_long_scores_give_way_and_stop_with_their_client(language_runs: dict[str, Path]) -> None:
    text = ("red dog house old " * 1200)[:20_000]
    with serving([language_runs["gpt"]]) as server:
        with in_work(server, "/v1/score", {"text": [text] * 25}), server.client(OTHER) as other:
            post(other, "/v1/score", text="red dog")
            assert unfinished(server) == 25
        assert server.idle()


def test_long_texts_are_scored_as_the_model_scores_them(language_runs: dict[str, Path]) -> None:
    texts = ["red dog house old " * 200, "red dog", "old house " * 300]
    for name in ("gpt", "recurrent", "ngram"):
        expected = LanguageModel(language_runs[name]).score(texts)
        with serving([language_runs[name]]) as server, server.client() as client:
            found = post(client, "/v1/score", text=texts)["scores"]
        for one, wanted in zip(found, expected, strict=True):
            each = [token["log_probability"] for token in one["tokens"]]
            assert each == pytest.approx(list(wanted.token_log_probabilities), abs=1e-4)
            assert one["log_probability"] == pytest.approx(wanted.log_probability, rel=1e-5)


def test_short_texts_of_the_same_client_go_before_its_long_ones(language_runs: dict[str, Path]) -> None:
    """Each of eight long ones is a search of sixteen rows; a short one shares no step with them."""
    body = {"prompt": "red", "max_tokens": 1000, "n": 16, "strategy": "sample", "temperature": 5.0, "stream": False}
    with serving([language_runs["recurrent"]], slots=16) as server, server.client() as client, ExitStack() as stack:
        for number in range(8):
            stack.enter_context(in_work(server, "/v1/generate", {**body, "seed": number}))
        for _ in range(3):
            post(client, "/v1/generate", prompt="red", max_tokens=5, stream=False, strategy="sample")
            assert unfinished(server) == 8


def jobs_of(client: str, count: int, *, tokens: int = 1, function: Callable[[list[Any]], Any] = list) -> list[Job]:
    """Calls that are computed one by one; to be made in an event loop."""
    jobs: list[Job] = []
    for number in range(count):
        job = CallJob(key=client, function=function, argument=number, batch_size=1, tokens=tokens)
        job.client = client
        jobs.append(job)
    return jobs


def test_when_to_come_back_is_what_was_measured() -> None:
    def slow(arguments: list[int]) -> list[int]:
        time.sleep(0.5)
        return arguments

    async def main() -> int:
        engine = Engine("slow", Metrics(), slots=1, waiting=3)
        engine.start()
        (first,) = jobs_of("a", 1, function=slow)
        engine.submit([first], "a")
        await first.result
        engine.submit(jobs_of("a", 4, function=slow), "a")
        with pytest.raises(BusyError) as busy:
            engine.submit(jobs_of("a", 1, function=slow), "a")
        await asyncio.sleep(busy.value.seconds)
        engine.submit(jobs_of("a", 1, function=slow), "a")  # by then there is a place
        await asyncio.to_thread(engine.close)
        return busy.value.seconds

    assert 2 <= asyncio.run(main()) <= 4


def test_the_client_who_was_served_least_is_next() -> None:
    async def main() -> None:
        queue = FairQueue(slots=4, waiting=4)
        (first,), (second,) = jobs_of("a", 1, tokens=LARGE), jobs_of("b", 1, tokens=LARGE)
        queue.admit([first])
        queue.charge([first], 5.0)
        queue.admit([second])  # who comes later has no claim to the time before
        assert queue.served([first]) == queue.served([second])
        queue.charge([first], 1.0)
        assert queue.served([second]) < queue.served([first])
        queue.charge([first, second], 4.0)  # computed together, both pay
        assert queue.served([first]) - queue.served([second]) == pytest.approx(1.0)
        (short,) = jobs_of("b", 1)
        queue.admit([short])
        before = queue.served([short])
        queue.charge([short], SHORT_WEIGHT)  # short ones pay less
        assert queue.served([short]) - before == pytest.approx(1.0)

    asyncio.run(main())


def test_places_are_shared_among_clients_and_bounded() -> None:
    async def main() -> None:
        queue = FairQueue(slots=4, waiting=8)
        queue.admit(jobs_of("a", 12))
        with pytest.raises(BusyError):
            queue.admit(jobs_of("a", 1))
        queue.admit(jobs_of("b", 6))
        with pytest.raises(BusyError):
            queue.admit(jobs_of("b", 1))
        for client in "cdefgh":
            with suppress(BusyError):
                queue.admit(jobs_of(client, 2))
        assert len(queue) <= 24
        queue.admit(jobs_of("a", 1), refusable=False)  # a part of what was taken before

    asyncio.run(main())


def test_those_who_leave_while_they_wait_have_given_up() -> None:
    begun, hold = threading.Event(), threading.Event()

    class Waiting(CallJob):
        """A call that waits for a slot, as a search does."""

        @property
        def slots(self) -> int:
            return 1

    def held(arguments: list[int]) -> list[int]:
        begun.set()
        hold.wait(10)
        return arguments

    async def main() -> str:
        metrics = Metrics()
        engine = Engine("busy", metrics, slots=1, waiting=4)
        engine.start()
        first, second = (Waiting(key=number, function=held, argument=number) for number in range(2))
        engine.submit([first], "a")
        await asyncio.to_thread(begun.wait, 10)
        engine.submit([second], "a")
        second.cancelled = True
        hold.set()
        await first.result
        await asyncio.to_thread(engine.close)
        return metrics.text()

    assert 'sightline_given_up_total{model="busy"} 1.0' in asyncio.run(main())


def test_a_panic_ends_a_job_and_not_the_thread() -> None:
    class Panic(BaseException):
        """What a tokenizer's Rust code raises is no Exception either."""

    def panics(arguments: list[int]) -> list[int]:
        raise Panic("index out of range")

    async def main() -> None:
        engine = Engine("panicking", Metrics())
        engine.start()
        (wrong,) = jobs_of("a", 1, function=panics)
        engine.submit([wrong], "a")
        with pytest.raises(RuntimeError, match="Panic: index out of range"):
            await asyncio.wait_for(wrong.result, 10)
        (other,) = jobs_of("a", 1)
        engine.submit([other], "a")
        assert await asyncio.wait_for(other.result, 10) == 0
        assert engine.problem is None
        await asyncio.to_thread(engine.close)

    asyncio.run(main())


def test_a_long_computation_takes_turns_and_stops_when_it_is_cancelled() -> None:
    seen: list[str] = []

    def steps() -> Any:
        try:
            while True:
                seen.append("step")
                time.sleep(0.001)
                yield
        finally:
            seen.append("stopped")

    async def main() -> None:
        engine = Engine("stepwise", Metrics())
        engine.start()
        endless = StepwiseJob(steps=steps, tokens=LARGE)
        engine.submit([endless], "a")
        (other,) = jobs_of("b", 1)
        engine.submit([other], "b")
        assert await asyncio.wait_for(other.result, 10) == 0
        assert not endless.result.done()
        endless.cancelled = True
        await asyncio.to_thread(engine.close)
        assert engine.unfinished == 0

    asyncio.run(main())
    assert seen[-1] == "stopped"
