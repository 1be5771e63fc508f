"""Translations: what blank text becomes, what figures mean, how pairs are scored, and what is said to do next."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import sightline as package
from sightline.decode import Hypothesis
from sightline.tasks.translation.settings import TranslationSettings
from sightline.tasks.translation.spec import SPEC
from sightline.train.run_directory import Run
from support.commands import sightline
from support.configs import MODELS
from support.data import WORDS
from support.serving import post, serving

BLANK = (" ", "\t", " \t ", "\u3000", "\u200b", "\ufeff")


def test_blank_text_becomes_nothing(old_run: Callable[[str], Path], tmp_path: Path, capsys) -> None:
    """By the command line, from Python and by the API; the lines beside it are what they are alone."""
    run, text = old_run("transformer"), "늙은 개가 집도 그린다."
    translator: Any = package.load(run)
    alone = translator.translate(text)
    found = translator.translate([text, *BLANK, "", text])
    assert [one.text for one in found] == [alone.text, *[""] * (len(BLANK) + 1), alone.text]
    assert [one.source for one in found[1:-2]] == list(BLANK)
    assert list(translator.reading(" ").outputs) == ["</s>"]
    assert (found[1].tokens, found[1].log_probability, found[1].finished) == ((), 0.0, True)
    (tmp_path / "lines").write_text("\n".join([text, *BLANK, "", text]) + "\n", encoding="utf-8")
    capsys.readouterr()
    assert sightline("translate", run, tmp_path / "lines") == 0
    assert capsys.readouterr().out.split("\n") == [alone.text, *[""] * (len(BLANK) + 1), alone.text, ""]
    with serving([run]) as server, server.client() as client:
        said = post(client, "/v1/translate", text=[text, *BLANK])["translations"]
    assert [one["text"] for one in said] == [alone.text, *[""] * len(BLANK)]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bert-classifier", ("classify", "--text", " ", "--text", "\u3000")),
        ("tagger", ("tag", "--text", " ")),
        ("gpt", ("score", "--text", " ")),
        ("bert", ("fill", " ")),
    ],
)
def test_blank_text_ends_in_no_traceback(kind: str, words: tuple[str, ...], old_run, capsys) -> None:
    assert sightline(words[0], old_run(kind), *words[1:]) in (0, 2)
    told = capsys.readouterr().err
    assert "unexpected" not in told
    assert "Traceback" not in told


def test_bleu_in_training_is_that_of_evaluate(config_file: Path, texts: Path, tmp_path: Path, monkeypatch, capsys):
    """Also where the tokenizer loses what the references have: they are the files' own."""
    capitals = (texts / "val.en").read_text(encoding="utf-8").splitlines()
    (tmp_path / "val.en").write_text("".join(f"{line.capitalize()}\n" for line in capitals), encoding="utf-8")
    run = tmp_path / "run"

    def translated(model: Any, sources: Sequence[Sequence[int]], *_: Any, **more: Any) -> list[list[Hypothesis]]:
        """Word by word, as a perfect model would if its tokenizer had capitals."""
        tokenizers = Run(run).load_tokenizers()
        lines = [tokenizers["source"].decode(list(one)).split() for one in sources]
        written = [tokenizers["target"].encode(" ".join(WORDS[word] for word in line)) for line in lines]
        return [[Hypothesis(tuple(ids), 0.0, 0.0, (0.0,) * (len(ids) + 1), True)] for ids in written]

    for user in ("task", "predictor"):
        monkeypatch.setattr(f"sightline.tasks.translation.{user}.translate_ids", translated)
    files = f'data.validation={{ source = "{texts}/val.de", target = "{tmp_path}/val.en" }}'
    keys = ["tokenizer.lowercase=true", "training.max_updates=2", "training.validate_every=2"]
    keys += ["validation.sentences=50"]
    assert sightline("train", config_file, "--run", run, *MODELS["seq2seq"], *keys, files) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    (in_training,) = (line["bleu"] for line in lines if line["kind"] == "validation")
    capsys.readouterr()
    assert sightline("evaluate", run, texts / "val.de", tmp_path / "val.en", "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert in_training == pytest.approx(next(one["score"] for one in report["scores"] if one["name"] == "BLEU"))
    assert 0 < in_training < 99


def test_pairs_are_scored(old_run: Callable[[str], Path], capsys) -> None:
    run = old_run("transformer")
    sources = Path("data/test.ko").read_text(encoding="utf-8").splitlines()
    targets = Path("data/test.en").read_text(encoding="utf-8").splitlines()
    translator: Any = package.load(run)
    expected = translator.score(sources, targets)
    assert sightline("score", run, "data/test.ko", "data/test.en", "--json") == 0
    told = capsys.readouterr()
    found = [json.loads(line) for line in told.out.splitlines()]
    assert [(one["source"], one["translation"]) for one in found] == list(zip(sources, targets, strict=True))
    assert [one["log_probability"] for one in found] == pytest.approx([one.log_probability for one in expected])
    tokens = sum(len(one.token_log_probabilities) for one in expected)
    assert f"{tokens} tokens: perplexity " in told.err
    Path("both.tsv").write_text(f"{sources[0]}\t{targets[0]}\n", encoding="utf-8")
    assert sightline("score", run, "both.tsv") == 0
    assert capsys.readouterr().out == f"{expected[0].log_probability:.4f}\t{expected[0].perplexity:.3f}\t" + "\t".join(
        (sources[0], f"{targets[0]}\n")
    )
    assert sightline("score", run, "--text", sources[0], "--translation", targets[0]) == 0
    assert capsys.readouterr().out.startswith(f"{expected[0].log_probability:.4f}\t")


def test_what_is_no_pair_is_refused_in_one_line(old_run: Callable[[str], Path], capsys) -> None:
    run, gpt = old_run("transformer"), old_run("gpt")
    Path("long.en").write_text("dog " * 2000 + "\n", encoding="utf-8")
    Path("one.ko").write_text("나는\n", encoding="utf-8")
    for words, says in (
        ((run, "--text", "나는"), "--translation"),
        ((run,), "from files"),
        ((run, "--stride", 3, "data/test.ko", "data/test.en"), "--stride"),
        ((gpt, "data/test.en", "data/test.ko"), "scores texts"),
        ((run, "one.ko", "long.en"), "one.ko:1: target of"),
    ):
        capsys.readouterr()
        assert sightline("score", *words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line, line


@pytest.mark.parametrize(("attention", "looks"), [("none", False), ("additive", True)])
def test_a_fixed_context_is_not_told_to_attend(attention: str, looks: bool) -> None:
    values = {"train": [{"source": "a", "target": "b"}], "validation": {"source": "a", "target": "b"}}
    settings = TranslationSettings.model_validate(
        {"data": values, "model": {"kind": "seq2seq", "attention": attention}}
    )
    told = SPEC.next_after_training("runs/one", settings)
    assert told.startswith("sightline translate runs/one --text '…'")
    assert ("--attention" in told) == looks


def test_scores_of_one_name_are_told_apart(old_run: Callable[[str], Path], capsys) -> None:
    assert sightline("evaluate", old_run("transformer"), "--lowercase") == 0
    signed = [line for line in capsys.readouterr().out.splitlines() if "|version:" in line]
    labels = [line.split(".")[0].rsplit(" ", 1)[0].strip() for line in signed]
    assert sorted(labels) == ["BLEU", "BLEU, lowercase", "TER", "chrF2"]


def test_a_text_of_several_sentences(old_run: Callable[[str], Path], capsys) -> None:
    """Each is translated as it is alone; the whole is put together of them, by every door."""
    run = old_run("transformer")
    first, second = "빨간 개가 집도 본다.", "새는 작은 나무도 그린다."
    translator: Any = package.load(run)
    alone = [translator.translate(one, n_best=2, attention=True) for one in (first, second)]
    whole = translator.translate(f"{first}\n {second}", n_best=2, attention=True)
    assert [one.text for one in whole.sentences] == [one.text for one in alone]
    assert [one.source for one in whole.sentences] == [first, second]
    assert whole.text == "\n ".join(one.text for one in alone)
    assert whole.log_probability == pytest.approx(sum(one.log_probability for one in alone))
    assert whole.log_probability == pytest.approx(sum(whole.token_log_probabilities))
    assert whole.tokens == alone[0].tokens + alone[1].tokens
    assert whole.finished == all(one.finished for one in alone)
    assert whole.alternatives[0].text == "\n ".join(one.alternatives[0].text for one in alone)
    assert whole.attention is None
    assert [one.attention.weights.shape for one in whole.sentences] == [one.attention.weights.shape for one in alone]
    assert alone[0].sentences == ()
    assert translator.translate(f"{first} {second}", split=False).sentences == ()
    begun = translator.translate(f"{first} {second}", prefix="The bird", beam=1)
    assert begun.text.startswith("The bird")
    assert begun.sentences[1].text == translator.translate(second, beam=1).text
    assert sightline("translate", run, "--text", f"{first} {second}", "--json", "--n-best", 2) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in said["sentences"]] == [one.text for one in alone]
    assert said["alternatives"][0]["text"] == " ".join(one.alternatives[0].text for one in alone)
    assert sightline("translate", run, "--text", f"{first} {second}", "--picture", "looked.svg") == 0
    assert [Path(f"looked-{number}.svg").exists() for number in (1, 2, 3)] == [True, True, False]
    with serving([run]) as server, server.client() as client:
        asked = {"text": f"{first} {second}", "attention": True, "candidates": 2}
        (answer,) = post(client, "/v1/translate", **asked)["translations"]
        (single,) = post(client, "/v1/translate", **{**asked, "text": second})["translations"]
        described = client.get("/openapi.json").json()["components"]["schemas"]
    assert answer["sentences"][1] == {name: value for name, value in single.items() if name != "sentences"}
    assert [len(one["candidates"]) for one in answer["sentences"]] == [
        len(one["tokens"]) for one in answer["sentences"]
    ]
    assert sum(one["log_probability"] for one in answer["tokens"]) == pytest.approx(answer["log_probability"])
    assert "sentences" in described["TranslationAnswer"]["properties"]


def test_limits_are_of_a_sentence(old_run: Callable[[str], Path], capsys) -> None:
    run = old_run("transformer")
    long = " ".join(["새는 작은 나무도 그린다."] * 16)
    translator: Any = package.load(run)
    assert len(translator.translate(long, beam=1).sentences) == 16
    assert sightline("translate", run, "--text", long, "--no-split") == 2
    assert "--text:1: source of" in capsys.readouterr().err
    with serving([run], slots=2, waiting=3) as server, server.client() as client:
        # more sentences than are waited for at once, one portion after the other
        (answer,) = post(client, "/v1/translate", text=long, beam=1)["translations"]
        assert len(answer["sentences"]) == 16
        refused = client.post("/v1/translate", json={"text": "새. " * 513})
        assert (refused.status_code, "513 sentences" in refused.text) == (400, True)
        assert client.post("/v1/translate", json={"text": long, "split": False}).status_code == 400
