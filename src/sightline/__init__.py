"""Sightline: train, compare, open up and ship sequence models."""

from __future__ import annotations

import importlib
from inspect import Signature, signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline.comparison.comparison import compare as compare
    from sightline.errors import CheckpointError as CheckpointError
    from sightline.errors import DataError as DataError
    from sightline.errors import SightlineError as SightlineError
    from sightline.errors import UsageError as UsageError
    from sightline.interop.runs import export_run as export
    from sightline.interop.runs import import_run as import_
    from sightline.runs.confidence import calibrate as calibrate
    from sightline.runs.evaluation import evaluate as evaluate
    from sightline.runs.loading import load as load
    from sightline.runs.looking import Looked as Looked
    from sightline.runs.looking import look as look
    from sightline.runs.summary import RunSummary as RunSummary
    from sightline.runs.summary import list_runs as runs
    from sightline.runs.summary import show as show
    from sightline.runs.trained import Trained as Trained
    from sightline.runs.trained import train as train
    from sightline.sight.record import Record as Record
    from sightline.sight.record import capture as capture
    from sightline.tasks.classification.predictor import Classifier as Classifier
    from sightline.tasks.image_classification.predictor import ImageClassifier as ImageClassifier
    from sightline.tasks.language.predictor import LanguageModel as LanguageModel
    from sightline.tasks.masked_language.predictor import MaskedLanguageModel as MaskedLanguageModel
    from sightline.tasks.question_answering.predictor import QuestionAnswerer as QuestionAnswerer
    from sightline.tasks.tagging.predictor import Tagger as Tagger
    from sightline.tasks.translation.predictor import Translator as Translator
    from sightline.train.callbacks import Callback as Callback
    from sightline.train.callbacks import StopTraining as StopTraining

__version__ = "0.1.0"
__all__ = [
    "Callback",
    "CheckpointError",
    "Classifier",
    "DataError",
    "ImageClassifier",
    "LanguageModel",
    "Looked",
    "MaskedLanguageModel",
    "QuestionAnswerer",
    "Record",
    "RunSummary",
    "SightlineError",
    "StopTraining",
    "Tagger",
    "Trained",
    "Translator",
    "UsageError",
    "__version__",
    "calibrate",
    "capture",
    "compare",
    "evaluate",
    "export",
    "import_",
    "load",
    "look",
    "runs",
    "show",
    "train",
]

# Where the names are, below `sightline`: importing torch takes seconds that `sightline --help` should not.
_NAMES = {
    "comparison.comparison": ("compare",),
    "errors": ("CheckpointError", "DataError", "SightlineError", "UsageError"),
    "runs.confidence": ("calibrate",),
    "runs.evaluation": ("evaluate",),
    "runs.loading": (
        "Classifier", "ImageClassifier", "LanguageModel", "MaskedLanguageModel", "QuestionAnswerer", "Tagger",
        "Translator", "load",
    ),
    "runs.looking": ("Looked", "look"),
    "runs.summary": ("RunSummary", "show"),
    "runs.trained": ("Trained",),
    "sight.record": ("Record", "capture"),
    "train.callbacks": ("Callback", "StopTraining"),
}  # fmt: skip
_PLACES = {
    **{name: (module, name) for module, names in _NAMES.items() for name in names},
    "export": ("interop.runs", "export_run"),
    "import_": ("interop.runs", "import_run"),
}
# Rooms that are called as well, by the name of a verb: `sightline.train(…)`, beside `sightline.train.loop`.
_VERBS = {"runs": ("runs.summary", "list_runs"), "train": ("runs.trained", "train")}


def _find(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"sightline.{module}"), name)


class _Verb(ModuleType):
    """A room that does, when it is called, what the verb of its name does."""

    @property
    def _function(self) -> Any:
        return _find(*_VERBS[self.__name__.rpartition(".")[2]])

    @property
    def __signature__(self) -> Signature:
        return signature(self._function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._function(*arguments, **named)


for _room in _VERBS:
    importlib.import_module(f"sightline.{_room}").__class__ = _Verb


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return _find(*_PLACES[name])
    raise AttributeError(f"module 'sightline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
