"""A run that is killed anywhere, any number of times, ends with the very bits of one that was not."""

from __future__ import annotations

import json
import multiprocessing
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
import train_toys

from sightline.train import storage
from sightline.train.final import final_weights
from sightline.train.stopper import Interrupted

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

UPDATES = 240
SETTINGS: dict[str, Any] = {
    "max_updates": UPDATES,
    "accumulate": 2,
    "ema": 0.99,
    "weight_decay": 0.01,
    "save_every": 6,
    "validate_every": 15,
    "log_every": 4,
    "keep": 3,
    "average_last": 3,
}
TASKS = {"fp32": train_toys.fp32_task, "bf16": train_toys.bf16_task}

# What a process may be doing when it is killed: (module, function) whose n-th call never returns.
INSTANTS: dict[str, tuple[Any, str, int]] = {
    "the first micro-batch of all": (train_toys.RegressionTask, "loss", 1),
    "between two micro-batches": (train_toys.RegressionTask, "loss", 42),
    "writing a file of the first checkpoint": (os, "fsync", 2),
    "writing a file of a later checkpoint": (os, "fsync", 33),
    "before a checkpoint is renamed": (os, "rename", 3),
    "before an old checkpoint is set aside": (os, "rename", 8),
    "proving a checkpoint": (storage, "verify_directory", 4),
    "removing an old checkpoint": (shutil, "rmtree", 13),
    "validating": (train_toys.RegressionTask, "validate", 2),
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


def die_at(owner: Any, name: str, nth: int) -> None:
    real = getattr(owner, name)
    calls = 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, name, deadly)


def start(make_task: Callable[[], Any], run_dir: Path, instant: str | None = None) -> Any:
    """A new process, forked from a clean server that has torch imported already, which saves seconds each time."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "train_toys"])
    process = context.Process(target=train_once, args=(make_task, SETTINGS, run_dir, instant))
    process.start()
    return process


def finish(process: Any) -> int:
    process.join(60)
    assert process.exitcode is not None, "training hangs"
    return process.exitcode


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, float]]:
    """Run directories of uninterrupted runs, and the seconds they took."""
    runs = {}
    for precision, make_task in TASKS.items():
        run_dir = tmp_path_factory.mktemp(precision)
        begin = time.monotonic()
        assert finish(start(make_task, run_dir)) == 0
        runs[precision] = (run_dir, time.monotonic() - begin)
    return runs


def figures(run_dir: Path) -> list[dict[str, Any]]:
    """The metrics of a run without the times, which differ."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def assert_same(run_dir: Path, reference: Path) -> None:
    last = f"checkpoints/step-{UPDATES}"
    for name in ("weights", "optimizer", "average", "generators"):
        file = f"{last}/{name}.safetensors"
        assert (run_dir / file).read_bytes() == (reference / file).read_bytes(), name
    assert figures(run_dir) == figures(reference)
    chosen = train_toys.settings(**SETTINGS)
    shipped, expected = final_weights(run_dir, chosen), final_weights(reference, chosen)
    assert shipped[1] == expected[1]
    assert all(torch.equal(shipped[0][name], tensor) for name, tensor in expected[0].items())
    left = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert left == sorted(path.name for path in (reference / "checkpoints").iterdir())


@pytest.mark.parametrize("precision", TASKS)
def test_ten_kills_at_random_instants(precision: str, whole: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    reference, seconds = whole[precision]
    instants = random.Random(precision)
    kills = 0
    while kills < 10:
        process = start(TASKS[precision], tmp_path)
        process.join(instants.uniform(0.3, 1.0) * seconds / 6)
        process.kill()
        code = finish(process)
        if code == 0:  # it got to the end between the kills, on a machine that just became faster: begin again
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
            kills, seconds = 0, seconds / 2
            continue
        assert code == -signal.SIGKILL
        kills += 1
    assert finish(start(TASKS[precision], tmp_path)) == 0
    assert_same(tmp_path, reference)


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_kill_at_a_chosen_instant(instant: str, whole: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    assert finish(start(TASKS["fp32"], tmp_path, instant)) == -signal.SIGKILL
    assert finish(start(TASKS["fp32"], tmp_path)) == 0
    assert_same(tmp_path, whole["fp32"][0])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_polite_request_saves_first(
    number: int, code: int, whole: dict[str, tuple[Path, float]], tmp_path: Path
) -> None:
    process = start(TASKS["bf16"], tmp_path)
    deadline = time.monotonic() + 30
    while not (tmp_path / "checkpoints" / "step-12").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, number)
    assert finish(process) == code
    saved = max(int(path.name.removeprefix("step-")) for path in (tmp_path / "checkpoints").glob("step-*"))
    assert 12 <= saved < UPDATES
    assert finish(start(TASKS["bf16"], tmp_path)) == 0
    assert_same(tmp_path, whole["bf16"][0])
