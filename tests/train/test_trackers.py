"""What trackers are told. They are stand-ins here, which note the calls: the packages are extras, and not installed
where tests run. What the calls do to the real ones was tried by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sightline.errors import UsageError
from sightline.train.display import PlainDisplay
from sightline.train.log import TrainLog
from sightline.train.trackers import TRACKERS, flat, open_trackers, parse_trackers, require_trackers
from support.commands import sightline

SETTINGS = {"task": "x", "training": {"learning_rate": 0.001, "max_epochs": None}}


class Calls:
    """A module whose every function notes that it was called."""

    def __init__(self, **given: Any) -> None:
        self.made: list[tuple[Any, ...]] = []
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> Any:
        def call(*words: Any, **named: Any) -> Any:
            self.made.append((name, *words, *([named] if named else [])))
            return self if name == "SummaryWriter" else SimpleNamespace(info=SimpleNamespace(run_id="abc"))

        return call


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Calls]:
    found = {name: Calls(MlflowException=KeyError) for name in TRACKERS}
    for name, extra in TRACKERS.items():
        monkeypatch.setitem(sys.modules, extra.module, found[name])
    for variable in ("MLFLOW_EXPERIMENT_NAME", "TRACKIO_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    return found


def told(run_dir: Path, names: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    with TrainLog(run_dir, PlainDisplay(lines.append), track=names) as log:
        log.start(SETTINGS)
        log.train(3, {"loss": 2.0, "gradient_norm": float("nan")}, None)
        log.validation(3, {"bleu": 31.25}, best=True)
    return lines


def test_what_each_is_told(packages: dict[str, Calls], tmp_path: Path) -> None:
    told(tmp_path / "first", tuple(TRACKERS))
    board, mlflow, trackio = (packages[name].made for name in ("tensorboard", "mlflow", "trackio"))
    assert board[0] == ("SummaryWriter", str(tmp_path / "first" / "tensorboard"))
    assert board[1] == ("add_text", "settings", "    task = x\n    training.learning_rate = 0.001")
    assert board[2] == ("add_scalar", "train/loss", 2.0, 3)
    assert board[4:] == [("add_scalar", "validation/bleu", 31.25, 3), ("close",)]
    assert mlflow == [
        ("set_experiment", "sightline"),
        ("start_run", {"run_name": "first"}),
        ("log_params", {"task": "x", "training.learning_rate": "0.001"}),
        ("log_metrics", {"train/loss": 2.0}, {"step": 3}),
        ("log_metrics", {"validation/bleu": 31.25}, {"step": 3}),
        ("active_run",),
        ("end_run",),
    ]
    assert trackio[0] == (
        "init",
        {"project": "sightline", "name": "first", "config": dict(flat(SETTINGS)), "resume": "allow"},
    )
    assert trackio[1][1]["train/loss"] == 2.0
    assert trackio[2:] == [("log", {"validation/bleu": 31.25}, {"step": 3}), ("finish",)]


def test_a_training_that_goes_on_writes_to_the_run_it_began(packages: dict[str, Calls], tmp_path: Path) -> None:
    told(tmp_path, ("mlflow",))
    packages["mlflow"].made.clear()
    told(tmp_path, ("mlflow",))
    assert ("start_run", {"run_id": "abc"}) in packages["mlflow"].made
    assert not any(call[0] == "log_params" for call in packages["mlflow"].made)


def test_a_tracker_that_fails_does_not_end_a_training(packages: dict[str, Calls], tmp_path: Path) -> None:
    def refuse(*words: Any, **named: Any) -> None:
        raise ConnectionError("no route to host\nand more")

    packages["mlflow"].log_metrics = refuse
    lines = told(tmp_path, ("mlflow", "trackio"))
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert warning.startswith("warning: MLflow: ConnectionError: no route to host; ")
    assert [call[0] for call in packages["trackio"].made] == ["init", "log", "log", "finish"]
    assert len((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("name", TRACKERS)
def test_one_that_is_not_installed_is_told_before_any_work(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, TRACKERS[name].module, None)
    with pytest.raises(UsageError, match=rf"is not installed; pip install 'sightline\[{name}\]'"):
        require_trackers([name])
    with pytest.raises(UsageError, match="not installed"):
        open_trackers([name], tmp_path)
    assert sightline("train", config_file, "--run", tmp_path / "run", "--track", name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{TRACKERS[name].title}: is not installed" in line
    assert not (tmp_path / "run").exists()


def test_names() -> None:
    assert parse_trackers(" mlflow,tensorboard,,mlflow") == ("mlflow", "tensorboard")
    with pytest.raises(UsageError, match='track: there is no "mlfow"; did you mean "mlflow"'):
        parse_trackers("mlfow")


def test_nothing_is_imported_unless_asked_for() -> None:
    code = (
        "import json, sys, sightline.runs.training, sightline.train.trackers as trackers; "
        "print(json.dumps([one.module for one in trackers.TRACKERS.values() if one.module in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
