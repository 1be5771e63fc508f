"""Several trainings at a time, each a process of its own, stopped together."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.errors import SightlineError
from sightline.train.stopper import Interrupted, Stopper

Say = Callable[[str], None]
_WAIT = 0.1  # seconds between looks at the processes


@dataclass(frozen=True)
class Training:
    """One training: what lines that it says begin with, its recipe or configuration, its run and its overrides."""

    label: str
    recipe: str
    run: Path
    overrides: Sequence[str] = ()


def train_in_processes(
    trainings: Sequence[Training], *, at_once: int, report: Say, fresh: bool = False, plugins: Sequence[str] = ()
) -> None:
    """Runs `sightline train` for each, `at_once` at a time, and says what they say up to their figures.

    Processes with a core each do more together than one after the other with all cores, which wait for each other.
    What asks this to stop is passed on once, and they save what they have.

    Raises:
        Interrupted: after SIGTERM or Ctrl-C.
        SightlineError: where one of them failed; it has said why, and the others were stopped with all saved.
    """
    waiting, running = list(trainings), dict[str, subprocess.Popen[str]]()
    said: list[threading.Thread] = []
    failed: list[str] = []
    asked = False
    with Stopper() as stopper:
        while running or (waiting and not asked):
            while waiting and not asked and len(running) < at_once:
                one = waiting.pop(0)
                running[one.label] = child = _start(one, fresh, plugins)
                said.append(threading.Thread(target=_say, args=(one.label, child, report)))
                said[-1].start()
            ended = [label for label, child in running.items() if child.poll() is not None]
            failed += [label for label in ended if running.pop(label).returncode]
            if not asked and (stopper.requested or failed):
                asked = True
                for child in running.values():
                    child.terminate()
            time.sleep(_WAIT)
    for one in said:
        one.join()
    if stopper.requested:
        raise Interrupted("stopped, with everything saved; the same command goes on from there", stopper.requested)
    if failed:
        raise SightlineError(f"{', '.join(failed)}: the training failed, as it says above; the same command goes on")


def _start(one: Training, fresh: bool, plugins: Sequence[str]) -> subprocess.Popen[str]:
    more = [*["--fresh"] * fresh, *(word for path in plugins for word in ("--plugin", path))]
    return subprocess.Popen(
        [sys.executable, "-m", "sightline", "train", one.recipe, "--run", str(one.run), *one.overrides, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",  # which they write, whatever the terminal's own encoding is
        errors="replace",
        start_new_session=True,  # or Ctrl-C would reach them twice, and the second time they would not save
    )


def _say(label: str, child: subprocess.Popen[str], report: Say) -> None:
    """Passes on what a training says, up to its end: its figures are told by whoever started it."""
    quiet = False
    assert child.stdout is not None
    with child.stdout as lines:
        for line in lines:
            quiet = quiet or line.startswith("trained:")
            if not quiet:
                report(f"{label} | {line.rstrip()}")
