"""The verbs as a user types them: train, translate, evaluate, init, recipes, data."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import sightline as package
from sightline import config
from sightline.cli import app
from sightline.data.records import read_records
from sightline.data.sources import resolve
from sightline.runs.dry_run import describe
from sightline.runs.training import schema
from sightline.tasks.translation.settings import TranslationSettings
from support.commands import sightline
from support.configs import MODELS
from support.data import WORDS


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]):
    """Runs a verb that must succeed; what it printed as data."""

    def run(*words: object) -> str:
        capsys.readouterr()
        assert sightline(*words) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def test_no_words_are_answered_with_help(out) -> None:
    assert out() == out("--help")
    assert out("data") == out("data", "--help")
    assert out().splitlines()[0] == "Usage: sightline [OPTIONS] COMMAND [ARGS]..."
    assert out("--version") == f"sightline {package.__version__}\n"


def verbs(commands: Mapping[str, Any]) -> Iterator[str]:
    """The words of every verb of the command line."""
    for name, command in commands.items():
        inner = vars(command).get("commands")  # of a group of verbs
        yield from [name] if inner is None else (f"{name} {one}" for one in verbs(inner))


def test_help_needs_no_torch_and_every_verb_has_examples(out) -> None:
    out("--help")  # which registers them
    known = list(verbs(vars(typer.main.get_command(app))["commands"]))
    assert {"train", "fill", "classify", "tag", "answer", "predict", "look", "align", "serve", "data get"} <= {*known}
    for verb in known:
        told = out(*verb.split(), "--help")
        assert told.count(f"sightline {verb}") + told.count("SIGHTLINE_DATA") >= 3, told
    code = (
        "import contextlib, sys; from sightline.cli import main\n"
        "for verb in sys.argv[1:]:\n    with contextlib.suppress(SystemExit): main([*verb.split(), '--help'])\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *known], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("False\n")


@pytest.mark.parametrize("kind", MODELS)
def test_translation_does_not_depend_on_batch_or_threads(kind: str, runs: dict[str, Path], texts: Path, out) -> None:
    def records(*options: str) -> list[dict]:
        return [
            json.loads(line)
            for line in out("translate", runs[kind], texts / "test.de", "--json", *options).splitlines()
        ]

    reference = records()
    assert len(reference) == 20
    for options in (("--batch-size", "1"), ("--batch-size", "7"), ("--threads", "1"), ("--threads", "2")):
        for one, other in zip(records(*options), reference, strict=True):
            assert one["text"] == other["text"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_standard_input_and_n_best(runs: dict[str, Path], out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(b"haus\nhund alt"))))
    assert len(out("translate", runs["transformer"], "--n-best", "3").splitlines()) == 6


def test_empty_lines_stay_empty(runs: dict[str, Path], out, tmp_path: Path) -> None:
    (tmp_path / "lines.de").write_text("haus\n\nhund\n", encoding="utf-8")
    translated = out("translate", runs["transformer"], tmp_path / "lines.de").split("\n")
    assert len(translated) == 4
    assert translated[1] == ""


def test_attention_in_the_terminal_and_as_a_picture(runs: dict[str, Path], out, tmp_path: Path) -> None:
    picture = tmp_path / "attention.svg"
    text = out("translate", runs["seq2seq"], "--text", "haus rot", "--attention", "--picture", picture)
    assert "</s>" in text
    assert any(shade in text for shade in "░▒▓█")
    svg = picture.read_text(encoding="utf-8")
    assert svg.startswith("<?xml")
    assert "&lt;/s&gt;" in svg


def test_evaluate_prints_signatures(runs: dict[str, Path], out) -> None:
    text = out("evaluate", runs["transformer"], "--lowercase", "--by-length")
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in text
    assert "case:lc" in text
    assert "perplexity" in text
    (report,) = json.loads(out("evaluate", runs["transformer"], "--json"))
    assert report["sentences"] == 20


def test_prefix_is_written_first(runs: dict[str, Path], out) -> None:
    assert out("translate", runs["transformer"], "--text", "haus", "--prefix", "house").startswith("house")


def test_same_command_again_changes_nothing(runs: dict[str, Path], config_file: Path) -> None:
    run = runs["transformer"]
    before = (run / "model.safetensors").read_bytes()
    assert sightline("train", config_file, "--run", run, *MODELS["transformer"]) == 0
    assert (run / "model.safetensors").read_bytes() == before


def test_fresh_starts_over(config_file: Path, tmp_path: Path) -> None:
    words = ("train", config_file, "--run", tmp_path / "run", *MODELS["transformer"], "training.max_updates=2")
    assert sightline(*words) == 0
    (tmp_path / "run" / "marker").write_text("old", encoding="utf-8")
    assert sightline(*words, "--fresh") == 0
    assert not (tmp_path / "run" / "marker").exists()


def test_run_directory_is_complete(runs: dict[str, Path]) -> None:
    run = runs["transformer"]
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "config.toml",
        "tokenizer",
        "model.safetensors",
        "checkpoints",
        "metrics.jsonl",
        "README.md",
        "manifest.json",
    }
    card = (run / "README.md").read_text(encoding="utf-8")
    assert "nrefs:1|case:mixed" in card
    resolved = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    assert resolved["training"]["threads"] == 1
    assert resolved["model"]["positions"] == "sinusoidal"


def test_python_api(runs: dict[str, Path]) -> None:
    translator = package.load(runs["transformer"])
    one = translator.translate("haus rot", attention=True)
    assert one.attention.weights.shape[1:] == (len(one.tokens) + 1, len(one.attention.source))
    assert one.attention.weights.sum(-1) == pytest.approx(1.0, abs=1e-5)
    several = translator.translate(["haus", "hund"], beam=3, n_best=2)
    assert [len(record.alternatives) for record in several] == [1, 1]
    found = translator.translate(list(WORDS))
    # a model that has hardly learned writes pieces that a tokenizer would not cut its text into
    target = translator.tokenizers["target"]
    usual = [one for one in found if target.tokens(target.encode(one.text)) == list(one.tokens)]
    assert usual
    scores = translator.score([one.source for one in usual], [one.text for one in usual])
    for one, scored in zip(usual, scores, strict=True):
        written = len(one.token_log_probabilities)  # without the end, where the length limit was the end
        assert scored.token_log_probabilities[:written] == pytest.approx(one.token_log_probabilities, abs=1e-3)
    beam_of_5 = translator.translate("haus")
    assert [one.text for one in translator.stream(["haus"] * 3)] == [beam_of_5.text] * 3


def test_init_writes_what_train_accepts(texts: Path, tmp_path: Path, out) -> None:
    for model in ("transformer", "seq2seq"):
        file = tmp_path / f"{model}.toml"
        out("init", file, "--source", texts / "train.de", "--target", texts / "train.en", "--model", model)
        written = file.read_text(encoding="utf-8")
        assert written.count("#") > 50
        assert sightline("train", file, "--dry-run") == 0
        assert sightline("init", file) == 2  # never overwritten
        assert file.read_text(encoding="utf-8") == written


def test_every_recipe_is_valid_and_described(out) -> None:
    listed = out("recipes")
    for name, text in config.recipes().items():
        values = config.parse(name, text)
        settings = config.validate(schema(values, name), values, name, text)
        assert text.startswith("# ")
        assert name in listed
        assert len(describe(settings)) == 4
        assert out("recipes", name) == text


@pytest.mark.skipif("SIGHTLINE_DATA" not in os.environ, reason="SIGHTLINE_DATA is not set: no real data")
def test_columns_that_recipes_name_exist() -> None:
    def files(values: object) -> Iterator[dict[str, Any]]:
        if isinstance(values, list):
            for value in values:
                yield from files(value)
        elif isinstance(values, dict):
            if "source" in values:
                yield values
            for value in values.values():
                yield from files(value)

    seen = 0
    for name, text in config.recipes().items():
        for one in files(config.parse(name, text)["data"]):
            single = (one[key] for key in ("label", "column", "source_column", "target_column") if key in one)
            columns = (*one.get("texts", ()), *single)
            if columns:
                assert len(next(iter(read_records(resolve(one["source"]), columns)))[1]) == len(columns), name
                seen += 1
    assert seen > 20


def test_resolved_configuration_reads_back_the_same(texts: Path, config_file: Path) -> None:
    text = config_file.read_text(encoding="utf-8")
    settings = config.validate(TranslationSettings, config.parse("x", text), "x", text)
    for dumped in (config.to_toml(settings), config.commented(settings)):
        assert config.validate(TranslationSettings, config.parse("x", dumped), "x", dumped) == settings


def test_data_verbs(texts: Path, out, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "multi30k" in out("data", "list")
    assert {one["name"] for one in json.loads(out("data", "list", "--json"))} >= {"multi30k", "ko-en-tatoeba"}
    report = out(
        "data",
        "check",
        texts / "train.de",
        texts / "train.en",
        "--test-source",
        texts / "test.de",
        "--test-target",
        texts / "test.en",
    )
    assert "300 pairs" in report
    assert "overlap" in report
    assert json.loads(out("data", "check", texts / "train.de", texts / "train.en", "--json"))["train"]["pairs"] == 300
