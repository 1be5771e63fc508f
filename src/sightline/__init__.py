"""Sightline: train, compare, open up and ship sequence models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline.classifier import Classifier as Classifier
    from sightline.image_classifier import ImageClassifier as ImageClassifier
    from sightline.language_model import LanguageModel as LanguageModel
    from sightline.loading import load as load
    from sightline.masked_language_model import MaskedLanguageModel as MaskedLanguageModel
    from sightline.question_answerer import QuestionAnswerer as QuestionAnswerer
    from sightline.sight.record import capture as capture
    from sightline.tagger import Tagger as Tagger
    from sightline.translator import Translator as Translator

__version__ = "0.1.0"
__all__ = [
    "Classifier",
    "ImageClassifier",
    "LanguageModel",
    "MaskedLanguageModel",
    "QuestionAnswerer",
    "Tagger",
    "Translator",
    "__version__",
    "capture",
    "load",
]


def __getattr__(name: str) -> Any:
    # importing torch takes seconds that `sightline --help` should not
    if name in __all__:
        from sightline import loading
        from sightline.sight import record

        return getattr(record if name == "capture" else loading, name)
    raise AttributeError(f"module 'sightline' has no attribute {name!r}")
