"""A plan: which models are trained on the same data with the same budget before they are compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field, model_validator

from sightline import config
from sightline.errors import UsageError
from sightline.runs.dry_run import seconds_per_update
from sightline.runs.processes import Training, train_in_processes
from sightline.runs.training import schema
from sightline.train import storage
from sightline.train.run_directory import Run
from sightline.train.settings import ENDING, TrainSettings

Say = Callable[[str], None]
Values = dict[str, Any]
CONFIGURATIONS = "plans"  # the folder beside the runs that they are trained from


class Budget(config.Frozen):
    """What each model may take; the configurations' own limits where nothing is given."""

    updates: int | None = Field(None, ge=1, description="updates of the weights")
    tokens: int | None = Field(None, ge=1, description="as many updates as full batches make of so many tokens")
    core_minutes: float | None = Field(
        None,
        gt=0,
        description="minutes of training, times threads; of a schedule that ends at max_updates as many updates as "
        "this machine makes in so long, which are counted beforehand",
    )

    @model_validator(mode="after")
    def _one(self) -> Budget:
        given = [name for name, value in self if value is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are one too many; give one")
        return self


class PlanFile(config.Frozen):
    """The keys of a plan."""

    base: str | None = Field(None, description="a recipe or configuration: what all models have in common")
    folder: str | None = Field(None, description="where the runs go; runs/NAME of the plan by default")
    seeds: int | tuple[int, ...] = Field(1, description="how many seeds, or which, each model is trained with")
    budget: Budget = Budget.model_validate({})
    models: dict[str, dict[str, Any]] = Field(
        min_length=2,
        description="name → keys that differ from the base, or recipe = what stands in place of it; the first is the "
        "baseline",
    )


@dataclass(frozen=True)
class Planned:
    """One training of a plan: the model's name, its seed, its configuration and its run.

    minutes: of a core, that the number of updates is still to be made of; None where it is known, or time ends it.
    own: the keys that the plan gives the model.
    """

    name: str
    seed: int
    values: Values
    run: Path
    minutes: float | None
    own: Values


@dataclass(frozen=True)
class Plan:
    """What is to be trained, in the order of the plan: the baseline first; and whether all have one budget."""

    folder: Path
    trainings: tuple[Planned, ...]
    budgeted: bool


def read_plan(path: str, seeds: int | None = None) -> Plan:
    """A plan from its TOML file; every configuration in it is valid. `seeds` replaces how many it says.

    Raises UsageError naming the key that is wrong, in the plan or in what a model makes of its base.
    """
    where, text = config.read(path)
    plan = config.validate(PlanFile, config.parse(where, text), where, text)
    folder = Path(plan.folder or f"runs/{Path(path).stem}")
    chosen = plan.seeds if seeds is None else seeds
    numbers = tuple(range(1, chosen + 1)) if isinstance(chosen, int) else chosen
    if not numbers or len(set(numbers)) != len(numbers):
        raise UsageError(f"{where}: seeds: {chosen!r} must be one or more, each once")
    trainings: list[Planned] = []
    for name, own in plan.models.items():
        if Path(name).name != name or name == CONFIGURATIONS:
            raise UsageError(f'{where}: models: "{name}" cannot be the name of a folder; choose another')
        values = _with_budget(_values(plan, name, own, where), plan.budget, own)
        ends = values.get("training", {}).get("schedule") in ENDING
        minutes = plan.budget.core_minutes if ends else None
        for seed in numbers:
            run = folder / name / f"seed-{seed}" if len(numbers) > 1 else folder / name
            seeded = config.merged(values, {"training": {"seed": seed}})
            label = f"{where}: models.{name}"
            config.validate(schema(seeded, label), seeded, label)
            trainings.append(Planned(name, seed, seeded, run, minutes, own))
    return Plan(folder, tuple(trainings), any(value is not None for _, value in plan.budget))


def _values(plan: PlanFile, name: str, own: Mapping[str, Any], where: str) -> Values:
    """A model's configuration: its recipe, or the base, with its own keys in place of those there."""
    own = dict(own)
    recipe = own.pop("recipe", plan.base)
    if not isinstance(recipe, str):
        raise UsageError(f'{where}: models.{name}: has no base; set base = "…" for all models, or recipe here')
    below = config.parse(*config.read(recipe))
    old, new = below.get("model"), own.get("model")
    if isinstance(old, dict) and isinstance(new, dict) and new.get("kind", old.get("kind")) != old.get("kind"):
        del below["model"]  # a model of another kind shares no size
    return config.merged(below, own)


def _with_budget(values: Values, budget: Budget, own: Mapping[str, Any]) -> Values:
    """With the budget in place of all limits that the configuration has."""
    training: Values = dict(values.get("training", {}))
    updates = budget.updates
    if budget.tokens is not None:
        batch = int(training.get("tokens_per_batch", 4096)) * int(training.get("accumulate", 1))
        updates = max(1, round(budget.tokens / batch))
    if updates is None and budget.core_minutes is None:
        return values
    training = {name: value for name, value in training.items() if not name.startswith("max_")} | {"patience": 0}
    if budget.core_minutes is not None:
        training |= {"threads": 1}
        # one update until it is known how many
        ends = training.get("schedule") in ENDING
        limit = {"max_updates": 1} if ends else {"max_minutes": budget.core_minutes}
        return {**values, "training": training | limit}
    return _with_updates({**values, "training": training}, updates or 1, own)


def _with_updates(values: Values, updates: int, own: Mapping[str, Any]) -> Values:
    """With so many updates, and with what only makes sense of more of them cut to that: a warm-up to a tenth, the time
    between validations and between checkpoints to a quarter, unless the model's `own` keys say otherwise."""
    training: Values = dict(values["training"])
    said: Mapping[str, Any] = own.get("training", {})
    for name, part in (("warmup", 10), ("validate_every", 4), ("save_every", 4)):
        most = max(1, updates // part)
        if name not in said and int(training.get(name, TrainSettings.model_fields[name].default)) > most:
            training[name] = most
    return {**values, "training": training | {"max_updates": updates}}


def _known_updates(plan: Plan, name: str) -> int | None:
    """Of how many updates the runs of a model already are; None where there is none."""
    for one in plan.trainings:
        if one.name == name and Run(one.run).exists:
            found = Run(one.run).read_config().get("training", {}).get("max_updates")
            return found if type(found) is int else None
    return None


def _counted(plan: Plan, report: Say) -> list[Planned]:
    """The trainings with the updates that their minutes come to, the same for all seeds of a model: those of its runs
    where there are some, else by the time that a few take now."""
    updates: dict[str, int] = {}
    found: list[Planned] = []
    for one in plan.trainings:
        if one.minutes is None:
            found.append(one)
            continue
        if one.name not in updates:
            known = _known_updates(plan, one.name)
            if known is None:
                settings = config.validate(schema(one.values, one.name), one.values, one.name)
                seconds = seconds_per_update(settings, lambda line: None)
                known = max(1, round(60 * one.minutes / seconds))
                report(f"{one.name} | {seconds:.2f} s an update: {known:,} in {one.minutes:g} minutes of a core")
            updates[one.name] = known
        values = _with_updates(one.values, updates[one.name], one.own)
        found.append(replace(one, values=values))
    return found


def train_plan(
    plan: Plan, *, jobs: int | None = None, report: Say, plugins: Sequence[str] = ()
) -> list[tuple[str, Path]]:
    """Trains what is missing of a plan, and goes on with what was begun; (name, run) of each training, in order.

    A run that has ended is only read. Each training has a process of its own and one thread, `jobs` at a time, one a
    core by default. Raises as `train_in_processes` does.
    """
    trainings: list[Training] = []
    for one in _counted(plan, report):
        file = plan.folder / CONFIGURATIONS / f"{one.name}-{one.seed}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        storage.replace_text(file, tomli_w.dumps(one.values))
        own = [] if "threads" in one.values.get("training", {}) else ["training.threads=1"]
        label = one.name if one.run.name == one.name else f"{one.name}, seed {one.seed}"
        trainings.append(Training(label, str(file), one.run, own))
    train_in_processes(trainings, at_once=jobs or os.cpu_count() or 1, report=report, plugins=plugins)
    return [(one.name, one.run) for one in plan.trainings]
