"""Any trained run, ready for use."""

from __future__ import annotations

from pathlib import Path

from sightline.tasks.classification.predictor import Classifier
from sightline.tasks.image_classification.predictor import ImageClassifier
from sightline.tasks.language.predictor import LanguageModel
from sightline.tasks.masked_language.predictor import MaskedLanguageModel
from sightline.tasks.question_answering.predictor import QuestionAnswerer
from sightline.train.run_directory import Run
from sightline.tasks.tagging.predictor import Tagger
from sightline.tasks.translation.predictor import Translator

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
