"""The server: what every kind of model answers, many at once, clients of other makes, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import schemathesis
from conftest import MODELS, sightline
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from libretranslatepy import LibreTranslateAPI
from PIL import Image
from serving import Server, serving

from sightline import Classifier, LanguageModel, MaskedLanguageModel, Translator
from sightline.decode import Search
from sightline.runs.loading import load
from sightline.serve import engine

TEXT = "ein haus rot blau"
# of each route, right ones and wrong ones; SIGHTLINE_CASES=250 makes about 5,000 in all
CASES = int(os.environ.get("SIGHTLINE_CASES", "8"))
ATTENDING = ("transformer", "seq2seq", "gpt", "bert", "classifier", "tagger", "answerer", "vit")


@pytest.fixture(scope="module")
def served(kinds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory):
    """A server with every kind of model, each under the name of its kind."""
    folder = tmp_path_factory.mktemp("served")
    for name, path in kinds.items():
        (folder / name).symlink_to(path)
    with serving([folder / name for name in kinds]) as server:
        yield server


@pytest.fixture
def client(served: Server):
    with served.client() as client:
        yield client


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: httpx.Client, path: str, **body: Any) -> list[dict[str, Any]]:
    with client.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]


def picture(kinds: dict[str, Path]) -> str:
    (pixels,) = load(kinds["vit"]).example() or []
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)[:, :, 0]).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_models_tell_what_they_can(client: httpx.Client, kinds: dict[str, Path]) -> None:
    found = {one["id"]: one for one in client.get("/v1/models").json()["data"]}
    assert list(found) == list(kinds)
    assert found["transformer"]["verbs"] == ["translate", "score", "attention"]
    assert found["transformer"]["checkpoints"] == [2, 4, 6]
    assert found["ngram"]["verbs"] == ["generate", "score"]
    assert found["classifier"]["texts"] == 2
    assert found["vit"]["image"]
    assert [name for name, one in found.items() if not one["attends"]] == ["recurrent", "window", "ngram"]
    assert client.get("/v1/models/gpt").json() == found["gpt"]
    assert client.get("/v1/models/other").status_code == 404


@pytest.mark.parametrize("name", ["transformer", "seq2seq"])
def test_translations_are_those_of_the_model(name: str, client: httpx.Client, kinds: dict[str, Path]) -> None:
    model = Translator(kinds[name])
    expected = model.translate(TEXT, n_best=3, beam=4)
    (found,) = post(client, "/v1/translate", model=name, text=TEXT, beam=4, n_best=3)["translations"]
    assert found["text"] == expected.text
    assert [one["text"] for one in found["alternatives"]] == [one.text for one in expected.alternatives]
    assert found["log_probability"] == pytest.approx(expected.log_probability, abs=1e-4)
    each = [one["log_probability"] for one in found["tokens"]]
    assert each == pytest.approx(expected.token_log_probabilities, abs=1e-4)
    assert [one["token"] for one in found["tokens"]][: len(expected.tokens)] == list(expected.tokens)
    assert post(client, "/v1/translate", model=name, text=["", " "])["translations"][0]["text"] == ""
    begun = post(client, "/v1/translate", model=name, text=TEXT, prefix="red dog")["translations"][0]["text"]
    assert begun.startswith("red dog")


def test_what_stands_beside_a_translation(client: httpx.Client, kinds: dict[str, Path]) -> None:
    asked = {"model": "transformer", "text": TEXT, "attention": True, "candidates": 3}
    (found,) = post(client, "/v1/translate", **asked)["translations"]
    for token, candidates in zip(found["tokens"], found["candidates"], strict=True):
        assert len(candidates) == 3
        values = [one["log_probability"] for one in candidates]
        assert values == sorted(values, reverse=True)
        same = [one["log_probability"] for one in candidates if one["token"] == token["token"]]
        assert not same or same[0] == pytest.approx(token["log_probability"], abs=1e-3)
    looked = Translator(kinds["transformer"]).translate(TEXT, attention=True).attention
    assert looked is not None
    np.testing.assert_allclose(found["attention"]["weights"], looked.mean(), atol=1e-3)
    assert tuple(found["attention"]["source"]["names"]) == looked.source.names


@pytest.mark.parametrize("name", ["transformer", "seq2seq"])
def test_a_translation_is_streamed(name: str, client: httpx.Client) -> None:
    told = events(client, "/v1/translate", model=name, text=TEXT, stream=True, beam=1)
    (whole,) = post(client, "/v1/translate", model=name, text=TEXT, beam=1)["translations"]
    assert told[-1]["done"]["text"] == whole["text"]
    assert all(whole["text"].startswith(one["text"]) for one in told[:-1])


@pytest.mark.parametrize("name", ["gpt", "recurrent", "window", "ngram"])
def test_texts_are_gone_on_from(name: str, client: httpx.Client, kinds: dict[str, Path]) -> None:
    model = LanguageModel(kinds[name])
    asked = {"model": name, "prompt": "red dog", "max_tokens": 20, "seed": 7, "temperature": 0.8}
    expected = model.generate("red dog", max_tokens=20, seed=7, temperature=0.8, strategy="sample")
    asked["strategy"] = "sample"
    assert post(client, "/v1/generate", **asked, stream=False)["text"] == expected.text
    told = events(client, "/v1/generate", **asked, candidates=2)
    assert "".join(one["piece"] for one in told[:-1]) == expected.text
    done = told[-1]["done"]
    assert done["finished"] == expected.finished
    assert len(done["candidates"]) == len(done["tokens"])
    texts = [done["text"][start:] for start in done["offsets"][: len(expected.tokens)]]
    for rest, candidates, token in zip(texts, done["candidates"], expected.tokens, strict=False):
        assert all(rest.startswith(one["text"]) for one in candidates if one["token"] == token)
    several = post(client, "/v1/generate", **asked, stream=False, n=3, stop=["dog"])
    assert len(several["alternatives"]) == 2
    assert "dog" not in several["text"]


def test_scores(client: httpx.Client, kinds: dict[str, Path]) -> None:
    for name in ("gpt", "ngram"):
        expected = LanguageModel(kinds[name]).score(["red dog", "a house"])
        found = post(client, "/v1/score", model=name, text=["red dog", "a house"])["scores"]
        assert [one["perplexity"] for one in found] == pytest.approx([one.perplexity for one in expected], rel=1e-3)
        assert len(found[0]["tokens"]) == len(expected[0].tokens)
    (scored,) = Translator(kinds["seq2seq"]).score([TEXT], ["red house"])
    (found,) = post(client, "/v1/score", model="seq2seq", text=TEXT, target="red house")["scores"]
    assert found["log_probability"] == pytest.approx(scored.log_probability, abs=1e-3)
    assert client.post("/v1/score", json={"model": "seq2seq", "text": TEXT}).status_code == 400


def test_blanks_labels_spans_and_answers(client: httpx.Client, kinds: dict[str, Path]) -> None:
    text = "a [MASK] sees a dog"
    filled = MaskedLanguageModel(kinds["bert"]).fill(text, top=3)
    found = post(client, "/v1/fill", text=text, top=3)
    assert found["best"] == filled.best
    assert [one["token"] for one in found["blanks"][0]] == [one.token for one in filled.blanks[0]]

    pair = ["red dog", "old dog"]
    expected = Classifier(kinds["classifier"]).predict([pair])[0]
    (label,) = post(client, "/v1/classify", model="classifier", texts=[pair])["labels"]
    assert label["label"] == expected.label
    assert label["probabilities"] == pytest.approx(expected.probabilities, abs=1e-4)

    image = post(client, "/v1/classify", model="vit", image=picture(kinds))["labels"][0]
    assert image["label"] in image["probabilities"]
    assert post(client, "/v1/tag", text="the red dog sees")["texts"][0]["units"]
    asked = {"question": "which animal ?", "context": "red dog house"}
    assert set(post(client, "/v1/answer", **asked)) == {"model", "question", "text", "start", "end", "probability"}


@pytest.mark.parametrize("name", ATTENDING)
def test_attention_of_every_kind(name: str, client: httpx.Client, kinds: dict[str, Path]) -> None:
    if name == "vit":
        asked: dict[str, Any] = {"image": picture(kinds)}
    else:
        asked = {"text": [str(one) for one in load(kinds[name]).example() or []]}
    if name == "bert":
        asked = {"text": "a [MASK] sees a dog"}
    found = post(client, "/v1/attention", model=name, **asked, check=True, heads=True)
    weights = np.array(found["weights"])
    assert weights.shape == (len(found["rows"]["tokens"]), len(found["columns"]["tokens"]))
    np.testing.assert_allclose(weights.sum(1), 1, atol=0.01)
    assert len(found["heads"]) == sum(max(one["heads"], 1) for one in found["sites"])
    occlusion = np.array(found["occlusion"]["values"], dtype=float)
    assert occlusion.shape == (len(found["outputs"]), len(found["read"]["tokens"]))
    if "by_word" in found:
        words = (len(found["rows"]["names"]), len(found["columns"]["names"]))
        assert np.array(found["by_word"]).shape == words
    heads = [f"{one['name']}:{head}" for one in found["sites"] for head in range(one["heads"])]
    for site in heads[:2]:
        assert post(client, "/v1/attention", model=name, **asked, site=site)["site"] == site


def test_agreement_is_of_outputs(client: httpx.Client) -> None:
    """Not of an encoder's attention, whose rows are as many where both sides are of one length."""
    asked = {"model": "transformer", "text": "ein haus", "target": "a house", "check": True}
    assert post(client, "/v1/attention", **asked, site="encoder.0.self_attention")["agreement"] is None
    found = post(client, "/v1/attention", **asked)
    assert found["agreement"] is None or abs(found["agreement"]) <= 1
    assert [row[-1] for row in found["occlusion"]["values"]] == [None] * 3  # the end of the source always stays
    assert "agreement" in post(client, "/v1/attention", model="bert", text="a [MASK] sees a dog", check=True)


