"""Plug-ins: what is wrong with one is told in one line; a run is tied to the file that made it."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sightline.errors import CheckpointError, UsageError
from sightline.runs import plugins
from sightline.runs.plugins import Plugin, keep_plugins, load_plugin, plugin_digests, require_plugins
from sightline.tasks import registry
from sightline.tasks.registry import TASKS
from sightline.train.identity import Identity
from sightline.train.run_directory import Run


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("TASKS = 3", "TASKS is a int; make it a list"),
        ("LANGUAGE_MODELS = [int]", "LANGUAGE_MODELS holds <class 'int'>, which is no LanguageModelSpec"),
        ("ENCODER_DECODERS = []", "adds nothing"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_plug_in_that_is_none_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=says) as error:
        load_plugin(file)
    assert "\n" not in str(error.value)


def test_a_package_that_fails_is_named_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("odd", "no.such.module:SPEC", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    monkeypatch.setattr(TASKS, "_installed", False)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"entry point odd of sightline\.tasks: ModuleNotFoundError"):
            list(TASKS)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A run directory, and what loads a plug-in with this content for a kind of model."""
    monkeypatch.setattr(plugins, "_LOADED", {})
    monkeypatch.setattr(plugins, "_CONTENT", {})

    def load(content: bytes) -> None:
        plugins._LOADED[tmp_path / "gated.py"] = Plugin("gated.py", content.decode("latin-1"), (), ("gated",))
        plugins._CONTENT["gated.py"] = content

    return Run(tmp_path / "run"), load


def of_kind(kind: str) -> Any:
    """As much of a run's settings as tells which plug-ins made it."""
    return SimpleNamespace(task="language", model=SimpleNamespace(kind=kind))


def test_a_run_is_tied_to_its_plug_in(plugged: Any, caplog: pytest.LogCaptureFixture) -> None:
    run, load = plugged
    run.path.mkdir()
    settings = of_kind("gated")
    load(b"# \xe9")  # in an encoding of its own
    keep_plugins(run, settings)
    assert (run.plugins / "gated.py").read_bytes() == b"# \xe9"
    before = Identity(code=plugin_digests(settings))
    load(b"changed")
    with pytest.raises(CheckpointError, match=r"was trained with another plugins/gated\.py"):
        before.require_same(Identity(code=plugin_digests(settings)), "run")
    before.require_same(Identity(), "run")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            require_plugins(run, "model gated")
    (line,) = caplog.messages
    assert "was made with another gated.py than the one that is loaded" in line
    # another model in its place needs none
    for _ in range(2):
        keep_plugins(run, of_kind("gpt"))
        assert run.contents() == []
