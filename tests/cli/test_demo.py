"""The demo's two trainings, side by side: what they say, and that what stops the demo stops and saves them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sightline.cli import demo
from sightline.train.run_directory import Run
from support.commands import sightline
from support.configs import MODELS

COMMAND = (sys.executable, "-m", "sightline", "demo", "--folder")


def wait_until_stoppable(demo: int) -> None:
    """Returns once both trainings of a demo (process id) catch SIGTERM, which they do while they train."""
    term = 1 << (signal.SIGTERM - 1)
    caught, end = [0], time.monotonic() + 120
    while not all(mask & term for mask in caught) and time.monotonic() < end:
        time.sleep(0.1)
        children = Path(f"/proc/{demo}/task/{demo}/children").read_text().split()
        states = [Path(f"/proc/{child}/status").read_text() for child in children]
        caught = [int(found.group(1), 16) for state in states if (found := re.search(r"SigCgt:\s*(\w+)", state))]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_what_stops_the_demo_stops_and_saves_both(tmp_path: Path) -> None:
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    threads = {**os.environ, "OMP_NUM_THREADS": "2"}
    with subprocess.Popen([*COMMAND, "runs"], cwd=tmp_path, env=threads, **both) as demo:
        assert demo.stdout is not None
        begun, said = set(), []
        for line in demo.stdout:
            said.append(line)
            if "| batches:" in line:
                begun.add(line.split()[0])
            if len(begun) == 2:
                break
        assert begun == {"gru-ko-en", "transformer-ko-en"}, said
        wait_until_stoppable(demo.pid)
        demo.send_signal(signal.SIGTERM)
        said += demo.stdout
    assert demo.returncode == 143, said
    for name in ("demo-gru", "demo-transformer"):
        assert Run(tmp_path / "runs" / name).has_training, said


def test_what_one_training_cannot_do_ends_both(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = subprocess.run([*COMMAND, "file"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode
    assert "Traceback" not in done.stdout + done.stderr
    assert "demo-gru: cannot be written" in done.stdout + done.stderr


TINY = (
    "training.threads=1", "training.max_updates=2", "training.tokens_per_batch=256", "tokenizer.vocab_size=300",
    "validation.sentences=2", "search.beam=1", "search.max_length_factor=0", "search.max_length_offset=5",
)  # fmt: skip


def test_the_demo_compares_what_it_trained_and_what_was_there(texts: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """On other pairs than the embedded ones, which take seconds to make."""
    train, test = (f'{{ source = "{texts}/{name}.de", target = "{texts}/{name}.en" }}' for name in ("train", "test"))
    data = [f"data.train=[{train}]", f"data.validation={test}"]
    data += [f"data.test.{name}={test}" for name in ("unseen-combinations", "deeper-nesting")]
    sizes = {"demo-gru": MODELS["seq2seq"], "demo-transformer": MODELS["transformer"]}
    monkeypatch.setattr(demo, "_own", lambda run, threads, fresh: [*data, *sizes[run.path.name], *TINY])
    monkeypatch.chdir(tmp_path)
    compared = []
    for _ in range(2):  # the second takes what the first has kept
        assert sightline("demo") == 0
        out, err = capsys.readouterr()
        assert "next:" in err
        assert demo.SENTENCE in out
        assert out.count("\nreference") == 4
        assert "where the" in out
        compared.append(out[: out.index("where the")])
        for title in demo.MODELS.values():
            assert title in out
    assert compared[0] == compared[1]
