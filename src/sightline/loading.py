"""Any trained run, ready for use."""

from __future__ import annotations

from pathlib import Path

from sightline.classifier import Classifier
from sightline.image_classifier import ImageClassifier
from sightline.language_model import LanguageModel
from sightline.masked_language_model import MaskedLanguageModel
from sightline.question_answerer import QuestionAnswerer
from sightline.run import Run
from sightline.tagger import Tagger
from sightline.translator import Translator

USES = {
    "translation": Translator,
    "language": LanguageModel,
    "masked_language": MaskedLanguageModel,
    "classification": Classifier,
    "tagging": Tagger,
    "question_answering": QuestionAnswerer,
    "image_classification": ImageClassifier,
}
Used = Translator | LanguageModel | MaskedLanguageModel | Classifier | Tagger | QuestionAnswerer | ImageClassifier


def load(run: str | Path, *, precision: str = "fp32", device: str = "cpu", update: int | None = None) -> Used:
    """A trained run as what it has learned to be, one of `USES`.

    See those for the arguments.
    """
    return USES[Run(run).task](run, precision=precision, device=device, update=update)
