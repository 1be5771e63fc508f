"""One run, one training: a second one is told so, a killed one is in nobody's way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.errors import UsageError
from sightline.train.run_directory import Run
from support.commands import sightline
from support.configs import MODELS

HOLD = """
import sys, time
from sightline.train.run_directory import Run

with Run(sys.argv[1]).locked():
    print("held", flush=True)
    time.sleep(600)
"""


def words(config_file: Path, run: Path, *more: str) -> list[object]:
    return ["train", config_file, "--run", run, *MODELS["transformer"], "training.max_updates=2", *more]


def test_two_trainings_of_one_run(config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert sightline(*words(config_file, run)) == 0
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    # another process has it, and is killed
    with subprocess.Popen([sys.executable, "-c", HOLD, run], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for more in ([], ["--fresh"]):
            capsys.readouterr()
            assert sightline(*words(config_file, run, *more)) == 2
            assert "another process is training it" in capsys.readouterr().err
        assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
        other.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    assert sightline(*words(config_file, run, "--fresh")) == 0


def test_a_training_that_cannot_begin_leaves_nothing(config_file: Path, tmp_path: Path) -> None:
    assert sightline(*words(config_file, tmp_path / "run", "data.validation=[]")) == 2
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    assert sightline(*words(config_file, tmp_path / "mine", "data.validation=[]")) == 2
    assert (tmp_path / "mine").exists()


def test_what_is_no_directory_and_what_is_anothers(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file"), Run(file).locked():
        pass
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine").write_text("mine", encoding="utf-8")
    with Run(folder).locked():
        assert Run(folder).contents() == [folder / "mine"]
    assert (folder / "mine").exists()


def test_clearing_follows_no_link(tmp_path: Path) -> None:
    kept, run = tmp_path / "kept", Run(tmp_path / "run")
    kept.mkdir()
    (kept / "file").write_text("mine", encoding="utf-8")
    with run.locked():
        (run.path / "link").symlink_to(kept)
        (run.path / "checkpoints").mkdir()
        (run.path / "config.toml").write_text("", encoding="utf-8")
        run.clear()
        assert run.contents() == []
    assert (kept / "file").exists()
