"""What a run takes from the run it goes on from, its parent: sizes, tokenizers, weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from sightline import config
from sightline.data.tokenizer import Tokenizer
from sightline.errors import CheckpointError, UsageError
from sightline.nn.lora import plain_name
from sightline.runs.loading import spec_of
from sightline.tasks.settings import RunSettings
from sightline.tasks.spec import Pretraining, TaskSpec
from sightline.train import storage
from sightline.train.format_1 import upgrade_sizes
from sightline.train.run_directory import Run

S = TypeVar("S", bound=RunSettings)

# What may differ from the parent's model; only a table of learned positions has an end.
FREE = ("dropout", "attention_dropout", "activation_dropout", "input_dropout", "weight_dropout", "scheduled_sampling")
ENDLESS_FREE = (*FREE, "max_length")
FREE_OF_TOKENIZER = ("merge_dropout",)


@dataclass(frozen=True)
class Parent:
    """What decides a child's sizes and tokenizer: the parent's task, model and tokenizer settings.

    It is kept in the child's run directory, so that the child goes on without its parent.
    """

    path: str
    task: str
    model: dict[str, object]
    tokenizer: dict[str, object]

    @classmethod
    def of(cls, path: str, pretraining: Pretraining) -> Parent:
        """Reads a trained run.

        Raises UsageError where one of this `pretraining` cannot go on from it, CheckpointError where it is damaged.
        """
        run = Run(path)
        spec = spec_of(run)
        run.verify()
        settings = run.settings(spec.settings)
        kind = settings.model.kind
        if (spec.name, kind) not in pretraining.parents:
            known = " or ".join(f"{kind.upper()} ({task})" for task, kind in pretraining.parents)
            raise UsageError(
                f"pretrained: {path} is a {kind} model of task {spec.name}; the run of a {known} is wanted"
            )
        dumped = settings.model_dump(mode="json")
        return cls(path, spec.name, dumped["model"], dumped.get("tokenizer", {}))

    @classmethod
    def kept_in(cls, run: Run) -> Parent | None:
        """What a run directory keeps of its parent; None where it keeps nothing."""
        if not run.parent.exists():
            return None
        found = storage.read_json(run.path, run.parent.name)
        try:
            sizes = dict(found["model"])
            # a run keeps it before its configuration is written
            sizes = upgrade_sizes(sizes) if run.exists and run.format == 1 else sizes
            return cls(str(found["path"]), str(found["task"]), sizes, dict(found["tokenizer"]))
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f"{run.parent}: damaged; restore it from a copy") from None

    def keep_in(self, run: Run) -> None:
        """Writes it into a run directory."""
        run.write_text(run.parent, json.dumps(asdict(self), indent=1, default=list))


def adopt(spec: TaskSpec[S], settings: S, run: Run | None = None) -> tuple[S, Parent | None]:
    """The settings with the parent's sizes and tokenizer, and no longer sequences than it reads; and the parent.

    Args:
        run: of the child, which keeps what it took.

    Raises UsageError where the run named is of no fitting model, or the settings contradict it.
    """
    if settings.parent is None:
        return settings, None
    if spec.pretraining is None:
        raise UsageError(f"pretrained: a run of task {spec.name} goes on from no other")
    parent = None if run is None else Parent.kept_in(run)
    if parent is None or parent.path != settings.parent:
        parent = Parent.of(settings.parent, spec.pretraining)
    values = settings.model_dump(mode="json")
    usual = next(iter(spec.init.models), "")  # none are named where there is one kind alone
    endless = parent.model.get("positions") != "learned"
    given = settings.model_dump(mode="json", exclude_unset=True)
    free = ENDLESS_FREE if endless else FREE
    values["model"] = _taken(given.get("model", {}), parent.model, parent.path, "model", free, usual)
    if "tokenizer" in values:
        own = given.get("tokenizer", {})
        values["tokenizer"] = _taken(own, parent.tokenizer, parent.path, "tokenizer", FREE_OF_TOKENIZER)
    limit = spec.pretraining.bounded
    longest = values["model"].get("max_length")
    if limit and longest is not None and limit not in settings.data.model_fields_set:
        values["data"][limit] = min(values["data"][limit], longest)
    return config.validate(spec.settings, values, parent.path), parent


def tokenizers_of(parent: Parent) -> dict[str, Tokenizer]:
    """The parent's tokenizers by name. Raises CheckpointError where the parent is missing or damaged."""
    run = Run(parent.path)
    run.verify()
    return run.load_tokenizers()


def initialise(spec: TaskSpec, settings: RunSettings, model: nn.Module) -> None:
    """Gives a new model the parent's weights: all of them, or those of the body; a new head stays as it is.

    Raises CheckpointError where the parent is missing or damaged.
    """
    path = settings.parent
    if path is None or spec.pretraining is None or settings.from_scratch:
        return
    run = Run(path)
    weights = run.read_weights()
    # where nothing is said, as of a kind whose body no other task takes over, all of the model is its body
    prefix = spec_of(run).bodies.get(settings.model.kind, "")
    if spec.pretraining.whole:
        whole = storage.persistent_tensors(model)
        if all(name.startswith(prefix) for name in weights):  # a body that came without heads; those stay new
            whole = {name: tensor for name, tensor in whole.items() if name.startswith(prefix)}
        _copy(weights, whole, run)
        return
    body = model.get_submodule("body")
    tensors = storage.persistent_tensors(body)
    own = {plain: tensor for name, tensor in tensors.items() if (plain := plain_name(name))}
    _copy({name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}, own, run)


@torch.no_grad()
def _copy(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], run: Run) -> None:
    storage.copy_tensors(dict(weights), dict(own), run.weights)


def _taken(
    given: Mapping[str, object],
    theirs: Mapping[str, object],
    where: str,
    name: str,
    free: tuple[str, ...],
    usual_kind: str = "",
) -> dict[str, object]:
    """The fields of `theirs`, but for the free ones that were given. Raises UsageError for others that differ."""
    values = dict(theirs)
    for field, value in given.items():
        if field in free:
            values[field] = value
        # a kind that was not said is the task's usual one
        elif (field, value) != ("kind", usual_kind) and value != values.get(field):
            raise UsageError(f"{name}.{field}: {value!r}, but {where} has {values.get(field)!r}; leave it out")
    return values
