"""What users of language models and classifiers run into at the edges: company, stops, dead ends, odd arguments."""

from __future__ import annotations

import io
import json
import random
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch

import sightline as package
from sightline.decode import SearchOptions
from sightline.errors import UsageError
from sightline.runs.training import complete
from sightline.tasks.language.decoding import score_ids
from sightline.tasks.registry import TASKS
from support.commands import sightline
from support.configs import LANGUAGE_MODELS
from support.language_cases import VOCAB, make
from support.search_cases import search

NEURAL = [name for name in LANGUAGE_MODELS if name != "ngram"]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]):
    def run(*words: object) -> str:
        capsys.readouterr()
        assert sightline(*words) in (1, 2)
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.strip().splitlines()[-1:]
        assert "unexpected" not in line
        return line

    return run


@pytest.mark.parametrize("stride", [None, 1, 3])
def test_company_does_not_change_a_score(stride: int | None) -> None:
    model = make("gpt-2")
    draw = random.Random(1)
    rows = [[2, *(draw.randrange(3, VOCAB) for _ in range(length))] for length in (3, 12, 17, 30, 45)]
    together = score_ids(model, rows, stride=stride)
    for row, found in zip(rows, together, strict=True):
        assert found == pytest.approx(score_ids(model, [row], stride=stride)[0], abs=1e-5)
        assert len(found) == len(row) - 1


def test_streams_end_where_stop_strings_begin(
    language_runs: dict[str, Path], texts: Path, language_file, tmp_path
) -> None:
    assert sightline("train", language_file, "--run", tmp_path / "word", *LANGUAGE_MODELS["ngram"],
                     "tokenizer.kind=word") == 0  # fmt: skip
    for run, stops in (
        (language_runs["ngram"], ["e", "d h", "house r", "s"]),
        (tmp_path / "word", [" dog", " r", "e"]),
    ):
        model: Any = package.load(run)
        for seed in range(6):
            for stop in stops:
                for prompt in ("r", "red", ""):
                    one = model.generate(prompt, max_tokens=12, seed=seed, stop=stop)
                    pieces = model.stream(prompt, max_tokens=12, seed=seed, stop=[stop])
                    assert "".join(pieces) == one.text
                    assert stop not in one.text
                    free = model.generate(prompt, max_tokens=12, seed=seed).text
                    assert one.text == free.split(stop)[0]


def test_nothing_may_follow() -> None:
    """A chain that reaches a token after which all are forbidden ends there, unfinished."""
    table = torch.full((5, 5), -torch.inf)
    table[1, 3] = table[3, 4] = table[4, 0] = 0.0

    class Nothing:
        def reorder(self, index: torch.Tensor) -> Nothing:
            return self

    for strategy in ("sample", "beam"):
        options = SearchOptions.model_validate({"strategy": strategy, "beam": 2, "max_length_factor": 0})
        ((one,),) = search(
            lambda tokens, state: (table[tokens], state), Nothing(), options,
            source_lengths=[0], bos_id=1, eos_id=2, forbidden=(0,),
        )  # fmt: skip
        assert one.tokens == (3, 4)
        assert not one.finished


def test_generating_without_smoothing(language_file: Path, tmp_path: Path, capsys) -> None:
    keys = [*LANGUAGE_MODELS["ngram"], "model.smoothing=none", "tokenizer.kind=word", "tokenizer.vocab_size=8"]
    assert sightline("train", language_file, "--run", tmp_path / "run", *keys) == 0
    for seed in range(8):
        assert sightline("generate", tmp_path / "run", "--seed", seed, "--max-tokens", 20) == 0
    assert sightline("train", language_file, "--run", tmp_path / "all", *keys[:-1]) == 0
    capsys.readouterr()
    assert sightline("score", tmp_path / "all", "--text", "house zzz", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out, parse_constant=pytest.fail)["perplexity"] is None
    assert "perplexity inf a token" in captured.err


def test_temperatures_at_the_ends(language_runs: dict[str, Path], fails) -> None:
    model: Any = package.load(language_runs["gpt"])
    greedy = model.generate("red", beam=1, max_tokens=8)
    assert model.generate("red", temperature=1e-42, max_tokens=8).text == greedy.text
    assert "finite" in fails("generate", language_runs["gpt"], "--temperature", "inf")