def test_the_right_model_where_none_is_named(client: httpx.Client, kinds: dict[str, Path]) -> None:
    """Of several that can, the one that reads what was sent."""
    image = picture(kinds)
    assert post(client, "/v1/classify", image=image)["model"] == "vit"
    assert post(client, "/v1/classify", texts=[["red dog", "old dog"]])["model"] == "classifier"
    assert post(client, "/v1/score", text=TEXT)["model"] == "gpt"
    assert post(client, "/v1/score", text=TEXT, target="red")["model"] == "transformer"
    assert post(client, "/v1/attention", image=image)["model"] == "vit"
    assert post(client, "/v1/attention", text=["red dog", "old dog"])["model"] == "classifier"
    assert post(client, "/v1/attention", text=TEXT, target="red")["model"] == "transformer"


def test_what_is_wrong_is_said_in_the_servers_words(client: httpx.Client) -> None:
    for site in ("decoder.0.cros_attention", "decoder.0.cross_attention:9", "decoder.0.cross_attention:x"):
        answer = client.post("/v1/attention", json={"model": "transformer", "text": TEXT, "site": site})
        message = answer.json()["error"]["message"]
        assert message.startswith("site: ")
        assert "--" not in message
    for path, body, place in (
        ("/v1/translate", {"text": 1}, "text"),
        ("/v1/translate", {"text": ["x", 1]}, "text"),
        ("/v1/translate", {"text": ["x"] * 65}, "text"),
        ("/v1/classify", {"texts": ["x", [1]]}, "texts.1"),
        ("/v1/translate", {"text": "x", "beam": "x"}, "beam"),
    ):
        message = client.post(path, json=body).json()["error"]["message"]
        assert message.startswith(place), message
        assert re.match(r"[a-z_]+(\.\d+)*: ", message), message


