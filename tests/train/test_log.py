"""What training tells: the file of metrics, plain lines, the progress line; and precision and machine set-up."""

import errno
import io
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from sightline.errors import SightlineError, UsageError
from sightline.train import machine, precision
from sightline.train.display import PlainDisplay, describe, display_on, duration
from sightline.train.log import TrainLog
from sightline.train.loop import train
from support.train_toys import fp32_task, settings


def quiet(run_dir: Path) -> TrainLog:
    return TrainLog(run_dir, PlainDisplay(lambda line: None))


def test_lines_are_complete_and_at_once_in_the_file(tmp_path: Path) -> None:
    with quiet(tmp_path) as log:
        log.train(5, {"loss": 0.5, "tokens": 7}, 3.0)
        assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {
            "kind": "train",
            "update": 5,
            "loss": 0.5,
            "tokens": 7,
        }
        log.validation(6, {"loss": float("nan")}, best=False)
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])["loss"] is None


def test_resuming_drops_what_is_made_again(tmp_path: Path) -> None:
    with quiet(tmp_path) as log:
        for update in (1, 2, 3, 4):
            log.train(update, {"loss": 1.0 / update}, None)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "update": 2, "lo')  # cut short by the end of a process
    with quiet(tmp_path) as log:
        log.resume(2)
        log.train(3, {"loss": 9.0}, None)
    found = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["update"], line["loss"]) for line in found] == [(1, 1.0), (2, 0.5), (3, 9.0)]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch) -> None:
    log = quiet(tmp_path)

    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(SightlineError, match=r"metrics\.jsonl: cannot be written \(No space left"):
        log.train(1, {"loss": 1.0}, None)


def test_plain_lines_without_a_terminal(tmp_path: Path) -> None:
    told = io.StringIO()
    with TrainLog(tmp_path, display_on(Console(file=told, width=20))) as log:
        log.train(1500, {"loss": 4.25, "learning_rate": 5e-4, "tokens": 123456}, 3725.4)
        log.validation(1500, {"bleu": 31.25}, best=True)
        log.saved(1500, tmp_path)
        log.message("a long line that a terminal of twenty columns would break")
    assert told.getvalue().splitlines() == [
        "update 1,500: loss 4.25, learning rate 0.0005, tokens 123,456, 1:02:05 left",
        "update 1,500: validation bleu 31.25, the best so far",
        "update 1,500: saved",
        "a long line that a terminal of twenty columns would break",
    ]


def test_a_progress_line_on_a_terminal(tmp_path: Path) -> None:
    told = io.StringIO()
    console = Console(file=told, force_terminal=True, width=160)
    with TrainLog(tmp_path, display_on(console)) as log:
        train(fp32_task(), settings(log_every=5), tmp_path, log)
        log.message("[not markup]")
    for part in ("20/20", "loss", "learning rate", "saved at 20", "0:00:0", "[not markup]", "validation loss"):
        assert part in told.getvalue(), part


def test_numbers_for_people() -> None:
    assert describe({"tokens_per_second": 12345.6, "loss": 2.34567, "epoch": 3}) == (
        "tokens per second 12,346, loss 2.346, epoch 3"
    )
    assert duration(59.6) == "0:01:00"


def test_a_part_of_the_loss_that_is_all_of_it_is_not_said_twice(tmp_path: Path) -> None:
    """As a classifier's without a language model beside it; the file keeps both."""
    lines: list[str] = []
    with TrainLog(tmp_path, PlainDisplay(lines.append)) as log:
        log.train(1, {"loss": 0.69315, "label_loss": 0.69315000001, "learning_rate": 0.69315}, None)
        log.train(2, {"loss": 0.7, "label_loss": 0.6, "nll": 0.7}, None)
        log.validation(2, {"loss": 0.5, "masked_loss": 0.5, "accuracy": 0.5}, best=False)
    assert lines == [
        "update 1: loss 0.6932, learning rate 0.6932",
        "update 2: loss 0.7, label loss 0.6",
        "update 2: validation loss 0.5, accuracy 0.5",
    ]
    assert "label_loss" in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")


def test_devices_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [precision.resolve_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda", "cuda", "cuda:1", "cpu",
    ]  # fmt: skip
    with pytest.raises(UsageError, match='device: no "cuda:2" on this machine; there are: cpu, cuda, cuda:0, cuda:1'):
        precision.resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert precision.resolve_device("auto") == "cpu"
    with pytest.raises(UsageError, match=r'device: no "cuda:0" on this machine; there are: cpu \(or auto\)'):
        precision.resolve_device("cuda:0")


