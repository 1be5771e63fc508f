"""Any trained run, ready for use."""

from __future__ import annotations

from pathlib import Path

from sightline.language_model import LanguageModel
from sightline.run import Run
from sightline.translator import Translator

USES = {"translation": Translator, "language": LanguageModel}


def load(run: str | Path, *, precision: str = "fp32", device: str = "cpu") -> Translator | LanguageModel:
    """A trained run as what it has learned to be: a `Translator` or a `LanguageModel`; see their arguments."""
    return USES[Run(run).task](run, precision=precision, device=device)
