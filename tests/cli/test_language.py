"""The verbs of language models: train, generate, score, evaluate, export and import through the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import sightline as package
from sightline.data import progress
from support.commands import sightline
from support.configs import LANGUAGE_MODELS

each_model = pytest.mark.parametrize("kind", LANGUAGE_MODELS)


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]):
    def run(*words: object) -> str:
        capsys.readouterr()
        assert sightline(*words) == 0
        return capsys.readouterr().out

    return run


@each_model
def test_generate(kind: str, language_runs: dict[str, Path], out) -> None:
    words = ("generate", language_runs[kind], "--prompt", "red house", "--max-tokens", "12", "--seed", "5")
    text = out(*words)
    assert text.startswith("red house")
    assert out(*words) == text
    several = [json.loads(line) for line in out(*words, "-n", "3", "--json").splitlines()]
    assert len(several) == 3
    assert all(one["prompt"] == "red house" for one in several)
    assert len({one["text"] for one in several}) > 1
    greedy = out("generate", language_runs[kind], "--beam", "1", "--max-tokens", "5")
    assert out("generate", language_runs[kind], "--beam", "1", "--max-tokens", "5", "--seed", "9") == greedy
    model: Any = package.load(language_runs[kind])
    searched = model.generate("", beam=3, max_tokens=5)
    assert out("generate", language_runs[kind], "--beam", "3", "--max-tokens", "5").rstrip("\n") == searched.text


@each_model
def test_stop_strings_are_left_out(kind: str, language_runs: dict[str, Path], out) -> None:
    whole = out("generate", language_runs[kind], "--prompt", "red", "--max-tokens", "30", "--seed", "2")
    assert " " in whole.removeprefix("red")[1:]
    place = whole.index(" ", 4)
    given = ("--prompt", "red", "--max-tokens", "30", "--seed", "2", "--stop", " ")
    cut = out("generate", language_runs[kind], *given)
    assert cut == whole[: whole.index(" ")] + "\n"
    assert place > len(cut) - 1
    (record,) = (json.loads(line) for line in out("generate", language_runs[kind], *given, "--json").splitlines())
    assert record["finished"] is True


@each_model
def test_streamed_is_generated(kind: str, language_runs: dict[str, Path]) -> None:
    model: Any = package.load(language_runs[kind])
    pieces = list(model.stream("a dog", max_tokens=40, seed=3, top_k=5, temperature=1.5))
    assert "".join(pieces) == model.generate("a dog", max_tokens=40, seed=3, top_k=5, temperature=1.5).text
    assert len(pieces) > 1


@each_model
def test_scores_add_up(kind: str, language_runs: dict[str, Path], texts: Path, out, capsys) -> None:
    lines = out("score", language_runs[kind], texts / "test.en").splitlines()
    written = (texts / "test.en").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[2] for line in lines] == written
    total = sum(float(line.split("\t")[0]) for line in lines)
    records = [json.loads(line) for line in out("score", language_runs[kind], texts / "test.en", "--json").splitlines()]
    assert sum(one["log_probability"] for one in records) == pytest.approx(total, abs=1e-2)
    assert all(math.fsum(one["token_log_probabilities"]) == pytest.approx(one["log_probability"]) for one in records)
    assert records[0]["tokens"][-1] == "</s>"
    size = len((texts / "test.en").read_bytes())
    capsys.readouterr()
    sightline("score", language_runs[kind], texts / "test.en")
    assert f"{-total / math.log(2) / size:.4f} bits a byte" in capsys.readouterr().err
    one = package.load(language_runs[kind]).score([written[0]])[0]  # pyright: ignore
    assert one.bits_per_byte == pytest.approx(-one.log_probability / math.log(2) / (len(written[0]) + 1))
    assert one.perplexity == pytest.approx(math.exp(-one.log_probability / one.predicted))
    assert one.word_perplexity == pytest.approx(math.exp(-one.log_probability / (len(written[0].split()) + 1)))


def test_evaluation_is_the_score_of_the_lines(language_runs: dict[str, Path], texts: Path, out) -> None:
    """An n-gram model reads every line on its own, so the two ways must agree to the last digits."""
    (report,) = json.loads(out("evaluate", language_runs["ngram"], "--json"))
    records = [
        json.loads(line) for line in out("score", language_runs["ngram"], texts / "test.en", "--json").splitlines()
    ]
    total = -sum(one["log_probability"] for one in records)
    assert report["scores"]["loss"] * report["tokens"] == pytest.approx(total, rel=1e-5)
    assert "bits per byte" in out("evaluate", language_runs["gpt"])
    card = (language_runs["gpt"] / "README.md").read_text(encoding="utf-8")
    assert "| test | perplexity per token |" in card


def test_a_model_of_text_without_documents(texts: Path, language_file: Path, tmp_path: Path, out, capsys) -> None:
    files = f'[{{ source = "{texts}/train.en", documents = "running" }}]'
    words = [f"data.train={files}", f"data.validation={files}", "tokenizer.kind=char", *LANGUAGE_MODELS["gpt"]]
    assert sightline("train", language_file, "--run", tmp_path / "run", *words) == 0
    assert len(out("generate", tmp_path / "run", "--prompt", "red\\n", "--max-tokens", "40")) == len("red\n") + 40 + 1
    assert sightline("generate", tmp_path / "run") == 2
    assert "the prompt is empty" in capsys.readouterr().err


def test_exported_and_imported_again(language_runs: dict[str, Path], tmp_path: Path, out) -> None:
    out("export", language_runs["gpt"], tmp_path / "gpt2")
    out("import", tmp_path / "gpt2", "--run", tmp_path / "again")
    text = ["a red house sees a dog"]
    first, second = (package.load(run).score(text)[0] for run in (language_runs["gpt"], tmp_path / "again"))  # pyright: ignore
    assert first.tokens == second.tokens
    torch.testing.assert_close(first.log_probability, second.log_probability, atol=1e-5, rtol=1e-5)
    out("export", language_runs["ngram"], tmp_path / "words.arpa", "--to", "arpa")
    assert (tmp_path / "words.arpa").read_text(encoding="utf-8").startswith("\\data\\")
    assert sightline("export", language_runs["recurrent"], tmp_path / "no") == 2
    assert sightline("export", language_runs["gpt"], tmp_path / "gpt2") == 2  # is there already


def test_a_run_is_used_for_what_it_learned(language_runs: dict[str, Path], runs: dict[str, Path], capsys) -> None:
    assert sightline("translate", language_runs["gpt"], "--text", "a") == 2
    assert "try `sightline generate`" in capsys.readouterr().err
    assert sightline("generate", runs["transformer"], "--prompt", "a") == 2
    assert "try `sightline translate`" in capsys.readouterr().err


def test_a_commented_configuration(texts: Path, tmp_path: Path, out) -> None:
    file = tmp_path / "my.toml"
    out("init", file, "--source", texts / "train.en", "--task", "language")
    written = file.read_text(encoding="utf-8")
    assert "# tokens read at once" in written
    # words to choose from are told once: here by the description, there beside it
    assert (
        "# bpe (byte level), unigram, wordpiece, word, space (words cut already), char or byte [fixed]\nkind" in written
    )
    assert "# how positions enter [fixed]\n# one of sinusoidal, " in written
    assert max(len(line) for line in written.splitlines()[1:] if line.startswith("#")) <= 120
    told = _told(file)
    assert "model: gpt, " in told
    assert " tokens/s, " in told


def test_a_dry_run_names_files_that_are_not_there(texts: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "my.toml"
    assert sightline("init", file, "--source", tmp_path / "none.txt", "--task", "language") == 0
    assert sightline("train", file, "model.d_model=64", "--dry-run") == 0
    told = capsys.readouterr().err
    assert told.count(f"missing: {tmp_path}/none.txt\n") == 1
    assert f"next: sightline train {file} model.d_model=64 --run runs/my\n" in told
    there = file.read_text(encoding="utf-8").replace(f"{tmp_path}/none.txt", str(texts / "train.en"))
    file.write_text(there, encoding="utf-8")
    assert sightline("train", file, "--dry-run") == 0
    assert "missing" not in capsys.readouterr().err


def test_a_text_or_a_file(language_runs: dict[str, Path], tmp_path: Path, capsys) -> None:
    assert sightline("score", language_runs["ngram"], tmp_path / "none.txt", "--text", "red dog") == 2
    assert "--text is instead of a file" in capsys.readouterr().err


def test_long_readings_are_told(texts: Path, language_file: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    keys = [*LANGUAGE_MODELS["gpt"], "training.max_updates=1"]
    assert sightline("train", language_file, "--run", tmp_path / "run", *keys) == 0
    told = capsys.readouterr().err
    size = len((texts / "train.en").read_text(encoding="utf-8"))
    lines = (texts / "train.en").read_text(encoding="utf-8").count("\n")
    assert f"learning the vocabulary: {size - lines:,} characters" in told
    assert f"encoding: {size:,} characters" in told


def _told(file: Path) -> str:
    import contextlib
    import io

    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        assert sightline("train", file, "--dry-run") == 0
    return told.getvalue()
