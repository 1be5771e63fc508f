"""Locks between processes, held until the process ends, however it does; on a file system without any all go on."""

from __future__ import annotations

from pathlib import Path

from filelock import BaseFileLock, FileLock


def lock_at(path: Path) -> BaseFileLock:
    """The lock whose file is `path`, not acquired yet."""
    return FileLock(path, fallback_to_soft=False)


def acquire(lock: BaseFileLock, *, blocking: bool = True) -> bool:
    """Locks it for this process; False on a file system without locks, where everyone goes on.

    Raises filelock.Timeout where another process has it and `blocking` is False, OSError where its file cannot be made.
    """
    try:
        lock.acquire(blocking=blocking)
    except NotImplementedError:  # a soft lock in its place would outlive a process that is killed
        return False
    return True
