"""Errors a user can act on: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SightlineError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with `exit_code`.

    Write the message as "WHERE: what is wrong; what to do", where WHERE is a file, file:line or key.
    """

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the one line, as the command line does."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(SightlineError):
    """A wrong argument, configuration key or value (exit code 2)."""

    exit_code = 2


class DataError(SightlineError):
    """A file that cannot be read or does not hold what it should (exit code 1)."""


class CheckpointError(SightlineError):
    """A run or checkpoint that is missing, damaged or does not belong to this configuration (exit code 1)."""


class LaterVersionError(SightlineError):
    """A run or checkpoint that a later version of Sightline made (exit code 1)."""


def require_format(where: object, found: int, newest: int) -> None:
    """Raises LaterVersionError where `found` is later than the `newest` format that this version knows."""
    if found > newest:
        raise LaterVersionError(
            f"{where}: made by a later version of Sightline (format {found}; this one reads up to {newest}); "
            "upgrade Sightline to use it"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint naming the known word closest to `word`: '; did you mean "x"?', or the list where nothing is close."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(known)}" if known else ""
