"""Stopping on request: SIGTERM and Ctrl-C ask, the loop finishes its update, saves and leaves."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from sightline.errors import SightlineError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SightlineError):  # noqa: N818 - not an error
    """Training was asked to stop and has saved. The exit code is the shell's for that signal: 130 or 143."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class Stopper:
    """Inside the `with`, a first SIGTERM or SIGINT is only noted, in `requested`; a second acts as it did before.

    Outside the main thread, where Python delivers no signals, nothing is installed.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
