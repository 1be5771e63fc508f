"""Locks between processes, held until the process ends, however it does; on a file system without any all go on."""

from __future__ import annotations

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

# Who only looks whether a lock is held has it for an instant, and nobody needs to be turned away for that: seconds.
PATIENCE, _POLL = 0.3, 0.05


def lock_at(path: Path) -> BaseFileLock:
    """The lock whose file is `path`, not acquired yet."""
    return FileLock(path, fallback_to_soft=False)


def acquire(lock: BaseFileLock, *, blocking: bool = True, patience: float = 0.0) -> bool:
    """Locks it for this process; False on a file system without locks, where everyone goes on.

    Raises filelock.Timeout where another process has it for `patience` seconds and `blocking` is False, OSError where
    its file cannot be made.
    """
    try:
        lock.acquire(timeout=-1 if blocking else patience, poll_interval=_POLL)
    except NotImplementedError:  # a soft lock in its place would outlive a process that is killed
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether a process has the lock whose file is `path`; False where that cannot be told."""
    if not path.exists():
        return False
    lock = lock_at(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except (NotImplementedError, OSError):
        return False
    lock.release()
    return False