def test_precision_by_name() -> None:
    assert precision.resolve("bf16") == "bf16"
    assert precision.resolve("fp32", "cuda") == "fp32"
    assert precision.resolve("auto", "mps") == "fp32"
    assert precision.DTYPES["bf16"] is torch.bfloat16
    with pytest.raises(UsageError, match='no such choice: "fp16"; known: auto, bf16, fp32'):
        precision.resolve("fp16")


@pytest.mark.parametrize(("slow", "expected"), [(torch.float32, "bf16"), (torch.bfloat16, "fp32")])
def test_precision_by_stopwatch(slow: torch.dtype, expected: str, monkeypatch) -> None:
    """A clock that only the measured function moves: two seconds for one format, one for the other."""
    now = 0.0
    calls = 0

    def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        nonlocal now, calls
        calls += 1
        now += 2.0 if x.dtype == slow else 1.0
        return x

    monkeypatch.setattr(precision.time, "perf_counter", lambda: now)
    state = torch.get_rng_state()
    assert precision.resolve("auto", "cpu", linear) == expected
    measured = calls
    assert precision.resolve("auto", "cpu", linear) == expected
    assert calls == measured  # once per process
    assert torch.equal(torch.get_rng_state(), state)


def test_a_small_advantage_is_not_enough(monkeypatch) -> None:
    now = 0.0

    def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        nonlocal now
        now += 1.4 if x.dtype == torch.float32 else 1.0
        return x

    monkeypatch.setattr(precision.time, "perf_counter", lambda: now)
    assert precision.resolve("auto", "cpu", linear) == "fp32"


def test_the_real_measurement_gives_a_ratio() -> None:
    assert 0.01 < precision.cpu_speedup() < 100


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        assert machine.setup(1) == 1
        assert torch.get_num_threads() == 1
        assert machine.setup(None) == 1
    finally:
        torch.set_num_threads(before)


def test_memory_set_up_without_glibc_is_nothing(monkeypatch) -> None:
    class Other:
        mallopt = None

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: Other())
    assert machine.retain_freed_memory() is False
    assert machine.mmap_large_blocks() is False
    machine.trim_memory()
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError()))
    assert machine.retain_freed_memory() is False
    machine.trim_memory()


def test_memory_is_returned_when_much_has_gathered_and_not_too_often(monkeypatch) -> None:
    held, returned = 1000, []
    monkeypatch.setattr(machine, "resident_bytes", lambda: held)
    monkeypatch.setattr(machine, "trim_memory", lambda: returned.append(number))
    trimmer = machine.MemoryTrimmer(least=5)
    for number in range(1, 31):
        trimmer.after_update()
        # the first update after a return is what the others are measured by
        held = 1000 if returned and returned[-1] == number else held + 100
    # 100 more an update: above half as much again after six, never before
    assert returned == [7, 14, 21, 28]
    held = 1000
    trimmer = machine.MemoryTrimmer(least=5)
    for _ in range(30):
        trimmer.after_update()
        held = 1400 - held + 1000  # now more, now less, never half as much again
    assert returned[-1] == 28


@pytest.mark.skipif(platform.system() != "Linux", reason="other systems do not tell")
def test_resident_memory_is_told() -> None:
    told = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert machine.resident_bytes() == pytest.approx(1024 * int(told[1]), rel=0.05)


PAGE_FAULTS = """
import resource, torch
from sightline.train import machine
torch.set_num_threads(1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(12_000_000)  # 48 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
default = faults()
assert machine.retain_freed_memory()
faults()
print(default, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_kept_memory_is_not_faulted_in_again() -> None:
    done = subprocess.run([sys.executable, "-c", PAGE_FAULTS], capture_output=True, text=True, check=True)
    default, kept = map(int, done.stdout.split())
    assert kept < default / 20


# A large block, one right behind it that stays, and so on: what the large ones leave on a heap cannot be given back.
HOLES = """
import sys
import torch
from sightline.train import machine
if sys.argv[1] == "mapped":
    assert machine.mmap_large_blocks()
torch.ones(6_000_000)  # 24 MB, which would raise the threshold
before = machine.resident_bytes()
kept = []
for _ in range(40):
    large = [torch.ones(500_000) for _ in range(2)]
    kept.append(torch.ones(2_000))
print(machine.resident_bytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_large_blocks_of_a_server_leave_no_holes() -> None:
    heap, mapped = (
        int(subprocess.run([sys.executable, "-c", HOLES, one], capture_output=True, text=True, check=True).stdout)
        for one in ("heap", "mapped")
    )
    assert mapped < heap / 2
