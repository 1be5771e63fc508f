"""A fingerprint of data: every number and word counts, where the files lie does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightline.data.fingerprint import fingerprint


@dataclass(frozen=True)
class Encoded:
    tokens: np.ndarray
    words: tuple[str, ...]
    rows: list[list[int]]
    where: Path
    mean: torch.Tensor


WHOLE = Encoded(np.arange(6, dtype=np.uint16), ("a", "b\ud800"), [[1, 2], [3]], Path("here"), torch.zeros(2))


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": np.array([0, 1, 2, 3, 4, 6], dtype=np.uint16)},
        {"tokens": np.arange(6, dtype=np.uint16).reshape(2, 3)},
        {"tokens": np.arange(6, dtype=np.int32)},
        {"words": ("a", "c")},
        {"words": ("ab\ud800",)},
        {"rows": [[1], [2, 3]]},
        {"rows": [[1, 2], [4]]},
        {"mean": torch.ones(2)},
    ],
)
def test_what_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(replace(WHOLE, **change)) != fingerprint(WHOLE)


def test_what_does_not() -> None:
    same = Encoded(WHOLE.tokens[::1].copy(), WHOLE.words, [[1, 2], [3]], Path("there"), torch.zeros(4)[::2])
    assert fingerprint(same) == fingerprint(WHOLE)
    assert fingerprint(WHOLE, 1) != fingerprint(WHOLE)
    assert len(fingerprint()) == 64