def test_a_checkpoint_is_looked_into(client: httpx.Client, kinds: dict[str, Path]) -> None:
    asked = {"model": "transformer", "text": TEXT, "target": "a house"}
    now = post(client, "/v1/attention", **asked)
    before = post(client, "/v1/attention", **asked, checkpoint=2)
    assert before["rows"] == now["rows"]
    assert before["weights"] != now["weights"]
    last = post(client, "/v1/attention", **asked, checkpoint=6)
    assert np.array(last["weights"]).shape == np.array(now["weights"]).shape
    refused = client.post("/v1/attention", json={**asked, "checkpoint": 3})
    assert refused.status_code == 400
    assert "checkpoint: there is none of update 3" in refused.json()["error"]["message"]


def test_a_fixed_context_has_no_attention(config_file: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    keys = ["model.kind=seq2seq", "model.width=16", "model.embedding_width=16", "model.attention=none"]
    assert sightline("train", config_file, "--run", tmp_path / "fixed", *keys) == 0
    with serving([tmp_path / "fixed", runs["seq2seq"]]) as server, server.client() as client:
        # of two, the one that has what is asked for
        assert post(client, "/v1/attention", text=TEXT)["model"] == "seq2seq"
        assert [one["attends"] for one in client.get("/v1/models").json()["data"]] == [False, True]
    with serving([tmp_path / "fixed"]) as server, server.client() as client:
        found = post(client, "/v1/attention", text=TEXT)
        assert found["sites"] == []
        assert "weights" not in found
        (answer,) = post(client, "/v1/translate", text=TEXT, attention=True)["translations"]
        assert answer["attention"] is None


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
        while not inner.inside:
            time.sleep(0.001)
        with server.client() as other:
            post(other, "/v1/generate", prompt="red", max_tokens=2, stream=False, strategy="sample")
        assert inner.inside == 1  # the long one is still being written
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
            while inner.inside > 1 and time.monotonic() < end:
                time.sleep(0.01)
            assert inner.inside <= 1
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
            assert client.post("/v1/translate", json={"text": ["rot"] * 4}).status_code == 400  # can never fit


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
            broken.setattr(engine, "return_memory", lambda: 1 / 0)
            broken.setattr(engine, "STEPS_TO_TIDY", 1)
            assert client.post("/v1/score", json={"text": TEXT, "target": "red"}).status_code == 200
        assert client.post("/v1/translate", json={"text": TEXT}).status_code == 200
        assert 'path="/v1/translate",status="500"' in client.get("/metrics").text
        assert server.idle()


def test_limits_of_a_translation(runs: dict[str, Path], config_file: Path, tmp_path: Path) -> None:
    """Of prefixes, targets, and of a model that has learned positions for a few tokens alone."""
    keys = [*MODELS["transformer"], "model.positions=learned", "model.max_length=12"]
    assert sightline("train", config_file, "--run", tmp_path / "short", *keys) == 0
    long = "red " * 3000
    with serving([tmp_path / "short"]) as server, server.client() as client:
        for more in ({"prefix": long}, {"prefix": "red dog house old blue a sees " * 2}):
            assert client.post("/v1/translate", json={"text": "rot", **more}).status_code == 400
        assert client.post("/v1/attention", json={"text": "rot", "target": long}).status_code == 400
        assert client.post("/v1/score", json={"text": "rot", "target": long}).status_code == 400
        asked = {"text": ["rot", "ein hund", "alt"], "candidates": 2, "attention": True}
        several = post(client, "/v1/translate", **asked)["translations"]
        # one at least is cut at the limit, and all of it can be looked at
        assert max(len(one["tokens"]) for one in several) == 11
        assert all(len(one["candidates"]) == len(one["tokens"]) for one in several)
        assert post(client, "/v1/attention", text="rot")["weights"]


def test_another_ones_error_is_not_yours(served: Server) -> None:
    """Calls that wait together are computed together, and one of them may be impossible."""

    def ask(number: int) -> int:
        with served.client() as client:
            text = "no blank" if number % 3 == 0 else "a [MASK] sees"
            return client.post("/v1/fill", json={"text": text}).status_code

    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(ask, range(48)))
    assert codes == [400 if number % 3 == 0 else 200 for number in range(48)]


