"""What a classifier takes from the run it is fine-tuned from: sizes, tokenizer, weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sightline import config
from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError
from sightline.models import GPTSizes
from sightline.nn.lora import plain_name
from sightline.run import Run
from sightline.tasks import classification
from sightline.tasks.classification import ClassificationSettings
from sightline.tasks.language import LanguageSettings
from sightline.train import storage

# What may differ from the pretrained model.
FREE = ("dropout", "attention_dropout")


def complete(settings: ClassificationSettings) -> ClassificationSettings:
    """The settings with what they leave to the data and to the pretrained run: classes, sizes, tokenizer.

    Raises:
        UsageError: where the run is not a GPT's, or the settings contradict it.
        DataError: where the labels are no classes.
    """
    settings = adopt(settings)
    labels = classification.find_labels(settings)
    return settings.model_copy(update={"data": settings.data.model_copy(update={"labels": labels})})


def adopt(settings: ClassificationSettings) -> ClassificationSettings:
    """The settings with the pretrained run's sizes and tokenizer, and no longer sequences than it reads.

    Raises UsageError where the run is not a GPT's, or the settings contradict it.
    """
    where = settings.pretrained
    if where is None:
        return settings
    _, theirs = _pretrained(where)
    values = {
        **settings.model_dump(),
        "model": _taken(settings.model, theirs.model, where, "model", FREE),
        "tokenizer": _taken(settings.tokenizer, theirs.tokenizer, where, "tokenizer"),
    }
    if "max_tokens" not in settings.data.model_fields_set:
        values["data"]["max_tokens"] = min(settings.data.max_tokens, values["model"]["max_length"])
    return config.validate(ClassificationSettings, values, where)


def train_tokenizers(settings: ClassificationSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The pretrained run's tokenizer, or one learned from the training texts."""
    if settings.pretrained is None:
        return classification.train_tokenizers(settings, report)
    return _pretrained(settings.pretrained)[0].load_tokenizers()


@torch.no_grad()
def initialise(settings: ClassificationSettings, model: torch.nn.Module) -> None:
    """Gives a new classifier the pretrained run's weights; the head and the special tokens stay as they are."""
    if settings.pretrained is None or settings.scratch:
        return
    run, _ = _pretrained(settings.pretrained)
    run.verify()
    gpt: Any = model.get_submodule("gpt")
    own = {plain: parameter for name, parameter in gpt.named_parameters() if (plain := plain_name(name))}
    storage.copy_tensors(run.read_weights(), own, run.weights)


def _pretrained(path: str) -> tuple[Run, LanguageSettings]:
    run = Run(path)
    if run.task != "language":
        raise UsageError(f"pretrained: {path} is a run of task {run.task}, not a language model")
    settings = run.settings(LanguageSettings)
    if type(settings.model) is not GPTSizes:
        raise UsageError(f"pretrained: {path} is a {settings.model.kind} model; a GPT is wanted")
    return run, settings


def _taken(given: Any, theirs: Any, where: str, name: str, free: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of `theirs`, but for the free ones that were given. Raises UsageError for others that differ."""
    values = theirs.model_dump()
    for field in given.model_fields_set:
        value = getattr(given, field)
        if field in free:
            values[field] = value
        elif value != values[field]:
            raise UsageError(f"{name}.{field}: {value!r}, but {where} has {values[field]!r}; leave it out")
    return values
