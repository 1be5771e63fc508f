"""What a run takes from the pretrained run it goes on from: sizes, tokenizer, weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor

from sightline import config
from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError
from sightline.nn.lora import plain_name
from sightline.run import Run
from sightline.tasks import classification, tagging
from sightline.tasks.classification import ClassificationSettings
from sightline.tasks.language import LanguageSettings
from sightline.tasks.masked_language import MaskedLanguageSettings
from sightline.tasks.question_answering import QuestionSettings
from sightline.tasks.tagging import TaggingSettings
from sightline.train import storage

Settings = TypeVar("Settings", ClassificationSettings, TaggingSettings, QuestionSettings, MaskedLanguageSettings)
Labelling = ClassificationSettings | TaggingSettings | QuestionSettings
Train = Callable[[Any, Callable[[str], None]], dict[str, Tokenizer]]

# What may differ from the pretrained model: by its kind of positions, since only a table of learned ones has an end.
FREE = ("dropout", "attention_dropout")
ENDLESS_FREE = (*FREE, "max_length")
# The kinds of models that can be gone on from, and the settings of their pretraining.
PRETRAINING: dict[str, type[BaseModel]] = {"gpt": LanguageSettings, "bert": MaskedLanguageSettings}
# By the kind of model, what all names of its weights begin with that a classifier takes over.
BODIES = {"gpt": "", "bert": "bert."}


def complete(settings: ClassificationSettings) -> ClassificationSettings:
    """The settings with what they leave to the data and to the pretrained run: classes, sizes, tokenizer.

    Raises:
        UsageError: where the run is not of a pretrained model, or the settings contradict it.
        DataError: where the labels are no classes.
    """
    settings = adopt(settings)
    labels = classification.find_labels(settings)
    return settings.model_copy(update={"data": settings.data.model_copy(update={"labels": labels})})


def complete_tagging(settings: TaggingSettings) -> TaggingSettings:
    """The same for a tagger."""
    settings = adopt(settings)
    return settings.model_copy(update={"data": settings.data.model_copy(update={"tags": tagging.find_tags(settings)})})


def adopt(settings: Settings) -> Settings:
    """The settings with the pretrained run's sizes and tokenizer, and no longer sequences than it reads.

    Raises UsageError where the run is not of a pretrained model, or the settings contradict it.
    """
    where = settings.pretrained
    if where is None:
        return settings
    theirs = _pretrained(where, settings)[1]
    free = FREE if theirs.model.positions == "learned" else ENDLESS_FREE
    values = {
        **settings.model_dump(),
        "model": _taken(settings.model, theirs.model, where, "model", free),
        "tokenizer": _taken(settings.tokenizer, theirs.tokenizer, where, "tokenizer"),
    }
    if "max_tokens" not in settings.data.model_fields_set:
        values["data"]["max_tokens"] = min(settings.data.max_tokens, values["model"]["max_length"])
    return config.validate(type(settings), values, where)


def taken_or(train: Train) -> Train:
    """The pretrained run's tokenizer where there is one, or what `train` learns."""

    def tokenizers(settings: Any, report: Callable[[str], None]) -> dict[str, Tokenizer]:
        return train(settings, report) if settings.pretrained is None else Run(settings.pretrained).load_tokenizers()

    return tokenizers


def initialise(settings: Labelling, model: torch.nn.Module) -> None:
    """Gives a new classifier the pretrained run's weights; the head and the special tokens stay as they are."""
    if settings.pretrained is None or settings.scratch:
        return
    run, theirs = _pretrained(settings.pretrained, settings)
    body: Any = model.get_submodule("body")
    own = {plain: parameter for name, parameter in body.named_parameters() if (plain := plain_name(name))}
    prefix = BODIES[theirs.model.kind]
    weights = {name.removeprefix(prefix): tensor for name, tensor in _weights(run).items() if name.startswith(prefix)}
    _copy(weights, own, run)


def initialise_masked(settings: MaskedLanguageSettings, model: torch.nn.Module) -> None:
    """Gives a new BERT the weights, heads included, of the run it goes on from."""
    if settings.pretrained is not None:
        run, theirs = _pretrained(settings.pretrained, settings)
        own, prefix = dict(model.named_parameters()), BODIES["bert"]
        if theirs.encoder_only:  # its heads are new
            own = {name: parameter for name, parameter in own.items() if name.startswith(prefix)}
        _copy(_weights(run), own, run)


def _weights(run: Run) -> dict[str, Tensor]:
    run.verify()
    return run.read_weights()


@torch.no_grad()
def _copy(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], run: Run) -> None:
    storage.copy_tensors(dict(weights), dict(own), run.weights)


def _pretrained(path: str, settings: BaseModel) -> tuple[Run, Any]:
    """The run, and its settings. Raises UsageError where one of these settings cannot go on from it."""
    run = Run(path)
    kind = str(run.read_config().get("model", {}).get("kind"))
    wanted = tuple(PRETRAINING) if type(settings) is ClassificationSettings else ("bert",)
    schema = PRETRAINING.get(kind)
    if kind not in wanted or schema is None or run.task != schema.model_fields["task"].default:
        names = " or a ".join(one.upper() for one in wanted)
        raise UsageError(f"pretrained: {path} is a {kind} model of task {run.task}; the run of a {names} is wanted")
    return run, run.settings(schema)


def _taken(given: Any, theirs: Any, where: str, name: str, free: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of `theirs`, but for the free ones that were given. Raises UsageError for others that differ."""
    values = theirs.model_dump()
    for field in given.model_fields_set:
        value = getattr(given, field)
        if field in free:
            values[field] = value
        # a kind that was not said is a GPT's
        elif (field, value) != ("kind", "gpt") and value != values.get(field):
            raise UsageError(f"{name}.{field}: {value!r}, but {where} has {values.get(field)!r}; leave it out")
    return values