def test_openai_client(served: Server, kinds: dict[str, Path]) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        assert {one.id for one in client.models.list()} == set(kinds)
        greedy = LanguageModel(kinds["gpt"]).generate("red dog", max_tokens=8, beam=1)
        found = client.completions.create(model="gpt", prompt="red dog", max_tokens=8, temperature=0)
        assert found.choices[0].text == greedy.text
        assert found.usage is not None
        assert found.usage.completion_tokens == len(greedy.tokens)
        several = client.completions.create(model="gpt", prompt=["red", "dog"], n=2, max_tokens=5, seed=3, echo=True)
        assert [one.text[:3] for one in several.choices] == ["red", "red", "dog", "dog"]
        sure = client.completions.create(model="gpt", prompt="red", max_tokens=5, logprobs=1).choices[0].logprobs
        assert sure is not None
        assert len(sure.tokens or []) == len(sure.token_logprobs or [])
        streamed = client.completions.create(model="gpt", prompt="red dog", max_tokens=8, temperature=0, stream=True)
        parts = list(streamed)
        assert "".join(part.choices[0].text for part in parts) == greedy.text
        assert parts[-1].choices[0].finish_reason in ("stop", "length")
        with pytest.raises(openai.BadRequestError, match="suffix: not supported"):
            client.completions.create(model="gpt", prompt="red", suffix="dog")
        with pytest.raises(openai.NotFoundError, match='there is no "gtp"; did you mean "gpt"'):
            client.completions.create(model="gtp", prompt="red")


