"""Tables of runs and what is shown of one: finished, stopped, in training, imported, damaged; no weights are loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline.data.locks import is_held
from sightline.runs import summary as summaries
from sightline.runs.modules import module_rows, module_text
from sightline.runs.summary import find_runs, summarise
from sightline.train import storage
from sightline.train.run_directory import Run
from support.commands import sightline
from support.runs import OLD_RUNS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/ of every kind and in every state, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("bert", "gru", "ngram", "tagger", "transformer", "vit"):
        shutil.copytree(OLD_RUNS / "finished" / name, tmp_path / "runs" / name)
    for name in ("lora", "recurrent"):
        shutil.copytree(OLD_RUNS / "stopped" / name, tmp_path / "runs" / "study" / name)
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "notes" / "read.txt").write_text("not a run", encoding="utf-8")
    return tmp_path / "runs"


def rows(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict]:
    capsys.readouterr()
    assert sightline("runs", *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_table_of_runs(folder: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **named: object):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(storage, "read_tensors", refuse)
    found = {row["name"]: row for row in rows(capsys)}
    assert list(found) == ["bert", "gru", "ngram", "study/lora", "study/recurrent", "tagger", "transformer", "vit"]
    assert found["transformer"]["state"] == "trained"
    assert found["transformer"]["updates"] == 12
    assert found["transformer"]["parameters"] == Run(folder / "transformer").parameters() == 1976
    assert found["transformer"]["best"] == {
        "metric": "loss", "value": pytest.approx(5.499264341412169), "update": 12,
    }  # fmt: skip
    assert found["study/recurrent"]["state"].startswith("stopped at ")
    assert found["study/recurrent"]["minutes"] is not None
    assert {row["state"] for row in found.values()} >= {"trained"}
    assert sightline("runs") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].split() == [
        "run", "task", "model", "params", "best", "updates", "min", "state",
    ]  # fmt: skip
    assert "next: sightline show runs/bert" in printed.err


def test_a_damaged_run_never_breaks_the_table(folder: Path, capsys) -> None:
    (folder / "gru" / "config.toml").write_text("[training\n", encoding="utf-8")
    (folder / "bert" / "model.safetensors").write_bytes(b"short")
    (folder / "tagger" / "manifest.json").write_text("[]", encoding="utf-8")
    (folder / "vit" / "metrics.jsonl").write_bytes(b'\xff\xfe not json\n{"kind": 3}\n[1]\n')
    values = (folder / "ngram" / "config.toml").read_text(encoding="utf-8")
    (folder / "ngram" / "config.toml").write_text(values.replace("[training]", "[training]\nno_such = 1"))
    (folder / "transformer" / "config.toml").unlink()
    (folder / "transformer" / "checkpoints").mkdir()
    (folder / "study" / "lora" / "config.toml").write_text('task = "a later one"\n', encoding="utf-8")
    found = {row["name"]: row for row in rows(capsys)}
    assert {name for name, row in found.items() if row["state"] == "damaged"} == {
        "gru", "bert", "tagger", "ngram", "transformer",
    }  # fmt: skip
    assert found["bert"]["reason"].startswith("model.safetensors: damaged (5 bytes, not ")
    assert "config.toml: cannot be read" in found["gru"]["reason"]
    assert "manifest.json: damaged" in found["tagger"]["reason"]
    assert "training.no_such" in found["ngram"]["reason"]
    assert "config.toml" in found["transformer"]["reason"]
    assert all("\n" not in row["reason"] for row in found.values())
    assert sightline("runs") == 0
    told = capsys.readouterr().err
    assert "bert: model.safetensors: damaged" in told
    for name in found:
        assert sightline("show", folder / name) == 0, name
        assert sightline("show", folder / name, "--json") == 0
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err


@pytest.mark.parametrize("key", summaries.SORT_KEYS)
def test_sorting(key: str, folder: Path, capsys) -> None:
    found = rows(capsys, "--sort", key)
    assert len(found) == 8
    if key == "best":
        known = [(row["best"]["metric"], row["best"]["value"]) for row in found if row["best"]]
        losses = [value for name, value in known if name == "loss"]
        assert losses == sorted(losses)
    else:
        known = [row[key] for row in found if row[key] not in (None, "")]
        assert known == sorted(known)
        assert all(row[key] in (None, "") for row in found[len(known) :])


def test_what_is_no_folder_of_runs(folder: Path, capsys) -> None:
    assert sightline("runs", "--sort", "bset") == 2
    assert 'did you mean "best"?' in capsys.readouterr().err
    assert sightline("runs", "nowhere") == 2
    assert "no such folder" in capsys.readouterr().err
    assert sightline("runs", folder / "notes") == 0
    assert "no runs in it" in capsys.readouterr().err
    assert sightline("show", folder / "notes") == 2
    assert "config.toml is missing" in capsys.readouterr().err
    assert find_runs(folder / "gru") == [folder / "gru"]


def test_a_run_that_is_trained_now(folder: Path) -> None:
    run = Run(folder / "study" / "recurrent")
    assert not is_held(run.lock)
    with run.locked():
        assert summarise(run.path).state == "training now"
        assert is_held(run.lock)
    assert summarise(run.path).state.startswith("stopped")


def test_eighty_columns(folder: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(
        folder / "gru", folder / "a-run-whose-name-is-far-longer-than-any-table-has-room-for-it-in-a-column"
    )
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert sightline("runs") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert max(map(len, lines)) <= 80
    found = {line.split()[0]: line.split() for line in lines}
    assert found["ngram"][-1] == "trained"
    assert found["transformer"][1].startswith("transl")
    assert found["transformer"][3:] == ["1.98", "k", "loss", "5.499", "12", "–", "trained"]
    assert sum(line.endswith("  stopped") for line in lines) == 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert sightline("runs") == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) > 100  # nothing is cut in a file


def test_a_model_by_module() -> None:
    shapes: dict[str, tuple[int, ...]] = {"bias": (3,)}
    for block in range(12):
        shapes |= {f"blocks.{block}.{name}": (4, 2) for name in ("attention.query", "attention.key", "up.weight")}
    shapes |= {"blocks.12.up.weight": (4, 3), "head.weight": (5, 4)}
    found = [(row.level, row.title, row.parameters) for row in module_rows(shapes, 3)]
    assert found == [
        (0, "bias", 3),
        (0, "blocks", 12 * 24 + 12),
        (1, "0 to 11 (12 ×)", 12 * 24),
        (2, "attention", 16),
        (2, "up", 8),
        (1, "12", 12),
        (2, "up", 12),
        (0, "head", 20),
    ]
    assert sum(count for level, _, count in found if level == 0) == 3 + 12 * 24 + 12 + 20
    assert module_text(shapes, 1)[-1].split() == ["head", "20", "weight", "5×4"]


@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "html"])
def test_a_run_shown_and_drawn(ending: str, folder: Path, capsys) -> None:
    assert sightline("show", "runs/transformer", "--depth", "3", "--picture", f"curve.{ending}") == 0
    told = capsys.readouterr().out
    for part in ("translation", "1,976 parameters", "12 updates", "best in validation: loss 5.4993 after update 12",
                 "data/train.ko", "learning curve", "◆", "model.d_model"):  # fmt: skip
        assert part in told, part
    assert max(map(len, told.splitlines()[told.splitlines().index("learning curve") :])) <= 80
    content = Path(f"curve.{ending}").read_bytes()
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!doctype html>"}
    assert content.startswith(starts[ending])
    if ending == "html":
        assert b"<svg" in content
        assert b"1,976 parameters" in content
        assert b"http" not in content.replace(b"http://www.w3.org", b"").replace(b"http://purl.org", b"").replace(
            b"http://creativecommons.org", b"").replace(b"https://matplotlib.org", b"")  # fmt: skip


def test_an_unfinished_run_is_shown(folder: Path, capsys) -> None:
    assert sightline("show", "runs/study/recurrent") == 0
    printed = capsys.readouterr()
    assert "state: stopped at" in printed.out
    assert "next: sightline train runs/study/recurrent/config.toml --run runs/study/recurrent" in printed.err
    assert sightline("show", "runs/study/recurrent", "--picture", "curve.bmp") == 2
    assert ".svg, .png or .pdf, or all of it as .html" in capsys.readouterr().err


def test_what_is_shown_is_what_a_machine_reads(old_run: Callable[[str], Path], capsys) -> None:
    run = old_run("tagger")
    assert sightline("show", run, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == sum(row["parameters"] for row in found["modules"] if row["level"] == 0)
    assert found["learning_curve"]["validation"]["updates"]
    assert found["configuration"]["task"] == "tagging"
