"""What tests of pictures share."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved."""
    from matplotlib.figure import Figure

    figures: list[Any] = []
    plain = Figure.savefig

    def savefig(self: Any, *arguments: Any, **named: Any) -> None:
        figures.append(self)
        plain(self, *arguments, **named)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures
