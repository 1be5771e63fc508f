"""A run that is killed anywhere, any number of times, ends with the very bits of one that was not."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sightline.train import storage
from sightline.train.final import final_weights
from sightline.train.stopper import Interrupted
from support import train_toys
from support.processes import fork

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

UPDATES = 150
SETTINGS: dict[str, Any] = {
    "max_updates": UPDATES,
    "accumulate": 2,
    "ema": 0.99,
    "weight_decay": 0.01,
    "save_every": 10,
    "validate_every": 25,
    "log_every": 4,
    "keep": 3,
    "average_last": 3,
}
SHORT = {**SETTINGS, "max_updates": 60}
# A short run ends at update 60: its name → (how its task is made, its settings).
RUNS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "fp32": (train_toys.fp32_task, SETTINGS),
    "bf16": (train_toys.bf16_task, SETTINGS),
    "short": (train_toys.fp32_task, SHORT),
}

# What a process may be doing when it is killed: the n-th call of a function whose first argument ends like this.
INSTANTS: dict[str, tuple[Any, str, str, int]] = {
    "the first micro-batch of all": (train_toys.RegressionTask, "loss", "", 1),
    "between two micro-batches, in mid-epoch": (train_toys.RegressionTask, "loss", "", 62),
    "writing the first checkpoint": (storage, "write_file", "optimizer.safetensors", 1),
    "writing a later checkpoint": (storage, "write_file", "manifest.json", 3),
    "proving a checkpoint": (storage, "file_digest", ".tmp-step-30/weights.safetensors", 1),
    "before a checkpoint is renamed": (os, "rename", ".tmp-step-40", 1),
    "after a checkpoint is renamed": (storage, "sync_directory", "checkpoints", 2),
    "before an old checkpoint is set aside": (os, "rename", "checkpoints/step-10", 1),
    "removing an old checkpoint": (shutil, "rmtree", ".tmp-old-step-10", 2),
    "validating": (train_toys.RegressionTask, "validate", "", 2),
}


def train_once(make_task: Callable[[], Any], values: dict[str, Any], run_dir: Path, instant: str | None) -> None:
    """One process's life: trains to the end unless it is killed."""
    torch.set_num_threads(1)
    if instant is not None:
        die_at(*INSTANTS[instant])
    try:
        train_toys.run(make_task(), train_toys.settings(**values), run_dir)
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_code)


def die_at(owner: Any, name: str, ending: str, nth: int) -> None:
    real = getattr(owner, name)
    calls = 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += str(args[0]).endswith(ending)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, name, deadly)


def start(run: str, run_dir: Path, instant: str | None = None) -> Any:
    return fork(train_once, *RUNS[run], run_dir, instant)


def finish(process: Any) -> int:
    process.join(60)
    assert process.exitcode is not None, "training hangs"
    return process.exitcode


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, float]]:
    """Run directories of uninterrupted runs, and the seconds they took."""

    @functools.cache
    def made(run: str) -> tuple[Path, float]:
        run_dir = tmp_path_factory.mktemp(run)
        begin = time.monotonic()
        assert finish(start(run, run_dir)) == 0
        return run_dir, time.monotonic() - begin

    assert finish(start("short", tmp_path_factory.mktemp("warm"))) == 0  # the server has started; now times are fair
    return made


def figures(run_dir: Path) -> list[dict[str, Any]]:
    """The metrics of a run without the times, which differ."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def assert_same(run: str, run_dir: Path, reference: Path) -> None:
    values = RUNS[run][1]
    last = f"checkpoints/step-{values['max_updates']}"
    for name in ("weights", "optimizer", "average", "generators"):
        file = f"{last}/{name}.safetensors"
        assert (run_dir / file).read_bytes() == (reference / file).read_bytes(), name
    assert figures(run_dir) == figures(reference)
    chosen = train_toys.settings(**values)
    shipped, expected = (final_weights(one, chosen, values["max_updates"]) for one in (run_dir, reference))
    assert shipped[1] == expected[1]
    assert all(torch.equal(shipped[0][name], tensor) for name, tensor in expected[0].items())
    left = {path.name for path in (run_dir / "checkpoints").iterdir()}
    assert left >= {path.name for path in (reference / "checkpoints").iterdir()}
    assert not any(name.startswith(".") for name in left)


@pytest.mark.parametrize("run", ["fp32", "bf16"])
def test_ten_kills_at_random_instants(run: str, whole: Any, tmp_path: Path) -> None:
    reference, seconds = whole(run)
    instants = random.Random(run)
    kills = 0
    while kills < 10:
        process = start(run, tmp_path)
        process.join(instants.uniform(0.2, 1.0) * seconds / 5)
        process.kill()
        code = finish(process)
        if code == 0:  # the machine was faster than for the reference, and nothing was left to kill: begin again
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
            kills, seconds = 0, seconds / 2
            continue
        assert code == -signal.SIGKILL
        kills += 1
    assert finish(start(run, tmp_path)) == 0
    assert_same(run, tmp_path, reference)


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_kill_at_a_chosen_instant(instant: str, whole: Any, tmp_path: Path) -> None:
    assert finish(start("short", tmp_path, instant)) == -signal.SIGKILL
    assert finish(start("short", tmp_path)) == 0
    assert_same("short", tmp_path, whole("short")[0])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_polite_request_saves_first(number: int, code: int, whole: Any, tmp_path: Path) -> None:
    process = start("bf16", tmp_path)
    deadline = time.monotonic() + 30
    while not (tmp_path / "checkpoints" / "step-10").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, number)
    assert finish(process) == code
    saved = max(int(path.name.removeprefix("step-")) for path in (tmp_path / "checkpoints").glob("step-*"))
    assert 10 <= saved < UPDATES
    assert finish(start("bf16", tmp_path)) == 0
    assert_same("bf16", tmp_path, whole("bf16")[0])
