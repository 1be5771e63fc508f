"""Any trained run, ready for use."""

from __future__ import annotations

from pathlib import Path

from sightline.classifier import Classifier
from sightline.language_model import LanguageModel
from sightline.run import Run
from sightline.translator import Translator

USES = {"translation": Translator, "language": LanguageModel, "classification": Classifier}


def load(run: str | Path, *, precision: str = "fp32", device: str = "cpu") -> Translator | LanguageModel | Classifier:
    """A trained run as what it has learned to be: a `Translator`, a `LanguageModel` or a `Classifier`.

    See those for the arguments.
    """
    return USES[Run(run).task](run, precision=precision, device=device)
