"""Processes that are forked from one that has imported PyTorch already, which saves seconds each time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# `torch._dynamo` is what torch.optim imports late. The first list of preloads in a process counts, so it stands here.
PRELOAD = ["torch._dynamo", "support.processes", "support.train_toys", "sightline.runs.training", "sightline.cli.train"]


def fork(function: Callable[..., object], *arguments: object) -> Any:
    """A started process of its own that runs `function`."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


@dataclass(frozen=True)
class Done:
    """What a command came to: its exit code and what it printed."""

    code: int
    out: str
    err: str


def start(words: Sequence[object], folder: Path, variables: Mapping[str, str], out: Path, err: Path) -> Any:
    """`sightline WORDS` in a folder and a process of its own, with variables set, printing into two files."""
    return fork(_command_line, [str(word) for word in words], folder, dict(variables), out, err)


def run(words: Sequence[object], folder: Path, variables: Mapping[str, str] | None = None) -> Done:
    """Runs `sightline WORDS` in a folder, in a process of its own, to its end."""
    out, err = (folder / f".{name}-{os.getpid()}" for name in ("out", "err"))
    process = start(words, folder, variables or {}, out, err)
    process.join(300)
    assert process.exitcode is not None, f"sightline {' '.join(map(str, words))} hangs"
    done = Done(process.exitcode, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))
    out.unlink(), err.unlink()
    return done


def _command_line(words: list[str], folder: Path, variables: dict[str, str], out: Path, err: Path) -> None:
    import torch

    from sightline.cli import main

    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ.update(variables)
    with open(out, "w", encoding="utf-8") as printed, open(err, "w", encoding="utf-8") as told:
        for stream, number in ((printed, 1), (told, 2)):
            os.dup2(stream.fileno(), number)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
            sys.argv = ["sightline", *words]
            main(words)
