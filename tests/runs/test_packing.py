"""A run as one file: used as before on the other side, proved, and nothing else is ever unpacked."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from support.commands import sightline
from support.runs import OLD_RUNS


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD_RUNS / "finished" / "transformer", "mine")
    (tmp_path / "mine" / "checkpoints").mkdir()
    (tmp_path / "mine" / "tensorboard").mkdir()
    (tmp_path / "mine" / "tensorboard" / "events").write_text("many", encoding="utf-8")
    assert sightline("pack", "mine") == 0
    return tmp_path / "mine.zip"


def contents(folder: Path) -> dict[str, bytes]:
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_a_run_is_the_same_on_the_other_side(packed: Path, capsys) -> None:
    assert sightline("unpack", packed, "--run", "theirs") == 0
    told = capsys.readouterr().err
    assert "next: sightline translate theirs" in told
    mine, theirs = contents(Path("mine")), contents(Path("theirs"))
    assert theirs == {name: content for name, content in mine.items() if not name.startswith("tensorboard")}
    for run in ("mine", "theirs"):
        assert sightline("translate", run, "--text", "나는", "--json") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    # the same run is the same file
    assert sightline("pack", "theirs", "again.zip") == 0
    assert Path("again.zip").read_bytes() == packed.read_bytes()


def test_nothing_is_written_over(packed: Path, capsys) -> None:
    assert sightline("pack", "mine") == 2
    assert "is there already" in capsys.readouterr().err
    assert sightline("unpack", packed, "--run", "mine") == 2
    assert "is there already" in capsys.readouterr().err
    assert sightline("unpack", "none.zip") == 2
    assert "no such file" in capsys.readouterr().err


def rewritten(packed: Path, **changed: bytes | None) -> dict[str, bytes]:
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()} | changed


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.json", "nothing that a packed run has"),
        ("/etc/evil", "nothing that a packed run has"),
        ("tokenizer/../../evil.json", "nothing that a packed run has"),
        ("checkpoints/step-1/state.json", "nothing that a packed run has"),
        ("model.pkl", "nothing that a packed run has"),
        ("tokenizer/other.json", "does not belong to the run"),
    ],
)
def test_what_no_packed_run_has_is_refused(name: str, reason: str, packed: Path, tmp_path: Path, capsys) -> None:
    before = set(tmp_path.iterdir())
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for one, content in rewritten(packed, **{name: b"{}"}).items():
            archive.writestr(one, content)
    assert sightline("unpack", "evil.zip", "--run", "theirs") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert set(tmp_path.iterdir()) - before == {tmp_path / "evil.zip"}


def test_damage_is_found(packed: Path, tmp_path: Path, capsys) -> None:
    whole, weights = packed.read_bytes(), (Path("mine") / "model.safetensors").read_bytes()

    def refused(content: bytes, reason: str) -> None:
        Path("other.zip").write_bytes(content)
        assert sightline("unpack", "other.zip", "--run", "theirs") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert reason in line, line
        assert not Path("theirs").exists()
        assert not [one for one in tmp_path.iterdir() if one.is_dir() and one.name not in ("mine",)]

    at = whole.index(weights) + len(weights) - 3
    refused(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], "damaged")
    refused(whole[: len(whole) // 2], "no packed run, or damaged")
    refused(b"not a zip", "no packed run, or damaged")
    with zipfile.ZipFile("packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in rewritten(packed).items():
            archive.writestr(name, content)
    refused(Path("packed.zip").read_bytes(), "is compressed")
    with zipfile.ZipFile("missing.zip", "w") as archive:
        archive.writestr("config.toml", "")
    refused(Path("missing.zip").read_bytes(), "manifest.json is missing")
    # with a checksum of its own, what was changed is still not what the manifest says
    changed = weights[:-1] + bytes([weights[-1] ^ 1])
    with zipfile.ZipFile("changed.zip", "w") as archive:
        for name, content in rewritten(packed, **{"model.safetensors": changed}).items():
            archive.writestr(name, content)
    refused(Path("changed.zip").read_bytes(), "other.zip/model.safetensors: damaged (its content is not what was")
    with zipfile.ZipFile("link.zip", "w") as archive:
        for name, content in rewritten(packed).items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK if name == "README.md" else stat.S_IFREG) << 16
            archive.writestr(entry, content)
    refused(Path("link.zip").read_bytes(), "nothing that a packed run has")


def test_what_is_not_trained_to_the_end_is_not_packed(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD_RUNS / "stopped" / "gru", "stopped")
    assert sightline("pack", "stopped") == 1
    assert "not trained to the end yet" in capsys.readouterr().err
    assert not Path("stopped.zip").exists()
