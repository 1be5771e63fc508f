"""Run directories from elsewhere, and those that go away: nothing that they name is opened, and nobody else suffers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sightline.decode import Search
from sightline.serve import engine
from support.serving import TEXT, post, serving

_opened: list[str] = []
_watching = threading.Event()


def _watch(name: str, arguments: tuple[Any, ...]) -> None:
    if _watching.is_set() and name in ("open", "socket.getaddrinfo", "socket.gethostbyname"):
        _opened.append(f"{name} {arguments[0]}")


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What is opened and looked up in the block, by any thread."""
    _opened.clear()
    _watching.set()
    try:
        yield _opened
    finally:
        _watching.clear()


def from_elsewhere(run: Path, folder: Path, validation: str) -> Path:
    """A copy of a run whose configuration names other validation data, with a manifest that proves it."""
    copy = folder / "elsewhere"
    shutil.copytree(run, copy)
    (copy / "example.json").unlink(missing_ok=True)
    config = (copy / "config.toml").read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^(\[data\.validation\]\n)source = .*$", rf'\1source = "{validation}"', config)
    assert changed != config
    (copy / "config.toml").write_text(changed, encoding="utf-8")
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    content = changed.encode()
    manifest["files"]["config.toml"] |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return copy


def test_no_data_of_a_configuration_is_opened(runs: dict[str, Path], tmp_path: Path) -> None:
    secret = tmp_path / "passwd"
    secret.write_text("root:x:0:0\n", encoding="utf-8")
    run = from_elsewhere(runs["seq2seq"], tmp_path, str(secret))
    with watched() as opened, serving([run]) as server, server.client() as client:
        for _ in range(20):  # not a while later either
            found = client.get("/v1/models")
            assert "root" not in found.text
            time.sleep(0.02)
        assert found.json()["data"][0]["example"] == []
        post(client, "/v1/translate", text=TEXT)
    assert not [one for one in opened if str(secret) in one]
    assert {one for one in opened if one.startswith("socket.")} <= {"socket.getaddrinfo 127.0.0.1"}


def test_no_device_or_catalogue_of_a_configuration_is_opened(runs: dict[str, Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for number, name in enumerate((str(tmp_path / "fifo"), "multi30k", "https://example.invalid/data")):
        (tmp_path / str(number)).mkdir()
        run = from_elsewhere(runs["seq2seq"], tmp_path / str(number), name)
        with watched() as opened, serving([run]) as server, server.client() as client:
            assert client.get("/v1/models").json()["data"][0]["example"] == []
        assert not [one for one in opened if name in one or ("getaddrinfo" in one and "127.0.0.1" not in one)]


def example_of(run: Path) -> list[str]:
    with serving([run]) as server, server.client() as client:
        return client.get("/v1/models").json()["data"][0]["example"]


def test_the_example_is_what_training_left(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["seq2seq"], tmp_path / "run")
    example = tmp_path / "run" / "example.json"
    example.write_text(json.dumps({"inputs": ["ein haus"]}), encoding="utf-8")
    assert example_of(tmp_path / "run") == ["ein haus"]
    (tmp_path / "link").symlink_to(tmp_path / "run")  # of the whole directory
    assert example_of(tmp_path / "link") == ["ein haus"]
    for content in (
        "",
        "[]",
        '{"inputs": [1]}',
        '{"inputs": ["\\ud800"]}',
        "[" * 50_000,
        '{"inputs": ["%s"]}' % ("x" * 64_000),
    ):
        example.write_text(content, encoding="utf-8")
        assert example_of(tmp_path / "run") == []


def test_the_example_is_no_way_out_of_the_directory(runs: dict[str, Path], tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"inputs": ["secret"]}), encoding="utf-8")
    shutil.copytree(runs["seq2seq"], tmp_path / "run")
    example = tmp_path / "run" / "example.json"
    for make in (
        lambda: example.symlink_to(secret),
        lambda: os.mkfifo(example),
        lambda: example.symlink_to("/dev/zero"),
        example.mkdir,
    ):
        example.unlink(missing_ok=True)
        make()
        assert example_of(tmp_path / "run") == []


def test_a_directory_that_vanishes_harms_nobody(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["transformer"], tmp_path / "gone")
    with serving([tmp_path / "gone", runs["seq2seq"]]) as server, server.client() as client:
        before = client.get("/v1/models").json()["data"]
        shutil.rmtree(tmp_path / "gone")
        after = client.get("/v1/models").json()["data"]
        assert after == [{**before[0], "checkpoints": []}, before[1]]
        assert client.get("/v1/models/gone").status_code == 200
        assert post(client, "/v1/translate", model="gone", text=TEXT)["translations"][0]["text"]
        looked = client.post("/v1/attention", json={"model": "gone", "text": TEXT, "checkpoint": 2})
        assert looked.status_code == 400
        assert looked.json()["error"]["message"].startswith("checkpoint: ")
        found = client.get("/ready").json()["models"]
        assert (found["gone"]["directory"], found["seq2seq"]["directory"]) == (False, True)


def test_readiness_is_apart_from_liveness(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving([runs["transformer"], runs["seq2seq"]]) as server, server.client() as client:
        assert client.get("/ready").json()["ready"]
        assert client.get("/ready/transformer").json() == {"ready": True, "problem": None, "directory": True}
        assert client.get("/ready/other").status_code == 404
        monkeypatch.setattr(engine, "STUCK_SECONDS", 0.1)
        hold = threading.Event()

        def ask() -> None:
            with server.client() as other:
                other.post("/v1/translate", json={"model": "seq2seq", "text": TEXT})

        with monkeypatch.context() as stuck:
            stuck.setattr(Search, "advance", lambda self: hold.wait(20) and [])
            thread = threading.Thread(target=ask)
            thread.start()
            end = time.monotonic() + 10
            while (found := client.get("/ready")).status_code == 200 and time.monotonic() < end:
                time.sleep(0.02)
            assert found.status_code == 503
            assert found.json()["models"]["transformer"]["ready"]
            assert "one step has taken" in found.json()["models"]["seq2seq"]["problem"]
            assert client.get("/ready/seq2seq").status_code == 503
            assert client.get("/ready/transformer").status_code == 200
            assert client.get("/health").json()["status"] == "ok"
        hold.set()
        thread.join()
        monkeypatch.undo()
        assert client.get("/ready").status_code == 200