def test_a_beam_in_the_configuration(language_file: Path, tmp_path: Path, capsys) -> None:
    keys = [*LANGUAGE_MODELS["ngram"], "search.strategy=beam", "search.beam=3"]
    assert sightline("train", language_file, "--run", tmp_path / "run", *keys) == 0
    capsys.readouterr()
    assert sightline("generate", tmp_path / "run", "--prompt", "red", "--max-tokens", 5) == 0
    told = capsys.readouterr().out
    model: Any = package.load(tmp_path / "run")
    assert told == "red" + model.generate("red", max_tokens=5).text + "\n"
    plain: Any = package.load(tmp_path / "run")
    assert plain.generate("red", max_tokens=5, beam=1).text == "".join(plain.stream("red", max_tokens=5, beam=1))


def test_refused_in_one_line(
    language_runs: dict[str, Path], classifiers: dict[str, Path], fails, tmp_path: Path
) -> None:
    gpt, half = language_runs["gpt"], "\udcff\udcfe"
    assert "stride: 17" in fails("score", gpt, "--text", "red dog " * 20, "--stride", 17)
    assert "--by-length: is for runs of translation" in fails("evaluate", gpt, "--by-length")
    assert "--lowercase: is for runs of translation" in fails("evaluate", classifiers["single"], "--lowercase")
    assert "not UTF-8" in fails("generate", gpt, "--prompt", half)
    assert "not UTF-8" in fails("score", gpt, "--text", half)
    assert "not UTF-8" in fails("classify", classifiers["single"], "--text", half)
    assert "empty string" in fails("generate", gpt, "--stop", "")
    assert "of task classification" in fails("export", classifiers["single"], tmp_path / "out")
    model: Any = package.load(gpt)
    with pytest.raises(UsageError, match="max_tokens: must be at least 1, not 0"):
        model.generate("red", max_tokens=0)
    with pytest.raises(UsageError, match="n: must be at least 1"):
        model.generate("red", n=0)


def test_a_metric_that_there_is_not(language_file, config_file, labelled_files, tmp_path: Path, fails) -> None:
    for file in (language_file, config_file, labelled_files["single"]):
        told = fails("train", file, "training.metric=acuracy", "--run", tmp_path / "run")
        assert 'training.metric: there is no "acuracy"' in told
        assert not (tmp_path / "run").exists()
    assert "validation.tokens" in fails("train", language_file, "validation.tokens=1", "--run", tmp_path / "run")


def test_every_metric_is_measured(language_file, config_file, labelled_files, tmp_path: Path) -> None:
    from sightline import config
    from sightline.runs.training import prepare, schema

    for number, file in enumerate((language_file, config_file, labelled_files["single"], labelled_files["similarity"])):
        where, text = config.read(str(file))
        values = config.override(config.parse(where, text), FORMS_KEYS if number == 3 else [])
        settings: Any = complete(TASKS[values["task"]], config.validate(schema(values, where), values, where, text))[0]
        start: Any = prepare(settings, tmp_path / str(number), fresh=False, report=lambda line: None)
        names = tuple(start.learner.validate())
        assert names == start.settings.validation_metrics


FORMS_KEYS = ["data.numbers=true", "training.metric=pearson"]


def test_imported_models(language_runs: dict[str, Path], texts: Path, language_file, tmp_path: Path, fails) -> None:
    assert sightline("export", language_runs["gpt"], tmp_path / "out") == 0
    assert sightline("import", tmp_path / "out", "--run", tmp_path / "again") == 0
    assert sightline("evaluate", tmp_path / "again", texts / "test.en") == 0
    assert "nothing to learn from" in fails("train", tmp_path / "again/config.toml", "--run", tmp_path / "again")
    text = language_file.read_text(encoding="utf-8").replace('.en" }', '.en", documents = "running" }')
    (tmp_path / "running.toml").write_text(text, encoding="utf-8")
    keys = [*LANGUAGE_MODELS["gpt"], "training.max_updates=5"]
    assert sightline("train", tmp_path / "running.toml", "--run", tmp_path / "running", *keys) == 0
    assert sightline("export", tmp_path / "running", tmp_path / "out2") == 0
    assert sightline("import", tmp_path / "out2", "--run", tmp_path / "running2") == 0
    before, after = (package.load(tmp_path / name) for name in ("running", "running2"))
    assert before.score("red dog").log_probability == pytest.approx(after.score("red dog").log_probability, abs=1e-4)  # pyright: ignore


