"""Sightline: train, compare, open up and ship sequence models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline.comparison.comparison import compare as compare
    from sightline.runs.loading import load as load
    from sightline.sight.record import capture as capture
    from sightline.tasks.classification.predictor import Classifier as Classifier
    from sightline.tasks.image_classification.predictor import ImageClassifier as ImageClassifier
    from sightline.tasks.language.predictor import LanguageModel as LanguageModel
    from sightline.tasks.masked_language.predictor import MaskedLanguageModel as MaskedLanguageModel
    from sightline.tasks.question_answering.predictor import QuestionAnswerer as QuestionAnswerer
    from sightline.tasks.tagging.predictor import Tagger as Tagger
    from sightline.tasks.translation.predictor import Translator as Translator

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
    "compare",
    "load",
]


def __getattr__(name: str) -> Any:
    # importing torch takes seconds that `sightline --help` should not
    if name in __all__:
        from sightline.comparison import comparison
        from sightline.runs import loading
        from sightline.sight import record

        return getattr({"capture": record, "compare": comparison}.get(name, loading), name)
    raise AttributeError(f"module 'sightline' has no attribute {name!r}")
