"""What comes out: letters whatever the terminal's encoding, the likeliest text at temperature 0, sets with labels that
training never had."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sightline as package
from sightline.errors import UsageError
from support.commands import sightline
from support.serving import events, post, serving


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_letters_that_a_terminal_lacks(encoding: str, old_run: Callable[[str], Path], monkeypatch) -> None:
    run, written, told = old_run("gpt"), io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(told, encoding=encoding))
    assert sightline("generate", run, "--prompt", "나는 학생", "--max-tokens", 2) == 0
    assert sightline("generate", "runs/없다", "--prompt", "나는") == 2
    sys.stderr.flush()
    assert written.getvalue().decode("utf-8").startswith("나는 학생")
    assert "runs/없다: no such run" in told.getvalue().decode("utf-8")


def test_temperature_0_takes_the_likeliest(old_run: Callable[[str], Path], capsys) -> None:
    """From Python, by the command line and by the API alike."""
    run = old_run("recurrent")
    model: Any = package.load(run)
    greedy = model.generate("The dog", beam=1, max_tokens=8)
    for seed in (1, 2):
        found = model.generate("The dog", temperature=0, max_tokens=8, seed=seed)
        assert found.tokens == greedy.tokens
        assert found.token_log_probabilities == pytest.approx(greedy.token_log_probabilities)
        capsys.readouterr()
        words = ("--prompt", "The dog", "--temperature", 0, "--max-tokens", 8, "--seed", seed)
        assert sightline("generate", run, *words) == 0
        assert capsys.readouterr().out == f"The dog{greedy.text}\n"
    with serving([run]) as server, server.client() as client:
        said = post(client, "/v1/generate", prompt="The dog", temperature=0, max_tokens=8, stream=False)
    assert said["text"] == greedy.text


def test_a_prompt_longer_than_the_context(old_run: Callable[[str], Path], tmp_path: Path, capsys) -> None:
    """What of it is read is told by every door, and is what is read."""
    run = old_run("gpt")  # of letters, 48 at once
    read, note = "a" * 25, "of more than 48 the model reads the last 25: the first 36 are cut"
    assert sightline("generate", run, "--prompt", "a" * 60, "--max-tokens", 2) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert note in line
    assert sightline("generate", run, "--prompt", "a" * 20, "--max-tokens", 2) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "prompts.txt").write_text(f"{read}\n{'a' * 60}\n")
    assert sightline("generate", run, tmp_path / "prompts.txt", "--max-tokens", 2, "--json") == 0
    captured = capsys.readouterr()
    assert [note in line for line in captured.err.splitlines() if "prompts.txt:2" in line] == [True]
    assert [note in json.loads(line).get("note", "") for line in captured.out.splitlines()] == [False, True]

    model: Any = package.load(run)
    one, same, other = model.generate(["b" * 35 + read, "c" * 35 + read, "b" * 36 + read[1:]], max_tokens=4, beam=1)
    assert same.token_log_probabilities == pytest.approx(one.token_log_probabilities)
    assert other.token_log_probabilities != pytest.approx(one.token_log_probabilities)
    assert note in one.note
    assert "note=" in repr(one)
    assert model.generate("a" * 20, max_tokens=1).note == ""

    with serving([run]) as server, server.client() as client:
        asked = {"prompt": "a" * 60, "max_tokens": 2}
        said = [
            post(client, "/v1/generate", **asked, stream=False),
            events(client, "/v1/generate", **asked)[-1]["done"],
        ]
        assert all(note in one["note"] for one in said)
        assert post(client, "/v1/generate", prompt="a", max_tokens=2, stream=False)["note"] == ""


def figures(capsys, *words: object) -> dict[str, float]:
    capsys.readouterr()
    assert sightline("evaluate", *words, "--json") == 0, capsys.readouterr().err
    (report,) = json.loads(capsys.readouterr().out)
    return report["scores"]


def test_tags_that_training_never_had(old_run: Callable[[str], Path], capsys) -> None:
    run, file = old_run("tagger"), Path("data/test.bio")
    before = figures(capsys, run, file)
    units = sum(bool(line.strip()) for line in file.read_text(encoding="utf-8").splitlines())
    Path("odd.bio").write_text(file.read_text(encoding="utf-8").rstrip("\n") + "\n\ndog\tB-XY\n", encoding="utf-8")
    assert sightline("evaluate", run, "odd.bio") == 1
    assert 'no training record has the tag "B-XY"' in capsys.readouterr().err
    after = figures(capsys, run, "odd.bio", "--unknown-labels")
    assert after["accuracy"] == pytest.approx(before["accuracy"] * units / (units + 1))
    assert after["loss"] == pytest.approx(before["loss"])


def test_classes_that_training_never_had(old_run: Callable[[str], Path], capsys) -> None:
    run, text = old_run("bert-classifier"), Path("data/test.tsv").read_text(encoding="utf-8").rstrip("\n")
    before, records = figures(capsys, run, "data/test.tsv"), len(text.splitlines()) - 1
    Path("odd.tsv").write_text(f"{text}\nA dog.\tA cat.\tA bird.\tno\tneither\t3\t0\n", encoding="utf-8")
    assert sightline("evaluate", run, "odd.tsv") == 1
    assert "neither" in capsys.readouterr().err
    after = figures(capsys, run, "odd.tsv", "--unknown-labels")
    assert after["accuracy"] == pytest.approx(before["accuracy"] * records / (records + 1))


def test_unknown_labels_are_for_tasks_with_labels(old_run: Callable[[str], Path], capsys) -> None:
    assert sightline("evaluate", old_run("gpt"), "--unknown-labels") == 2
    assert "--unknown-labels: is for runs of classification or tagging" in capsys.readouterr().err


@pytest.mark.parametrize("top", [0, -1])
def test_no_candidates_are_refused(top: int, old_run: Callable[[str], Path]) -> None:
    model: Any = package.load(old_run("bert"))
    with pytest.raises(UsageError, match=f"^top: must be at least 1, not {top}$"):
        model.fill("The [MASK]", top=top)


@pytest.mark.parametrize("name", ["a=True", "fresh=True", "anyway=True"])
def test_a_users_own_words_are_not_read_as_arguments(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline("translate", f"runs/{name}", "--text", "x") == 2
    assert f"runs/{name}: no such run" in capsys.readouterr().err