def test_one_text_is_one_text(language_runs: dict[str, Path], classifiers: dict[str, Path]) -> None:
    model: Any = package.load(language_runs["recurrent"])
    assert model.score("abc") == model.score(["abc"])[0]
    assert model.generate("red", stop="dog", seed=1) == model.generate("red", stop=["dog"], seed=1)
    classifier: Any = package.load(classifiers["single"])
    assert classifier.predict("red dog") == classifier.predict(["red dog"])[0]


def test_text_in_pieces_of_letters(language_runs: dict[str, Path], classifiers: dict[str, Path]) -> None:
    """What a keyboard may send decomposed is read as files are, composed."""
    composed = "재미있는 영화"
    apart = unicodedata.normalize("NFD", composed)
    model: Any = package.load(language_runs["gpt"])
    assert apart != composed
    assert model.score(apart) == model.score(composed)
    assert model.encode_prompt(apart) == model.encode_prompt(composed)
    classifier: Any = package.load(classifiers["single"])
    assert classifier.predict(apart) == classifier.predict(composed)


def test_spelled_line_feeds(language_runs: dict[str, Path], capsys, monkeypatch) -> None:
    words = ["generate", language_runs["ngram"], "--max-tokens", 4, "--seed", 2]
    assert sightline(*words, "--prompt", r"red\nold\\n") == 0
    assert capsys.readouterr().out.startswith("red\nold\\n")
    text = io.TextIOWrapper(io.BytesIO(b"red dog\nold\n\nhouse\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", text)
    assert sightline("score", language_runs["ngram"], "-", "--documents", "block") == 0
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()] == ["red dog old", "house"]


def test_labels_that_are_numbers_in_json(labelled_files, texts: Path, tmp_path: Path, capsys) -> None:
    rows = [(line.split("\t")[0], line.split("\t")[5]) for line in (texts / "train.tsv").read_text().splitlines()[1:]]
    lines = [json.dumps({"text": text, "label": int(label)}) for text, label in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert sightline("init", tmp_path / "my.toml", "--source", tmp_path / "rows.jsonl", "--task", "classification") == 0
    small = ["model.d_model=16", "model.num_layers=1", "model.num_heads=2", "model.d_ff=16", "training.max_updates=2",
             "tokenizer.vocab_size=300"]  # fmt: skip
    assert sightline("train", tmp_path / "my.toml", "--run", tmp_path / "run", *small) == 0
    model: Any = package.load(tmp_path / "run")
    assert set(model.predict("red dog").probabilities) == {label for _, label in rows}


def test_the_hint_after_training_works(classifiers: dict[str, Path], labelled_files, capsys) -> None:
    assert sightline("train", labelled_files["pair"], "--run", classifiers["pair"]) == 0
    hint = capsys.readouterr().err.strip().splitlines()[-1]
    assert hint.count("--text '…'") == 2
    words = hint.removeprefix("next: sightline ").replace("'", "").split()
    assert sightline(*words) == 0


def test_syllables_of_jamo_in_a_stream(language_file: Path, tmp_path: Path) -> None:
    """A letter that comes later may change the syllable before it, which is therefore held back."""
    for name in ("train", "val"):
        (tmp_path / f"{name}.ko").write_text("가 각 간 나 낙 난 다리 달리\n" * 40, encoding="utf-8")
    words = ["train", language_file, "--run", tmp_path / "run", *LANGUAGE_MODELS["gpt"], "tokenizer.kind=char",
             "tokenizer.jamo=true", "training.max_updates=8", "data.test={}",
             f"data.train=[{{ source = '{tmp_path}/train.ko' }}]",
             f"data.validation=[{{ source = '{tmp_path}/val.ko' }}]"]  # fmt: skip
    assert sightline(*words) == 0
    model: Any = package.load(tmp_path / "run")
    most = 0
    for seed in range(5):
        keys = {"strategy": "sample", "temperature": 2.0, "seed": seed, "max_tokens": 30}
        pieces = list(model.stream("가", **keys))
        assert "".join(pieces) == model.generate("가", **keys).text
        most = max(most, len(pieces))
    assert most > 3
