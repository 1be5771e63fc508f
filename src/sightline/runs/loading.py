"""Any trained run as what it has learned to be."""

from __future__ import annotations

import os
from pathlib import Path

from sightline.errors import CheckpointError, UsageError, nearest
from sightline.predict.predictor import Predictor
from sightline.runs.plugins import VARIABLE, load_installed_models, load_plugin, require_plugins
from sightline.tasks.classification.predictor import Classifier
from sightline.tasks.image_classification.predictor import ImageClassifier
from sightline.tasks.language.predictor import LanguageModel
from sightline.tasks.masked_language.predictor import MaskedLanguageModel
from sightline.tasks.question_answering.predictor import QuestionAnswerer
from sightline.tasks.registry import DEFAULT, TASKS
from sightline.tasks.spec import TaskSpec
from sightline.tasks.tagging.predictor import Tagger
from sightline.tasks.translation.predictor import Translator
from sightline.train.run_directory import Run

__all__ = [
    "Classifier",
    "ImageClassifier",
    "LanguageModel",
    "MaskedLanguageModel",
    "QuestionAnswerer",
    "Tagger",
    "Translator",
    "load",
    "load_for",
    "spec_of",
]


def load_environment_plugins() -> None:
    """The plug-ins that the user's environment names. Raises what `load_plugin` does."""
    for path in os.environ.get(VARIABLE, "").split(os.pathsep):
        if path:
            load_plugin(path)


def spec_of(run: Run) -> TaskSpec:
    """The task that a run has learned. Raises CheckpointError for one that is not known here."""
    load_installed_models()
    load_environment_plugins()
    values = run.read_config()
    name = str(values.get("task", DEFAULT))
    if name not in TASKS:
        require_plugins(run, f"task {name}")
        raise CheckpointError(f'{run.config}: task: there is no "{name}"{nearest(name, TASKS)}')
    require_plugins(run, f"model {values.get('model', {}).get('kind')}")
    return TASKS[name]


def run_path(run: str | os.PathLike[str] | Predictor) -> Path:
    """The directory of a run that is named by its path, or loaded."""
    return run.run.path if isinstance(run, Predictor) else Path(run)


def load(run: str | Path, *, precision: str = "fp32", device: str = "cpu", update: int | None = None) -> Predictor:
    """A trained run, ready for use: a `Translator`, `LanguageModel`, `Classifier` … by its task.

    See `sightline.predict.predictor.Predictor` for the arguments and what is raised.
    """
    return spec_of(Run(run)).predictor(run, precision=precision, device=device, update=update)


def load_for(verb: str, run: str | Path, *, precision: str = "fp32", device: str = "cpu") -> Predictor:
    """The same for a verb of the command line. Raises UsageError, with the right verb, where the run is not for it."""
    spec = spec_of(Run(run))
    if verb not in (spec.verb, *spec.verbs):
        raise UsageError(f"{run}: a run of task {spec.name}; try `sightline {spec.verb}`")
    return spec.predictor(run, precision=precision, device=device)
