"""Sightline's command line, run in the test's own process."""

from __future__ import annotations

import pytest

from sightline.cli import main


def sightline(*words: object) -> int:
    """Runs the command line in this process; its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)
