"""The example that a run shows who has nothing of their own to ask: what training left in the run directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

EXAMPLE = "example.json"
MAX_BYTES = 64_000


class Example(BaseModel):
    """`inputs` are the texts of one record."""

    inputs: Annotated[list[Annotated[str, Field(max_length=20_000)]], Field(max_length=16)]


def read_example(directory: Path) -> list[str]:
    """The texts of `example.json` in a run directory; none where there is no such file, or it is not as it should be.

    A directory may come from elsewhere: nothing that it names is opened, no link is followed, and no more is read
    than an example may have.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(directory / EXAMPLE, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return []
            content = file.read(MAX_BYTES + 1)
    except OSError:
        return []
    if len(content) > MAX_BYTES:
        return []
    try:
        return Example.model_validate_json(content).inputs
    except ValidationError:
        return []
