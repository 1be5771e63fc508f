"""Clients of other makes: OpenAI's and LibreTranslate's."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from libretranslatepy import LibreTranslateAPI

from sightline import LanguageModel, Translator
from sightline.serve import languages, markup
from sightline.serve.languages import MAX_LETTERS, detect
from sightline.serve.markup import REST, Markup
from support.commands import sightline
from support.serving import Server, events, post, serving, serving_all


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


@pytest.fixture(scope="module")
def german(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that translates from German to English, by its configuration."""
    keys = ['data.source_language=German', 'data.target_language=English', "model.kind=seq2seq", "model.width=16",
            "model.embedding_width=16"]  # fmt: skip
    folder = tmp_path_factory.mktemp("german") / "de-en"
    assert sightline("train", config_file, "--run", folder, *keys) == 0
    return folder


@pytest.fixture(scope="module")
def translating(german: Path) -> Iterator[Server]:
    with serving([german]) as server:
        yield server


def test_libretranslate_client(german: Path, translating: Server) -> None:
    model = Translator(german)
    with translating.client() as client:
        theirs = LibreTranslateAPI(f"{translating.url}/")
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


def test_libretranslate_clients_ask_what_there_is_first(translating: Server, german: Path) -> None:
    theirs = LibreTranslateAPI(f"{translating.url}/")
    (found,) = theirs.detect("ein hund")
    assert (found["language"], found["confidence"]) == ("de", 100)
    with translating.client() as client:
        assert client.post("/detect", data={"q": "나는 학생입니다"}).json() == []  # no language that is served
        assert client.post("/detect", json={"q": ["ein", "12"]}).json()[1] == []
        answer = post(client, "/translate", q="ein hund", source="auto", target="en")
        assert answer["detectedLanguage"] == {"language": "de", "confidence": 100}
        settings = client.get("/frontend/settings").json()
        assert (settings["keyRequired"], settings["charLimit"]) == (False, 20_000)
        assert settings["language"]["target"] == {"code": "en", "name": "English"}
    with serving([german], token="correct-horse") as server, server.client() as client:
        assert client.get("/frontend/settings").json()["keyRequired"]  # without a token: this says that there is one
        assert client.post("/detect", data={"q": "ein"}).status_code == 401
        assert LibreTranslateAPI(f"{server.url}/", "correct-horse").detect("ein")[0]["language"] == "de"
        form = {"q": (None, "ein"), "target": (None, "en"), "api_key": (None, "correct-horse")}
        assert client.post("/translate", files=form).status_code == 200
        assert client.post("/translate", files={**form, "api_key": (None, "wrong-horse")}).status_code == 401


def test_html_is_translated_between_its_tags(german: Path, translating: Server) -> None:
    model = Translator(german)
    dog, house, red = (model.translate(one).text for one in ("ein hund", "haus", "rot"))
    page = '<p class="a">ein hund <b>haus</b></p>\n<!-- rot --><script>rot</script>&nbsp;rot<br/>'
    with translating.client() as client:
        answer = post(client, "/translate", q=page, source="de", target="en", format="html")
        found = answer["translatedText"]
        assert found == f'<p class="a">{dog} <b>{house}</b></p>\n<!-- rot --><script>rot</script>&nbsp;{red}<br/>'
        several = post(client, "/translate", q=[page, "<br>"], source="de", target="en", format="html", alternatives=1)
        assert several["translatedText"] == [found, "<br>"]
        assert [len(one) for one in several["alternatives"]] == [1, 1]


def test_forms_of_both_kinds_are_read(german: Path, translating: Server) -> None:
    expected = Translator(german).translate("ein hund").text
    fields = {"q": "ein hund", "source": "de", "target": "en"}
    with translating.client() as client:
        multipart = client.post("/translate", files={name: (None, value) for name, value in fields.items()})
        assert multipart.json()["translatedText"] == expected
        assert client.post("/translate", data=fields).json()["translatedText"] == expected
        plain = {"content": b"q=ein hund&source=de&target=en"}
        assert client.post("/translate", **plain).json()["translatedText"] == expected
        file = client.post("/translate", files={"q": ("a.txt", b"ein hund")}, data={"target": "en"})
        assert file.status_code == 400
        broken = client.post("/translate", content=b"--x", headers={"content-type": "multipart/form-data"})
        assert broken.status_code == 400


