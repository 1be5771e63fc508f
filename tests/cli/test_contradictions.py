"""Options that are of no use, or contradict each other: refused in one line, and nothing is ignored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import sightline as package
from sightline.errors import UsageError
from sightline.models.registry import LANGUAGE_MODELS
from sightline.tasks.exchange import Asked
from sightline.tasks.registry import TASKS
from sightline.tasks.spec import Init
from sightline.tasks.tagging.settings import TaggingSettings
from support.commands import sightline


@pytest.mark.parametrize(
    ("run", "words", "told"),
    [
        (
            "gpt",
            ("generate", "RUN", "--beam", 4, "--temperature", 0.5, "--top-k", 3),
            "temperature: is of sampling, not of a beam search; leave out either",
        ),
        (
            "gpt",
            ("score", "RUN", "--text", "A dog", "--documents", "block"),
            "--documents: cuts a file into texts, and --text is one; leave it out",
        ),
        (
            "gpt",
            ("evaluate", "RUN", "--batch-size", 8),
            "--batch-size: is for runs of translation; RUN is a run of task",
        ),
        (
            "gpt",
            ("look", "RUN", "--list", "--check"),
            "--list names what is recorded and shows none of it; leave --check",
        ),
        ("gpt", ("look", "RUN", "--list", "--picture", "x.svg"), "--list names what is recorded and shows none of it"),
        (
            None,
            ("data", "check", "data/test.ko", "data/test.en", "--test-target", "nowhere"),
            "--test-target: nowhere is of test sources; name them with --test-source",
        ),
        (
            None,
            ("init", "my.toml", "--task", "classification", "--source", "data/test.tsv", "--target", "x"),
            "--target: is of translation; the data of task classification are in one file, leave it out",
        ),
    ],
)
def test_options_that_would_be_ignored(run: str | None, words: tuple, told: str, old_run, capsys) -> None:
    path = str(old_run(run or "ngram"))
    assert sightline(*(path if one == "RUN" else one for one in words)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sightline: {told.replace('RUN', path)}")
    assert not Path("my.toml").exists()


def test_forms_of_a_classifier_from_elsewhere() -> None:
    assert Asked("pair").form == "pair"
    with pytest.raises(UsageError, match=r'^form: there is no "nonsense"; known: pair, similarity, single$'):
        Asked("nonsense")


def test_attention_is_told_as_json_too(old_run: Callable[[str], Path], capsys) -> None:
    run = old_run("transformer")
    assert sightline("translate", run, "--text", "나는 학생입니다.", "--attention", "--json") == 0
    found = json.loads(capsys.readouterr().out)["attention"]
    model: Any = package.load(run)
    weights, source, target = model.translate("나는 학생입니다.", attention=True).attention.by_word()
    assert (found["source"], found["target"]) == (list(source), list(target))
    np.testing.assert_allclose(found["weights"], weights)


class OwnSettings(TaggingSettings):
    """Settings of a task that a user's file adds."""

    task: Literal["own"] = "own"  # pyright: ignore[reportIncompatibleVariableOverride]


def test_init_knows_what_plugins_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that names no kinds of models, and a kind of model that was added."""
    known: dict[str, Any] = vars(TASKS)["_specs"]
    monkeypatch.setitem(known, "own", replace(TASKS["tagging"], name="own", settings=OwnSettings, init=Init()))
    assert sightline("init", tmp_path / "own.toml", "--task", "own", "--source", "train.bio") == 0
    assert 'task = "own"' in (tmp_path / "own.toml").read_text(encoding="utf-8")
    monkeypatch.setitem(LANGUAGE_MODELS, "gated", LANGUAGE_MODELS["gpt"])
    assert TASKS["language"].init.kinds == ("gpt", "recurrent", "window", "ngram", "gated")
    assert TASKS["translation"].init.kinds == ("transformer", "seq2seq")
