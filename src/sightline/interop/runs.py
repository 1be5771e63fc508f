"""Runs from and to the formats of other toolkits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sightline import config
from sightline.errors import DataError, UsageError, nearest
from sightline.interop.arpa import write_arpa
from sightline.interop.bert import HEADS as BERT_HEADS
from sightline.interop.bert import read_bert, write_bert
from sightline.interop.folders import read_json
from sightline.interop.gpt2 import read_gpt2, write_gpt2
from sightline.interop.vit import read_vit, write_vit
from sightline.models import NGram
from sightline.runs.loading import load, spec_of
from sightline.tasks.classification.settings import ClassificationSettings
from sightline.tasks.image_classification.settings import ImageSettings
from sightline.tasks.language.settings import SIDE, LanguageSettings
from sightline.tasks.masked_language.settings import MaskedLanguageSettings
from sightline.tasks.question_answering.settings import QuestionSettings
from sightline.tasks.spec import TaskSpec
from sightline.tasks.tagging.settings import TaggingSettings
from sightline.train.run_directory import Run


@dataclass(frozen=True)
class Format:
    """A format of another toolkit: the kind of model and the tasks it holds, and how a run is written in it."""

    kind: str
    tasks: tuple[str, ...]
    write: Callable[[Run, Path], None]


def _to_gpt2(run: Run, target: Path) -> None:
    settings: Any = run.settings(LanguageSettings)
    write_gpt2(target, settings.model, run.load_tokenizers()[SIDE], run.read_weights(), settings.has_documents)


def _to_arpa(run: Run, target: Path) -> None:
    tokenizer, settings = run.load_tokenizers()[SIDE], run.settings(LanguageSettings)
    model = NGram.from_tensors(run.read_weights(), tokenizer.vocab_size, settings.model)  # pyright: ignore
    write_arpa(model, tokenizer.tokens(range(tokenizer.vocab_size)), target)


def _to_bert(run: Run, target: Path) -> None:
    # loaded for use, so that low-rank adapters are part of the weights
    ready: Any = load(run.path)
    weights = {name: tensor.detach() for name, tensor in ready.model.named_parameters()}
    settings, kind, labels = ready.settings, run.task, ()
    if run.task == "classification":
        if settings.data.form == "similarity":
            raise UsageError(f"{run.path}: form similarity; a BERT's directory has single, pair and choice")
        kind, labels = "choice" if settings.data.form == "choice" else kind, settings.data.labels
    if run.task == "tagging":
        labels = settings.data.tags
    write_bert(target, kind, settings.model, ready.tokenizer, weights, labels)


def _to_vit(run: Run, target: Path) -> None:
    settings = run.settings(ImageSettings)
    data, channels = settings.data, settings.model.channels
    mean, std = ([*one] * (channels // len(one)) for one in (data.mean, data.std))
    write_vit(target, settings.model, run.read_weights(), data.classes, mean, std, data.fit)


FORMATS = {
    "gpt2": Format("gpt", ("language",), _to_gpt2),
    "arpa": Format("ngram", ("language",), _to_arpa),
    "bert": Format("bert", tuple(dict.fromkeys(head.task for head in BERT_HEADS.values())), _to_bert),
    "vit": Format("vit", ("image_classification",), _to_vit),
}


def export_run(path: str | Path, target: str | Path, to: str | None = None) -> str:
    """Writes the model of a trained run as a directory or file of another toolkit's format, a key of `FORMATS`.

    Returns:
        The format, which the model decides where `to` does not.

    Raises UsageError where there is no such format, something lies at `target`, or the model does not fit the format.
    """
    if to is not None and to not in FORMATS:
        raise UsageError(f'--to: no format "{to}"{nearest(to, FORMATS)}')
    run, goal = Run(path), Path(target)
    kind = run.read_config().get("model", {}).get("kind")
    fitting = [name for name, one in FORMATS.items() if one.kind == kind and run.task in one.tasks]
    if not fitting or to not in (None, *fitting):
        held = "; ".join(f"{name} holds {one.kind} models of {' or '.join(one.tasks)}" for name, one in FORMATS.items())
        raise UsageError(f"{path}: a {kind} model of task {run.task} has no place in {to or 'any format'}: {held}")
    run.verify()
    if goal.exists() and (goal.is_file() or any(goal.iterdir())):
        raise UsageError(f"{target}: is there already; choose another name, or remove it first")
    FORMATS[fitting[0]].write(run, goal)
    return fitting[0]


def import_run(folder: str | Path, path: str | Path, form: str = "single", choices: int | None = None) -> TaskSpec:
    """Makes a run, ready for use, of a Hugging Face directory with a GPT-2, a BERT or a ViT in it.

    Args:
        form: what a classifier reads, "single" texts or a "pair". choices: how many texts one that chooses among
            texts is given, of which its directory says nothing.

    Returns:
        The task that the run has learned.

    Raises:
        UsageError: where something lies at `path`, or `choices` is missing or has no meaning.
        DataError, CheckpointError: where the directory is not such a model's.
    """
    run = Run(path)
    if run.path.exists() and (run.path.is_file() or any(run.path.iterdir())):
        raise UsageError(f"{path}: is there already; choose another --run")
    where = Path(folder) / "config.json"
    kind = read_json(where).get("model_type")
    if kind not in IMPORTS:
        known = " or ".join(f"'{name}'" for name in IMPORTS)
        raise DataError(f"{where}: model_type is {kind!r}; what can be imported is {known}")
    settings: Any
    settings, tokenizer, weights = IMPORTS[kind](folder, form, choices)
    if choices is not None and getattr(settings.data, "choices", None) != choices:
        raise UsageError("--choices is for a model that chooses among texts, and this one does not")
    run.save_tokenizers({SIDE: tokenizer} if tokenizer else {})
    run.write_config(settings)
    run.save_weights(weights)
    return spec_of(run)


def _settings(schema: type[BaseModel], data: dict[str, Any], found: Any, **more: Any) -> BaseModel:
    """Settings of a run that was never trained here."""
    values = {"data": {"train": [], **data}, "model": found.sizes, **more}
    values |= {"training": {"precision": "fp32", "device": "cpu"}}
    if hasattr(found, "tokenizer"):
        values |= {"tokenizer": {"vocab_size": found.tokenizer.vocab_size}}
    return config.validate(schema, values, "import")


def _from_gpt2(folder: str | Path, form: str, choices: int | None) -> tuple[BaseModel, Any, Any]:
    found = read_gpt2(folder)
    data = {"validation": [], "block": found.sizes.max_length, "running": not found.documents}
    return _settings(LanguageSettings, data, found), found.tokenizer, found.weights


def _from_bert(folder: str | Path, form: str, choices: int | None) -> tuple[BaseModel, Any, Any]:
    found = read_bert(folder)
    data: dict[str, Any] = {"max_tokens": found.sizes.max_length}
    if found.head == "choice" and choices is None:
        raise UsageError(f"{folder}: chooses among texts; say by --choices how many there are to choose from")
    if found.head == "masked_language":
        settings = _settings(
            MaskedLanguageSettings, {"validation": [], **data}, found, next_sentence=found.next_sentence
        )
    elif found.head == "tagging":
        settings = _settings(TaggingSettings, {**data, "tags": found.labels}, found)
    elif found.head == "question_answering":
        settings = _settings(QuestionSettings, {**data, "unanswerable": True}, found)
    elif found.head == "choice":
        settings = _settings(ClassificationSettings, {**data, "form": "choice", "choices": choices}, found)
    else:
        data |= {"form": form, "labels": found.labels, "numbers": not found.labels}
        settings = _settings(ClassificationSettings, data, found)
    return settings, found.tokenizer, found.weights


def _from_vit(folder: str | Path, form: str, choices: int | None) -> tuple[BaseModel, Any, Any]:
    found = read_vit(folder)
    data = {"classes": found.classes, "mean": found.mean, "std": found.std, "fit": found.fit}
    return _settings(ImageSettings, data, found), None, found.weights


IMPORTS = {"gpt2": _from_gpt2, "bert": _from_bert, "vit": _from_vit}