def test_libretranslate_client(texts: Path, runs: dict[str, Path], config_file: Path, tmp_path: Path) -> None:
    keys = ['data.source_language=German', 'data.target_language=English', "model.kind=seq2seq", "model.width=16",
            "model.embedding_width=16"]  # fmt: skip
    assert sightline("train", config_file, "--run", tmp_path / "de-en", *keys) == 0
    model = Translator(tmp_path / "de-en")
    with serving([tmp_path / "de-en"]) as server, server.client() as client:
        theirs = LibreTranslateAPI(f"{server.url}/")
        assert theirs.languages() == [{"code": "de", "name": "German", "targets": ["en"]}]
        assert theirs.translate("ein hund", "de", "en") == model.translate("ein hund").text
        several = client.post("/translate", data={"q": "ein hund! rot?\n\nalt", "source": "auto", "target": "en"})
        first, second, third = (model.translate(one).text for one in ("ein hund!", "rot?", "alt"))
        assert several.json()["translatedText"] == f"{first} {second}\n\n{third}"
        both = post(client, "/translate", q=["ein", "hund"], source="de", target="en", alternatives=1)
        assert both["translatedText"] == [model.translate(one).text for one in ("ein", "hund")]
        assert [len(one) for one in both["alternatives"]] == [1, 1]
        refused = client.post("/translate", json={"q": "x", "source": "de", "target": "fr"})
        assert refused.status_code == 400
        assert "known: de to en" in refused.json()["error"]
        for body in (b"\xff\xfe", b"q=", b"{}"):
            assert client.post("/translate", content=body).status_code == 400


def test_who_may_ask(served: Server, kinds: dict[str, Path]) -> None:
    with served.client() as client:
        assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 421
        assert client.get("/v1/models", headers={"host": "[::1"}).status_code == 421
        assert client.get("/v1/models", headers={"origin": "http://evil.example"}).status_code == 403
        assert client.get("/v1/models", headers={"origin": "null"}).status_code == 403
        assert client.get("/v1/models", headers={"origin": "http://["}).status_code == 403
        assert client.get("/v1/models", headers={"origin": served.url}).status_code == 200
        answer = client.get("/")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        for path in ("/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/nothing.js", "/nowhere"):
            assert client.get(path).status_code == 404
        for name in ("../transformer", "/etc/passwd", str(kinds["gpt"]), "\x00"):
            assert client.post("/v1/generate", json={"model": name, "prompt": "x"}).status_code == 404
    with serving([kinds["gpt"]], token="correct-horse") as server, server.client() as client:
        assert client.get("/").status_code == client.get("/health").status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong-horse"}, {"authorization": "Basic correct-horse"}):
            answer = client.get("/v1/models", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/v1/models", headers={"authorization": "Bearer correct-horse"}).status_code == 200
        # LibreTranslate's clients have the token in the body, and there alone
        assert LibreTranslateAPI(f"{server.url}/", "correct-horse").languages() == []
        asked = {"q": "x", "source": "de", "target": "en"}
        for body in ({"json": {**asked, "api_key": "correct-horse"}}, {"data": {**asked, "api_key": "correct-horse"}}):
            assert "no model here translates" in client.post("/translate", **body).json()["error"]
        for key in ("wrong-horse", "\ud800", 1, ["correct-horse"], None):
            assert client.post("/translate", content=json.dumps({**asked, "api_key": key})).status_code == 401
        for content in (b"", b"[1]", b"[" * 50_000, b"\xff=1&api_key=wrong"):
            assert client.post("/translate", content=content).status_code == 401
        assert client.post("/v1/generate", json={"prompt": "x", "api_key": "correct-horse"}).status_code == 401


def test_no_more_is_read_than_may_be_sent(served: Server) -> None:
    with served.client() as client:
        assert client.post("/v1/fill", content=b"x" * 600_000).status_code == 413
        assert client.post("/v1/fill", content=(b"x" * 60_000 for _ in range(10))).status_code == 413  # chunked
        refused = client.post("/v1/translate", json={"text": "x" * 20_001})
        assert refused.status_code == 422
        assert len(refused.json()["error"]["message"]) < 300
        assert client.post("/v1/generate", json={"prompt": "x", "max_tokens": 10**9}).status_code == 422
        assert client.post("/v1/generate", json={"prompt": "x", "bem": 1}).status_code == 422
        assert client.post("/v1/translate", json={"text": ["x"] * 65}).status_code == 422
        assert client.post("/v1/translate", json={"text": "rot " * 4000}).status_code == 400  # over the run's limit
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:  # promises more than it may
        raw.sendall(b"POST /v1/fill HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in raw.recv(1000)
    for head in (b"Host: 127.0.0.1", b"Host: elsewhere.example"):  # one that reads no answer before it has sent all
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(b"POST /v1/fill HTTP/1.1\r\n%b\r\nContent-Length: 8000000\r\n\r\n" % head + b"x" * 8_000_000)
            assert raw.recv(1000).split()[1] in (b"413", b"421")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"text": 1}', b'{"text": "\\ud800"}', b'{"text": null}', b"\xff",
        b'{"text": "rot", "beam": 1e400}', b'{"text": "rot", "beam": 0}', b'{"text": {"a": []}}',
        b'{"text": "\\u0000"}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_bad_bodies_get_one_line(body: bytes, client: httpx.Client) -> None:
    for path in ("/v1/translate", "/v1/fill", "/v1/attention", "/v1/completions"):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code < 500
        if answer.status_code != 200:
            message = answer.json()["error"]["message"]
            assert message
            assert "\n" not in message
            assert "Traceback" not in message


def test_whatever_the_description_allows(served: Server) -> None:
    """Requests made up from /openapi.json, right and wrong ones: no answer is the server's own error."""
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    seen: Counter[int] = Counter()
    paths = set()
    for operation in schema.get_all_operations():
        one = operation.ok()
        paths.add(one.path)
        for mode in schemathesis.GenerationMode:

            @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=one.as_strategy(generation_mode=mode))
            def answered(case: Any) -> None:
                answer = case.call(base_url=served.url)
                seen[answer.status_code] += 1
                assert answer.status_code < 500, (case.as_curl_command(), answer.text)

            with suppress(Unsatisfiable):  # a path without parameters cannot be wrong
                answered()
    print(f"{seen.total():,} cases, by status: {dict(sorted(seen.items()))}")
    assert {"/v1/translate", "/v1/generate", "/v1/completions", "/translate", "/metrics"} <= paths
    assert seen[200] > 20
    assert seen[422] > 20
    assert served.idle()


