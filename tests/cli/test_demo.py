"""The demo's two trainings, side by side: what they say, and that what stops the demo stops and saves them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from sightline.train.run_directory import Run

COMMAND = (sys.executable, "-m", "sightline", "demo", "--folder")


def test_what_stops_the_demo_stops_and_saves_both(tmp_path: Path) -> None:
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    threads = {**os.environ, "OMP_NUM_THREADS": "2"}
    with subprocess.Popen([*COMMAND, "runs"], cwd=tmp_path, env=threads, **both) as demo:
        assert demo.stdout is not None
        begun, said = set(), []
        for line in demo.stdout:
            said.append(line)
            if "| update 100:" in line:
                begun.add(line.split()[0])
            if len(begun) == 2:
                break
        assert begun == {"gru-ko-en", "transformer-ko-en"}, said
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
