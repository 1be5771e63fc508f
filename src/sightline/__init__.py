"""Sightline: train, compare, open up and ship sequence models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline.translator import Translator as Translator
    from sightline.translator import load as load

__version__ = "0.1.0"
__all__ = ["Translator", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # importing torch takes seconds that `sightline --help` should not
    if name in ("load", "Translator"):
        from sightline import translator

        return getattr(translator, name)
    raise AttributeError(f"module 'sightline' has no attribute {name!r}")