def test_images_that_are_none(client: httpx.Client) -> None:
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    for image in ("", "????", base64.b64encode(b"GIF89a").decode(), base64.b64encode(bomb.getvalue()).decode()):
        for path in ("/v1/classify", "/v1/attention"):
            answer = client.post(path, json={"model": "vit", "image": image})
            assert answer.status_code == 400, (image[:20], answer.text)
            assert answer.json()["error"]["message"].startswith("image: ")


def test_metrics_are_counted(client: httpx.Client) -> None:
    post(client, "/v1/fill", text="a [MASK]")
    for number in range(5):
        client.get(f"/nowhere-{number}")
    text = client.get("/metrics").text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .+|sightline_\w+\{\w+="[^"]*"(,\w+="[^"]*")*\} [\d.e+-]+', line), line
    assert "nowhere" not in text
    assert 'sightline_requests_total{path="/v1/fill",status="200"}' in text


def test_a_server_of_its_own_process(runs: dict[str, Path], tmp_path: Path) -> None:
    """From the command line; on SIGTERM it finishes what it has begun, then ends."""
    command = [sys.executable, "-m", "sightline", "serve", str(runs["seq2seq"]), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stderr is not None
        lines = []
        while not lines or "open http" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        found = re.search(r"http://127\.0\.0\.1:\d+", lines[-1])
        assert found
        body = {"text": TEXT, "beam": 16, "n_best": 16, "stream": True}
        with httpx.Client(base_url=found.group(), timeout=60, trust_env=False) as client:
            assert client.get("/health").json()["status"] == "ok"
            with client.stream("POST", "/v1/translate", json=body) as answer:
                lines = answer.iter_lines()
                next(lines)
                process.send_signal(signal.SIGTERM)
                rest = [json.loads(line.removeprefix("data: ")) for line in lines if line]
        assert "done" in rest[-1]
        assert process.wait(20) in (0, -signal.SIGTERM, 143)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "others could use it"),
        (["--token", "short"], "at least 8"),
        (["--port", "99999"], "--port"),
    ],
)
def test_what_serve_refuses(words: list[str], message: str, runs: dict[str, Path], capsys) -> None:
    assert sightline("serve", runs["seq2seq"], *words) == 2
    assert message in capsys.readouterr().err
    assert sightline("serve", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_port_that_is_taken(runs: dict[str, Path], capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert sightline("serve", runs["seq2seq"], "--port", taken.getsockname()[1]) == 2
    assert "address already in use" in capsys.readouterr().err
