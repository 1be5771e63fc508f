"""What every kind of model answers through the server."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from sightline import Classifier, LanguageModel, MaskedLanguageModel, Translator
from sightline.decode import SearchOptions
from sightline.errors import SightlineError
from sightline.serve.api import Continuation
from sightline.serve.requests import MAX_TOKENS, within_limits
from sightline.sight.reading import agreement
from support.commands import sightline
from support.configs import MODELS
from support.serving import TEXT, Server, events, picture, post, serving, serving_all

# what each kind of model that attends to texts reads
READ = {
    "transformer": TEXT,
    "seq2seq": TEXT,
    "gpt": "red dog old house",
    "bert": "a [MASK] sees a dog",
    "classifier": ["red dog", "old dog"],
    "tagger": "ein haus alt",
    "answerer": ["which animal ?", "red dog house"],
}


@pytest.fixture(scope="module")
def served(kinds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_all(kinds, tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def client(served: Server) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


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
    refused = client.post("/v1/score", json={"model": "gpt", "text": TEXT, "target": "red"})
    assert refused.json()["error"]["message"] == "target: gpt scores texts, not translations; leave it out"


def test_text_is_composed_at_every_door(served: Server, client: httpx.Client) -> None:
    """Text whose letters are apart from their marks is what it is with both as one character."""
    apart, whole = (unicodedata.normalize(form, "häuser für") for form in ("NFD", "NFC"))
    asked = {"model": "seq2seq", "text": TEXT}
    assert post(client, "/v1/score", **asked, target=apart) == post(client, "/v1/score", **asked, target=whole)
    one = Continuation(served.models.by_name["gpt"].predictor, "red", 5, 1, [apart], {})
    assert one.stop == [whole]


def test_what_a_run_itself_says_of_its_search_is_bounded(
    served: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(name: str, **changes: object) -> None:
        predictor = served.models.by_name[name].predictor
        settings = predictor.settings
        changed = settings.search.with_changes(**changes)
        monkeypatch.setattr(predictor, "settings", settings.model_copy(update={"search": changed}))

    search("transformer", beam=64)
    asked = {"model": "transformer", "text": TEXT}
    for path in ("/v1/translate", "/v1/attention"):
        answer = client.post(path, json=asked)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("beam: 64 hypotheses; at most 16 here")
    assert post(client, "/v1/translate", **asked, beam=2)["translations"]
    assert post(client, "/v1/attention", **asked, target="red")["weights"]
    search("gpt", beam=20, strategy="sample")  # which sampling never reads
    assert post(client, "/v1/generate", model="gpt", prompt="red", max_tokens=2, stream=False)["tokens"]
    long = SearchOptions.model_validate({"max_length_factor": 1e308})
    assert within_limits(long, 100).max_length(100) == MAX_TOKENS
    short = SearchOptions.model_validate({})
    assert within_limits(short, 100) is short


def test_a_stream_tells_what_is_wrong(served: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: object) -> None:
        raise SightlineError("the model: what it computes is not a number")

    monkeypatch.setattr(served.models.by_name["gpt"].predictor, "generation", wrong)
    told = events(client, "/v1/generate", model="gpt", prompt="red", max_tokens=2)[-1]["error"]
    assert (told["message"], told["code"]) == ("the model: what it computes is not a number", 400)


def test_options_of_two_strategies_are_refused(client: httpx.Client) -> None:
    for body in ({"strategy": "sample", "beam": 4}, {"temperature": 0, "beam": 4}, {"strategy": "beam", "top_k": 3}):
        answer = client.post("/v1/generate", json={"model": "gpt", "prompt": "red", "max_tokens": 2, **body})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].endswith("; leave out either")


def test_blanks_labels_spans_and_answers(client: httpx.Client, kinds: dict[str, Path], tmp_path: Path) -> None:
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

    image = post(client, "/v1/classify", model="vit", image=picture(tmp_path))["labels"][0]
    assert image["label"] in image["probabilities"]
    assert post(client, "/v1/tag", text="the red dog sees")["texts"][0]["units"]
    asked = {"question": "which animal ?", "context": "red dog house"}
    assert set(post(client, "/v1/answer", **asked)) == {"model", "question", "text", "start", "end", "probability"}


@pytest.mark.parametrize("name", [*READ, "vit"])
def test_attention_of_every_kind(name: str, client: httpx.Client, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"image": picture(tmp_path)} if name == "vit" else {"text": READ[name]}
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
    losses = np.array(found["occlusion"]["values"], dtype=float)
    expected = agreement(np.array(found["weights"]), losses)
    assert found["agreement"] == pytest.approx(expected, abs=0.1)  # of rounded numbers
    assert [row[-1] for row in found["occlusion"]["values"]] == [None] * 3  # the end of the source always stays
    assert "agreement" in post(client, "/v1/attention", model="bert", text="a [MASK] sees a dog", check=True)


def test_the_right_model_where_none_is_named(client: httpx.Client, tmp_path: Path) -> None:
    """Of several that can, the one that reads what was sent."""
    image = picture(tmp_path)
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


def test_what_is_inside(client: httpx.Client) -> None:
    """Each view is what `sightline look` computes, and a model has those that it has."""
    found = {name: post(client, "/v1/look", model=name, text=text)["views"] for name, text in READ.items()}
    assert list(found["gpt"]) == ["gradients", "positions", "masks", "residual", "norms", "lens"]
    assert list(found["seq2seq"]) == ["gates", "states", "gradients", "masks"]
    lines = found["seq2seq"]["gates"]["lines"]
    assert all(0 <= value <= 1 for values in lines.values() for value in values)
    encoder = post(client, "/v1/look", model="seq2seq", text=TEXT, what="gates", site="encoder")["views"]["gates"]
    assert encoder["tokens"][-1] == "</s>"
    for name in ("transformer", "gpt", "bert"):
        heads = post(client, "/v1/look", model=name, text=READ[name], what="heads")["views"]["heads"]["heads"]
        effects = [one["effect"] for one in heads]
        assert effects == sorted(effects, reverse=True)
        np.testing.assert_allclose(np.sum(heads[0]["weights"], 1), 1, atol=0.1)
    page = post(client, "/v1/look", model="gpt", text=READ["gpt"], what="page")["views"]["page"]["html"]
    assert page.startswith("<!doctype html>")
    refused = {"gatess": 'did you mean "gates"', "belt": "no cell state", "steps": None}
    for what, says in refused.items():
        answer = client.post("/v1/look", json={"model": "gpt", "text": READ["gpt"], "what": what})
        assert answer.status_code == (400 if says else 200)
        assert says is None or says in answer.json()["error"]["message"]


def test_a_mask_is_told_where_there_is_one(client: httpx.Client) -> None:
    found = post(client, "/v1/attention", model="gpt", text=READ["gpt"])
    np.testing.assert_array_equal(found["mask"], np.tril(np.ones_like(found["mask"])))
    assert "mask" not in post(client, "/v1/attention", model="bert", text=READ["bert"])