def test_what_is_wrong_names_the_field(translating: Server) -> None:
    with translating.client() as client:
        for body, message in (
            ({"q": [], "target": "en"}, "q: empty; give 1 at least"),
            ({"q": "x"}, "target: is needed"),
            ({"q": ["x"] * 65, "target": "en"}, "q: more than 64 of them"),
            ({"q": ["x", 1], "target": "en"}, "q.1: input should be a valid string"),
            ({"q": "x" * 20_001, "target": "en"}, "q: longer than 20,000 characters"),
            ({"q": "x", "target": "en", "format": "pdf"}, "format: input should be 'text' or 'html'"),
        ):
            assert client.post("/translate", json=body).json() == {"error": message}
        assert client.post("/detect", json={"q": []}).json() == {"error": "q: empty; give 1 at least"}


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ("", []),
        ("a &lt; b", ["a < b"]),
        ("a < b", ["a < b"]),
        ("<p>a", ["a"]),
        ("</p>a<", ["a<"]),
        ("<i title='a>b'>c</i>", ["c"]),
        ("<style>a</style><textarea>b</textarea><pre><b>c</b></pre>d", ["d"]),
        ("<!doctype html>\n<html>\n<body>a\r\nb</body></html>", ["a\r\nb"]),
        ("<![CDATA[x]]>&#65;&amp;", ["A&"]),
    ],
)
def test_markup_is_kept_to_the_letter(document: str, texts: list[str]) -> None:
    markup = Markup(document)
    assert markup.texts == texts
    same = markup.joined(texts)
    assert Markup(same).texts == texts
    assert re.sub(r"[^<>]*", "", document) == re.sub(r"[^<>]*", "", html.unescape(same)) or "&lt;" in same
    assert markup.joined(["Z"] * len(texts)).count("Z") == len(texts)


@pytest.mark.parametrize("tag", ['<a ">"', "<a '>", '<a ">', "<a '", '<b title="x'])
def test_markup_is_read_once(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where quotes never end, in the last tag and so, if the end of each were looked for, in all before it."""
    document, read = f"{tag * 2000}>", 0

    class Counting:
        def match(self, text: str, start: int) -> re.Match[str] | None:
            nonlocal read
            found = REST.match(text, start)
            read += (found.end() if found else len(text)) - start
            return found

    monkeypatch.setattr(markup, "REST", Counting())
    parsed = Markup(document)
    assert read <= 2 * len(document)
    assert html.unescape(parsed.joined(parsed.texts)) == document


def test_no_more_letters_are_named_than_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    name = languages.unicodedata.name
    monkeypatch.setattr(languages.unicodedata, "name", lambda one, usual: named.append(one) or name(one, usual))
    assert detect("1a" * 20 * MAX_LETTERS, ["en"], lambda code, text: len(text)) == [("en", 100.0)]
    assert len(named) == MAX_LETTERS


def test_languages_are_told_apart_by_their_letters() -> None:
    def pieces(code: str, text: str) -> int:
        return {"de": 3, "en": 2, "ko": 1, "ja": 1, "ru": 1}[code]

    codes = ["de", "en", "ko", "ja", "ru"]
    assert detect("나는 인공지능을 공부하는 student입니다", codes, pieces)[0][0] == "ko"
    assert detect("это дом", codes, pieces) == [("ru", 100.0)]
    assert detect("東京 です", codes, pieces) == [("ja", 100.0)]
    assert detect("a house", codes, pieces) == [("en", 50.0), ("de", 50.0)]  # of fewer pieces first
    assert detect("123 …", codes, pieces) == []


def test_a_temperature_of_zero_is_greedy(client: httpx.Client, kinds: dict[str, Path]) -> None:
    for name in ("gpt", "recurrent"):
        greedy = LanguageModel(kinds[name]).generate("red dog", max_tokens=8, beam=1)
        asked = {"model": name, "prompt": "red dog", "max_tokens": 8, "temperature": 0}
        for more in ({}, {"strategy": "sample", "seed": 5}, {"strategy": "sample", "top_k": 5, "n": 1}):
            assert post(client, "/v1/generate", **asked, **more, stream=False)["text"] == greedy.text
        told = events(client, "/v1/generate", **asked)
        assert told[-1]["done"]["text"] == greedy.text
        several = post(client, "/v1/generate", **asked, n=2, strategy="sample", stream=False)
        assert [several["text"], several["alternatives"][0]["text"]] == [greedy.text] * 2
        assert post(client, "/v1/completions", **asked)["choices"][0]["text"] == greedy.text
