"""Runs that have ended: trained again they are only read, and go on without their parent; what their cards say."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sightline.errors import UsageError
from sightline.runs.card import model_card
from sightline.runs.evaluation import evaluate_missing
from sightline.tasks.registry import TASKS
from sightline.tasks.report import Figures
from sightline.tasks.tagging.settings import METRICS, TaggingSettings
from sightline.train.loop import Outcome
from sightline.train.run_directory import Run
from sightline.train.trackers import require_trackers
from support.commands import sightline
from support.configs import MODELS


def contents(run: Path) -> dict[str, tuple[int, bytes]]:
    """When each file was written and what is in it."""
    files = (path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(run)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_finished_run_is_only_read(runs: dict[str, Path], config_file: Path, tmp_path: Path, monkeypatch) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["seq2seq"], run)

    def never(*_: Any, **more: Any) -> Any:
        raise AssertionError("nothing is to be encoded or trained")

    monkeypatch.setattr("sightline.runs.training.build", never)
    monkeypatch.setattr("sightline.runs.training.train", never)
    words = ("train", config_file, "--run", run, *MODELS["seq2seq"])
    before = contents(run)
    assert sightline(*words) == 0
    assert contents(run) == before
    # what was not measured yet is measured, with the weights that are there
    evaluations = Run(run).evaluations
    evaluations.unlink()
    Run(run).card.unlink()
    assert sightline(*words) == 0
    after = contents(run)
    assert after.keys() == before.keys()
    made = {evaluations.name, Run(run).card.name}
    assert {name: after[name] for name in after.keys() - made} == {name: before[name] for name in before.keys() - made}
    (report,) = json.loads(evaluations.read_text(encoding="utf-8"))["reports"]
    assert report["name"] == "test"


def test_a_fine_tuned_run_goes_on_without_its_parent(old_run: Callable[[str], Path], capsys) -> None:
    parent = old_run("bert")
    words = ("train", "configs/lora.toml", "--run", "run")
    assert sightline(*words, "training.max_updates=2") == 0
    shutil.rmtree(parent)
    assert sightline(*words, "training.max_updates=4") == 0, capsys.readouterr().err
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["update"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4]
    assert sightline(*words, "training.max_updates=4", "--fresh") == 2
    assert "finished/bert" in capsys.readouterr().err


def test_per_cents_are_told_as_such(old_run: Callable[[str], Path], capsys) -> None:
    for spec in TASKS.values():
        for metric in spec.metrics.values():
            assert metric.text(12.5).endswith(" %") == (metric.unit == "%"), metric
    metrics = TASKS["tagging"].metrics
    found = Figures("test", 3, "records", {"loss": 0.25, "span_f1": 98.54854481332475}, 1.0, metrics)
    loss, f1 = found.lines()[1:]
    assert loss.endswith(metrics["loss"].text(0.25))
    assert "%" not in loss
    assert f1.endswith(" %")
    assert "98.54854" not in f1
    assert sightline("evaluate", old_run("tagger")) == 0
    told = capsys.readouterr().out.splitlines()[1:]
    assert {line.split()[0]: line.endswith(" %") for line in told} == {
        "loss": False, "accuracy": True, "precision": True, "recall": True, "span": True,
    }  # fmt: skip


def test_a_card_says_nothing_twice_and_rounds(old_run: Callable[[str], Path]) -> None:
    settings = Run(old_run("tagger")).settings(TaggingSettings)
    outcome = Outcome("12 updates", 12, 98.54854481332475, 6, 1.0)
    card = model_card(settings, outcome, [], 1234, METRICS["span_f1"])
    assert card.count("12 updates") == 1
    assert "98.54854" not in card
    assert f"Best validation span_f1: {METRICS['span_f1'].text(outcome.best or 0)} at update 6." in card
    assert "| set |" not in card  # no set was measured
    patient = model_card(settings, Outcome("no better", 12, None, None, 1.0), [], 1234, None)
    assert "12 updates (no better)" in patient
    report = Figures("records", 3, "records", {"span_f1": 98.54854481332475}, 1.0, METRICS)
    assert "| records | " in model_card(settings, outcome, [report], 1234, METRICS["span_f1"])


def test_tensorboard_is_asked_for_before_any_work(config_file: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="not installed"):
        require_trackers(["tensorboard"])
    for asked in (["--tensorboard"], ["--track", "tensorboard"]):
        assert sightline("train", config_file, "--run", tmp_path / "run", *asked) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "TensorBoard: is not installed; pip install 'sightline[tensorboard]'" in line
    assert not (tmp_path / "run").exists()


def test_a_kept_report_is_of_the_same_search_and_the_same_files(old_run: Callable[[str], Path], capsys) -> None:
    run = Run(old_run("gru"))
    settings = run.settings(TASKS["translation"].settings)
    evaluate_missing(run, settings)
    assert not evaluate_missing(run, settings)[1]
    card = run.card.exists()
    searched: Any = settings.model_copy(update={"search": settings.search.model_copy(update={"beam": 2})})
    run.write_config(searched, run.format)
    assert evaluate_missing(run, searched)[1]
    assert not evaluate_missing(run, searched)[1]
    assert not run.card.exists() or not card  # it is written again
    file = Path(next(iter(settings.data.test.values())).source)
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index("\n") + 1] + text, encoding="utf-8")
    target = Path(str(next(iter(settings.data.test.values())).target))
    other = target.read_text(encoding="utf-8")
    target.write_text(other[: other.index("\n") + 1] + other, encoding="utf-8")
    assert evaluate_missing(run, searched)[1]
    # of files that are gone the figures stay, and a set that is taken out goes
    file.unlink()
    assert not evaluate_missing(run, searched)[1]
    without: Any = searched.model_copy(update={"data": searched.data.model_copy(update={"test": {}})})
    assert evaluate_missing(run, without) == ([], True)


def test_fresh_removes_nothing_before_all_is_known_to_be_right(old_run: Callable[[str], Path], capsys) -> None:
    run = old_run("tagger")
    before = contents(run)
    words = ("train", run / "config.toml", "--run", run, "--fresh")
    for wrong in ("training.device=cuda:99", "data.validation.source=none.bio", "data.test.more.source=none.bio"):
        assert sightline(*words, wrong) != 0
        assert len(capsys.readouterr().err.splitlines()) <= 8
        assert contents(run) == before


def test_a_damaged_parent_is_not_gone_on_from(old_run: Callable[[str], Path], capsys) -> None:
    parent = Run(old_run("bert"))
    text = parent.config.read_text(encoding="utf-8")
    parent.config.write_text(text + "# changed\n", encoding="utf-8")
    assert sightline("train", "configs/lora.toml", "--run", "run") == 1
    assert "config.toml: damaged" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_search_that_chooses_the_best_checkpoint_stays_while_training_lasts(old_run, capsys) -> None:
    run = Run(old_run("gru"))
    settings: Any = run.settings(TASKS["translation"].settings)
    assert settings.choosing == {}
    scored = settings.model_copy(update={"training": settings.training.model_copy(update={"metric": "bleu"})})
    other = scored.model_copy(update={"search": scored.search.model_copy(update={"length_penalty": 9.0})})
    wider = scored.model_copy(update={"search": scored.search.model_copy(update={"beam": 9})})
    assert scored.choosing == wider.choosing != other.choosing
