"""A training as it is seen on a terminal of 80, 60 and 40 columns: a pseudo-terminal, and what is on its screen."""

from __future__ import annotations

import os
import re
import struct
import sys
import threading
from pathlib import Path

import pytest

from support import processes
from support.configs import MODELS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def screen_lines(words: list[object], folder: Path, columns: int) -> list[str]:
    """Everything that was written on a terminal of so many columns, a line for each time that one was begun or gone
    back to."""
    import fcntl
    import termios

    main, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    written: list[bytes] = []

    def read() -> None:
        while True:
            try:
                block = os.read(main, 1 << 16)
            except OSError:  # nobody has it open any more
                return
            if not block:
                return
            written.append(block)

    environment = {"TERM": "xterm-256color", "COLUMNS": ""}
    process = processes.start(words, folder, environment, folder / "out", Path(os.ttyname(terminal)))
    reader = threading.Thread(target=read)
    reader.start()
    process.join(300)
    os.close(terminal)
    reader.join(30)
    os.close(main)
    assert process.exitcode == 0, b"".join(written).decode()
    return [CONTROL.sub("", one) for one in re.split(r"[\r\n]+", b"".join(written).decode())]


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_the_line_of_a_training_fits_the_terminal(columns: int, texts: Path, tmp_path: Path) -> None:
    keys = [*MODELS["transformer"], "training.max_updates=60", "training.log_every=5", "training.validate_every=20",
            "training.save_every=20"]  # fmt: skip
    lines = screen_lines(["train", texts / "tiny.toml", "--run", tmp_path / "run", *keys], tmp_path, columns)
    moving = [one for one in lines if re.match("[━╌]{5}", one)]
    assert len(moving) > 5
    assert max(map(len, moving)) < columns
    updates = [int(found[1]) for one in moving if (found := re.search(r"  (\d+)/60  ", one + "  "))]
    assert updates[-1] == 60
    # two threads write it, so that one may show what was so an instant ago
    assert len(set(updates)) > 2
    last = next(one for one in reversed(moving) if "/60" in one)
    assert re.search(r"\d:\d\d:\d\d", last), last
    assert re.search(r"loss \d\.\d+", last)
    if columns == 80:
        assert re.search(r"best \d", last)
        assert "tokens/s" in last
    assert any(one.startswith("trained: 60 updates; best loss") for one in lines)
