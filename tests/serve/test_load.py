"""Many requests at once: what each gets, who waits for whom, and what happens to those that nobody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from sightline import Translator
from sightline.decode import Search
from sightline.serve import engine
from support.serving import TEXT, Server, events, post, serving, serving_all


@pytest.fixture(scope="module")
def served(kinds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_all(kinds, tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def client(served: Server) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


def test_many_at_once_get_what_each_would_alone(served: Server, kinds: dict[str, Path]) -> None:
    draw = np.random.default_rng(0)
    words = ["rot", "blau", "haus", "hund", "alt", "sieht", "ein"]
    texts = [" ".join(draw.choice(words, draw.integers(1, 12))) for _ in range(60)]
    models = {name: Translator(kinds[name]) for name in ("transformer", "seq2seq")}

    def ask(number: int) -> tuple[str, str]:
        name, beam = ("transformer", "seq2seq")[number % 2], (1, 4, 4)[number % 3]
        with served.client() as client:
            body = {"model": name, "text": texts[number], "beam": beam}
            found = post(client, "/v1/translate", **body)["translations"][0]["text"]
        return found, models[name].translate(texts[number], beam=beam).text

    with ThreadPoolExecutor(20) as pool:
        for found, expected in pool.map(ask, range(60)):
            assert found == expected
    assert served.idle()


def test_short_ones_do_not_wait_for_long_ones(language_runs: dict[str, Path]) -> None:
    with serving([language_runs["recurrent"]], slots=8) as server, server.client() as client:
        (inner,) = (one.engine for one in server.models.by_name.values())
        long = threading.Thread(
            target=lambda: post(client, "/v1/generate", prompt="red", max_tokens=1000, stream=False,
                                strategy="sample", temperature=5.0)
        )  # fmt: skip
        long.start()
        while not inner.unfinished:
            time.sleep(0.001)
        with server.client() as other:
            post(other, "/v1/generate", prompt="red", max_tokens=2, stream=False, strategy="sample")
        assert inner.unfinished == 1  # the long one is still being written
        long.join()


def test_a_client_that_leaves_frees_its_slot(served: Server) -> None:
    body = {"model": "recurrent", "prompt": "red", "max_tokens": 1000, "strategy": "sample", "temperature": 5.0}
    for stream in [True, False] * 10:
        with served.client() as client:
            try:
                with client.stream("POST", "/v1/generate", json={**body, "stream": stream}, timeout=0.2) as answer:
                    for _ in answer.iter_lines():
                        break
            except httpx.TimeoutException:
                pass
    assert served.idle(5)
    with served.client() as client:
        assert 'given_up_total{model="recurrent"}' in client.get("/metrics").text
        assert post(client, "/v1/generate", **{**body, "max_tokens": 2}, **{"stream": False})["tokens"]


def test_what_cannot_wait_is_told_when_to_come_back(language_runs: dict[str, Path]) -> None:
    body = {"prompt": "red", "max_tokens": 1000, "strategy": "sample", "temperature": 5.0, "stream": False}
    with serving([language_runs["recurrent"]], slots=2, waiting=1) as server, server.client() as client:

        def ask(number: int) -> httpx.Response:
            with server.client() as client:
                return client.post("/v1/generate", json={**body, "seed": number, "stream": number % 2 == 0})

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, range(12)))
        codes = [one.status_code for one in answers]
        assert set(codes) == {200, 429}
        assert codes.count(200) >= 3
        refused = next(one for one in answers if one.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert "rejected_total" in client.get("/metrics").text
        assert server.idle()
        assert post(client, "/v1/generate", **{**body, "max_tokens": 3})["tokens"]


def test_those_who_left_wait_no_more(language_runs: dict[str, Path]) -> None:
    """A place in the queue is free as soon as its client has gone, though all slots are busy."""
    body = {"prompt": "red", "max_tokens": 1000, "strategy": "sample", "temperature": 5.0}
    with serving([language_runs["recurrent"]], slots=1, waiting=4) as server:
        with server.client() as client, client.stream("POST", "/v1/generate", json=body) as long:
            next(long.iter_lines())
            for _ in range(4):
                with server.client() as other, suppress(httpx.TimeoutException):
                    other.post("/v1/generate", json={**body, "stream": False}, timeout=0.1)
            (inner,) = (one.engine for one in server.models.by_name.values())
            end = time.monotonic() + 10
            while inner.unfinished > 1 and time.monotonic() < end:
                time.sleep(0.01)
            assert inner.unfinished <= 1
        assert server.idle()


def test_what_surrounds_an_answer_is_not_refused(runs: dict[str, Path]) -> None:
    """A translation that was taken gets its candidates, however full the server has become meanwhile."""
    with serving([runs["seq2seq"]], slots=1, waiting=2) as server:

        def ask(number: int) -> int:
            with server.client() as client:
                body = {"text": TEXT, "candidates": 3, "stream": number % 2 == 0}
                answer = client.post("/v1/translate", json=body)
                assert answer.status_code == 429 or "candidates" in answer.text, answer.text
                return answer.status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(60))) <= {200, 429}
        with server.client() as client:
            # more than there is room for at a time is computed in portions
            assert client.post("/v1/translate", json={"text": ["rot"] * 4}).status_code == 200


def test_models_that_must_not_compute_at_once_take_turns(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sightline.serve.served.resolve_device", lambda device: "mps"
    )  # the device of two models that is one
    inside, most = 0, 0
    turn = engine.Engine._turn

    def counted(self: Any, *jobs: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)
        turn(self, *jobs)
        inside -= 1

    monkeypatch.setattr(engine.Engine, "_turn", counted)
    with serving([runs["seq2seq"], runs["transformer"]]) as server:

        def ask(model: str) -> int:
            with server.client() as client:
                return client.post("/v1/translate", json={"text": TEXT, "model": model}).status_code

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(ask, [path.name for path in (runs["seq2seq"], runs["transformer"])] * 4)) == {200}
    assert most == 1


def test_a_defect_is_told_and_the_next_one_served(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving([runs["seq2seq"]]) as server, server.client() as client:
        with monkeypatch.context() as broken:
            broken.setattr(Search, "advance", lambda self: 1 / 0)
            answer = client.post("/v1/translate", json={"text": TEXT})
            assert answer.status_code == 500
            assert answer.json()["error"]["message"] == "unexpected ZeroDivisionError; the server's log has more"
            told = events(client, "/v1/translate", text=TEXT, stream=True)
            assert told[-1]["error"]["code"] == 500
            broken.setattr(engine, "trim_memory", lambda: 1 / 0)
            broken.setattr(engine, "STEPS_BETWEEN_TRIMS", 1)
            assert client.post("/v1/score", json={"text": TEXT, "target": "red"}).status_code == 200
        assert client.post("/v1/translate", json={"text": TEXT}).status_code == 200
        assert 'path="/v1/translate",status="500"' in client.get("/metrics").text
        assert server.idle()


def test_another_ones_error_is_not_yours(served: Server) -> None:
    """Calls that wait together are computed together, and one of them may be impossible."""

    def ask(number: int) -> int:
        with served.client() as client:
            text = "no blank" if number % 3 == 0 else "a [MASK] sees"
            return client.post("/v1/fill", json={"text": text}).status_code

    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(ask, range(48)))
    assert codes == [400 if number % 3 == 0 else 200 for number in range(48)]
