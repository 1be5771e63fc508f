"""`sightline train … --dry-run`: all rows are read, a few updates timed, and nothing is left behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sightline import config
from sightline.runs import dry_run
from sightline.tasks.language.settings import LanguageSettings
from sightline.train import probe
from support.commands import sightline
from support.configs import LANGUAGE_MODELS, MODELS


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_what_a_training_takes_is_measured(config_file: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["train", config_file, *MODELS["transformer"], "training.max_epochs=3", "training.max_updates=9000"]
    assert sightline(*words, "--dry-run", "--run", tmp_path / "run") == 0
    out, err = capsys.readouterr()
    assert config.parse("x", out)["training"]["max_epochs"] == 3
    per_epoch = int(re.search(r"batches: (\d+) per epoch", err)[1])  # type: ignore[index]
    assert re.search(r"speed: [\d,]+ tokens/s, .* an update \(1 of them timed, fp32 on cpu, threads: 1\)", err)
    assert re.search(rf"time: \S+ (s|min) for {3 * per_epoch} updates, 3 epochs of {per_epoch};", err)
    assert re.search(r"memory: [\d.]+ (MB|GB) at its peak", err)
    assert re.search(r"model: transformer, [\d,]+ parameters, fp32", err)
    # what was read is kept for the training, and nothing else
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_dir()) == ["cache"]
    kept = {one: one.stat().st_mtime_ns for one in (tmp_path / "cache").rglob("*") if one.is_file()}
    assert kept
    assert sightline(*words, "training.max_updates=1", "--run", tmp_path / "run") == 0
    assert {one: one.stat().st_mtime_ns for one in (tmp_path / "cache").rglob("*") if one.is_file()} == kept


def test_updates_are_timed_without_the_first(monkeypatch, config_file: Path, capsys) -> None:
    monkeypatch.setattr(probe, "SECONDS", 100.0)
    monkeypatch.setattr(probe, "MOST", 3)
    made: list[int] = []
    update_weights = probe.update_weights
    monkeypatch.setattr(probe, "update_weights", lambda *given: made.append(1) or update_weights(*given))
    assert sightline("train", config_file, *MODELS["seq2seq"], "--dry-run") == 0
    assert "(3 of them timed" in told(capsys)
    assert len(made) == probe.WARM_UP + 3


def test_every_bad_row_is_told(config_file: Path, texts: Path, tmp_path: Path, capsys) -> None:
    rows = [f"red dog {n}\tblue cat {n}" if n % 4 else "alone" for n in range(1, 121)]
    (tmp_path / "x.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    source = f"source = '{tmp_path}/x.tsv'"
    words = [
        f"data.train=[{{ {source}, split = [0.0, 0.9] }}]",
        f"data.validation={{ {source}, split = [0.9, 1.0] }}",
        "data.test={}",
    ]
    assert sightline("train", config_file, *MODELS["transformer"], *words, "--dry-run") == 1
    lines = told(capsys).splitlines()
    bad = [line for line in lines if line.startswith(f"{tmp_path}/x.tsv:")]
    assert bad[0].startswith(f"{tmp_path}/x.tsv:4: 1 tab-separated columns")
    assert len(bad) == 20
    assert lines[-2:] == [
        "and 10 more",
        "sightline: 30 rows cannot be read, and a training would stop there; mend them or leave them out",
    ]


BAD: dict[str, tuple[str, str, list[str]]] = {
    "classification": ("x.tsv", "a\tb\nc\t\nd\te\nf\t \n", ["x.tsv:2: the label is empty", "x.tsv:4: the label"]),
    "tagging": ("x.bio", "a O\nb\n\nc B-X\nd Q\n", ["x.bio:2: ", "x.bio:5: "]),
    "question_answering": ("x.jsonl", '{"question": "q"}\n{"question": 1}\n', ["x.jsonl:1: ", "x.jsonl:2: "]),
    "language": ("x.tsv", "a\tb\nc\nd\te\nf\n", ["x.tsv:2: ", "x.tsv:4: "]),
    "masked_language": ("x.tsv", "a\tb\nc\nd\te\nf\n", ["x.tsv:2: ", "x.tsv:4: "]),
}


@pytest.mark.parametrize("task", BAD)
def test_rows_of_every_task(task: str, tmp_path: Path) -> None:
    from sightline.tasks.registry import TASKS

    name, text, says = BAD[task]
    (tmp_path / name).write_text(text, encoding="utf-8")
    more = {"language": {"column": 1}, "masked_language": {"column": 1}, "classification": {"texts": [0], "label": 1}}
    entry: dict[str, object] = {"source": str(tmp_path / name), **more.get(task, {})}
    spec = TASKS[task]
    validation: Any = [entry] if spec.init.validation_is_list else entry
    settings = config.validate(spec.settings, {"task": task, "data": {"train": [entry], "validation": validation}}, "x")
    count, lines = dry_run.bad_rows(settings)
    found = [line.removeprefix(f"{tmp_path}/") for line in lines]
    assert len(found) == count == len(says)
    assert all(one.startswith(other) for one, other in zip(found, says, strict=True)), found


def test_images_that_cannot_be_opened(tmp_path: Path, capsys) -> None:
    for number in range(6):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"none")
    file = tmp_path / "my.toml"
    assert sightline("init", file, "--source", tmp_path / "pictures", "--task", "image_classification") == 0
    assert sightline("train", file, "--dry-run") == 1
    lines = told(capsys).splitlines()
    assert sum(line.startswith(f"{tmp_path}/pictures/") and ".png: cannot be read" in line for line in lines) == 6
    assert "6 rows cannot be read" in lines[-1]


def test_what_is_counted_is_not_timed(language_file: Path, capsys) -> None:
    assert sightline("train", language_file, *LANGUAGE_MODELS["ngram"], "--dry-run") == 0
    err = told(capsys)
    assert "updates: none" in err
    assert "speed" not in err


@pytest.mark.parametrize(
    ("limits", "seconds", "per_epoch", "says"),
    [
        ({"max_updates": 600}, 0.1, 50, "time: 1 min for 600 updates, 12 epochs of 50"),
        ({"max_epochs": 2}, 1.0, 20, "time: 40 s for 40 updates, 2 epochs of 20"),
        ({"max_minutes": 3, "max_updates": 10_000}, 0.5, 100, "time: 3 min for 360 updates, 3.6 epochs of 100"),
        ({"max_updates": 60, "accumulate": 2}, 1.0, 20, "time: 1 min for 60 updates, 6 epochs of 10"),
        ({"max_epochs": 2}, 1.0, None, "time: how long an epoch is, the task does not say"),
    ],
)
def test_the_first_limit_counts(limits: dict[str, int], seconds: float, per_epoch: int | None, says: str) -> None:
    data = {"train": [{"source": "x"}], "validation": [{"source": "x"}]}
    settings = LanguageSettings.model_validate({"data": data, "training": limits})
    assert dry_run._duration(settings.training, seconds, per_epoch).startswith(says)
