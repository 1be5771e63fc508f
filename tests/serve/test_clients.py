"""Clients of other makes: OpenAI's and LibreTranslate's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from libretranslatepy import LibreTranslateAPI

from sightline import LanguageModel, Translator
from support.commands import sightline
from support.serving import Server, post, serving, serving_all


@pytest.fixture(scope="module")
def served(kinds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_all(kinds, tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def client(served: Server) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


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
