"""A configuration that fits a user's data: how these are split, how large a model, how long a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sightline import config
from sightline.data.survey import Survey
from sightline.errors import DataError, UsageError, nearest
from sightline.runs.dry_run import count_parameters
from sightline.runs.fine_tuning import adopt
from sightline.tasks.settings import DataSource, RunSettings
from sightline.tasks.spec import Scale, TaskSpec, Values

DEFAULT_SHARE = 0.05  # of the data, to validate on
_LARGER_SHARES = (0.1, 0.2, 0.3, 0.5)  # where that would be too few records to tell anything
_FEWEST, _MOST = 100, 200_000  # updates
# Products and sums a second that one core of an ordinary processor does in training, from an old to a new one.
_SLOW, _FAST = 1.5e10, 1e11

Side = float | Values | None  # a share of the training data, a source of its own, or nothing


@dataclass(frozen=True)
class Proposal:
    """What is to be written, why, and what to say of it."""

    settings: RunSettings
    reasons: list[str] = field(default_factory=list[str])
    said: list[str] = field(default_factory=list[str])


def propose(
    spec: TaskSpec,
    entry: Values,
    kind: str | None,
    *,
    validation: Side = None,
    test: Side = None,
    size: str | None = None,
    pretrained: str | None = None,
    where: str = "init",
) -> Proposal:
    """A configuration for the data that `entry` names.

    Args:
        validation, test: a share of these data, split off by content, or other data. A share of 0.05, or more of few
            data, is validated on where nothing is said; nothing is then tested.
        size: the name of the sizes to take, instead of those that fit.
        pretrained: a run to go on from, which has sizes of its own.

    Raises UsageError where data, kind, shares or size are not what the task can take.
    """
    if size is not None and size not in (names := [one.name for one in spec.init.scales]):
        raise UsageError(f'--size: task {spec.name} has no "{size}"{nearest(size, names)}')
    if size is not None and pretrained is not None:
        raise UsageError(f"--size: {pretrained} has its own; leave it out")
    bare = _values(spec, entry, kind, pretrained, entry, None)
    source: Any = config.validate(spec.settings, bare, where).data.train[0]
    usual = validation is None
    validation, seen, said = _look(spec, source, validation, test)
    sides, told = _sides(spec, seen, entry, validation, test, usual)
    said += told
    values = _values(spec, sides[0], kind, pretrained, *sides[1:])
    scale = _scale(spec, seen, size)
    if scale is None:
        return Proposal(_resolved(spec, values, pretrained, where), said=said)
    chosen = config.merged(dict(scale.values), dict(scale.kinds.get(kind or "", {})))
    chosen = config.merged(chosen, spec.init.fit(seen, chosen)) if seen is not None else chosen
    if pretrained is not None:
        chosen = config.merged({key: one for key, one in chosen.items() if key == "training"}, spec.init.further)
    settings = _resolved(spec, config.merged(chosen, values), pretrained, where)
    if settings.counted:
        return Proposal(settings, said=said)
    epochs = scale.epochs if pretrained is None else scale.further
    reasons = [] if pretrained else [_rule(spec, scale, seen, size)]
    units = seen if seen is not None and seen.records else None
    batches = _batches(spec, settings, units)
    updates = _rounded(min(max(epochs * batches, _FEWEST), _MOST))
    settings = _of_length(settings, updates)
    about = f"{updates:,} updates, about {updates / batches:,.0f} epochs" if units else f"{updates:,} updates"
    reasons.append(f"training.max_updates: {about}; set it higher for a better model, lower for a quicker one.")
    said.append(f"{_size_said(scale, settings, pretrained)}; {about}; {_minutes(settings)}")
    return Proposal(settings, reasons, said)


def _values(
    spec: TaskSpec, entry: Values, kind: str | None, pretrained: str | None, validation: Values, test: Values | None
) -> Values:
    data: Values = {"train": [entry], "validation": [validation] if spec.init.validation_is_list else validation}
    return {
        "task": spec.name,
        "data": {**spec.init.about(entry), **data, **({"test": {"test": test}} if test else {})},
        **({} if kind is None else {"model": {"kind": kind}}),
        **({"pretrained": pretrained} if pretrained else {}),
    }


def _resolved(spec: TaskSpec, values: Values, pretrained: str | None, where: str) -> Any:
    settings = config.validate(spec.settings, values, where)
    return adopt(spec, settings)[0] if pretrained else settings


def _look(spec: TaskSpec, source: DataSource, validation: Side, test: Side) -> tuple[Side, Survey | None, list[str]]:
    """What is validated on, what there is (None where nothing can be told), and what to say of it.

    Where nothing is said of validation it is the first usual share that has a few records.
    """
    shares = [_share(validation)]
    if validation is None:
        most = 0.8 - _share(test)  # so that there is something to learn from
        shares = [DEFAULT_SHARE, *(share for share in _LARGER_SHARES if share <= most)]
    try:
        looks = ((share, spec.init.survey(source, _cuts(share, _share(test)), spec.data_files)) for share in shares)
        share, seen = next((one for one in looks if _enough(spec, *one)), (shares[0], None))
        seen = seen or spec.init.survey(source, _cuts(share, _share(test)), spec.data_files)
    except DataError as error:
        return DEFAULT_SHARE if validation is None else validation, None, [f"nothing is known of the data: {error}"]
    validation = share if validation is None else validation
    if not seen.records:
        bad = f": none of {seen.unreadable:,} lines can be read" if seen.unreadable else ""
        return validation, None, [f"{source.source}: no {spec.init.unit} are found{bad}"]
    about = "" if seen.whole else "about "
    bad = f"; {about}{seen.unreadable:,} lines cannot be read, which --dry-run shows" if seen.unreadable else ""
    count = spec.init.units(seen)
    records = "" if count == seen.records else f" in {about}{seen.records:,} records"
    return validation, seen, [f"{source.source}: {about}{count:,} {spec.init.unit}{records}{bad}"]


def _enough(spec: TaskSpec, share: float, seen: Survey) -> bool:
    """Whether so many records are validated on that they tell something: twenty, or of few records a fifth."""
    fixed = not share or not seen.records or _single(spec, seen)
    return fixed or seen.sides[1] >= min(20, max(1, seen.records // 5))


def _single(spec: TaskSpec, seen: Survey) -> bool:
    """Whether there is one record alone, which can be cut."""
    return seen.whole and seen.records == 1 and spec.init.undivided is not None


def _share(side: Side) -> float:
    return side if isinstance(side, float) else 0.0


def _cuts(validation: float, test: float) -> list[float]:
    """Where training ends, validation ends, and test. Raises UsageError where nothing would be trained on."""
    if validation + test >= 1:
        raise UsageError(f"--validation, --test: {validation:g} and {test:g} of the data leave nothing to learn from")
    return [0.0, round(1 - test - validation, 6), round(1 - test, 6), 1.0]


def _sides(
    spec: TaskSpec, seen: Survey | None, entry: Values, validation: Side, test: Side, usual: bool
) -> tuple[tuple[Values, Values, Values | None], list[str]]:
    """The sources of training, validation and test, and what to say of the split.

    Raises UsageError where a side would have no record, but for a validation that is the `usual` one.
    """
    cuts = _cuts(_share(validation), _share(test))
    given = (1 - _share(validation) - _share(test), validation, test)
    if _share(validation) == _share(test) == 0:
        return (entry, _source(entry, validation), _source(entry, test) if test else None), []
    single = seen is not None and _single(spec, seen)
    key, whole = ("part", {**entry, **(spec.init.undivided or {})}) if single else ("split", entry)
    sources = [
        {**whole, key: list(side)} if isinstance(share, float) else _source(entry, share)
        for share, side in zip(given, pairwise(cuts), strict=True)
    ]
    found = (sources[0], sources[1], sources[2] if test else None)
    if seen is None:
        return found, []
    if single:
        return found, ["one text: it is split by position"]
    about = "" if seen.whole else "about "
    told: list[str] = []
    for name, share, count in zip(("train", "validation", "test"), given, seen.sides, strict=True):
        if isinstance(share, float) and not count:
            line = f"of {seen.records:,} records none is left for {name}"
            if usual and not test:
                return found, [f"{line}; name other data with --validation"]
            raise UsageError(f"--validation, --test: {line}; name other shares, or a file")
        told += [f"{about}{count:,} {name}"] if isinstance(share, float) else []
    twice = f"; {about}{seen.repeated:,} duplicates kept on one side" if seen.repeated else ""
    return found, [f"split by content: {', '.join(told)}{twice}"]


def _source(entry: Values, side: Side) -> Values:
    """The source that a side is; the training data themselves where nothing else is."""
    return side if isinstance(side, dict) else entry


def _scale(spec: TaskSpec, seen: Survey | None, size: str | None) -> Scale | None:
    """The sizes that were asked for, or those that fit; of data that nothing is known of the second smallest."""
    scales = spec.init.scales
    if size is not None:
        return next(one for one in scales if one.name == size)
    if seen is None:
        return scales[min(1, len(scales) - 1)] if scales else None
    return next((one for one in reversed(scales) if spec.init.units(seen) >= one.least), None)


def _rule(spec: TaskSpec, scale: Scale, seen: Survey | None, size: str | None) -> str:
    scales: Sequence[Scale] = spec.init.scales
    number = scales.index(scale)
    low = f"{scale.least:,}" if scale.least else ""
    high = f"{scales[number + 1].least:,}" if number + 1 < len(scales) else ""
    span = f"{low} to {high}" if low and high else f"fewer than {high}" if high else f"{low} or more"
    there = f"; these are {spec.init.units(seen):,}" if seen is not None else ""
    return (
        f"Sizes: {scale.name}, which is for {span} {spec.init.unit}{there}. --size takes another: "
        f"{', '.join(one.name for one in scales)}."
    )


def _batches(spec: TaskSpec, settings: Any, seen: Survey | None) -> float:
    """How many updates an epoch of the training part has, roughly; a hundred of data that nothing is known of."""
    if seen is None:
        return 100.0
    share = seen.sides[0] / sum(seen.sides) if sum(seen.sides) else 1.0
    training = settings.training
    return max(1.0, share * spec.init.tokens(seen, settings) / training.tokens_per_batch / training.accumulate)


def _rounded(updates: float) -> int:
    """To two digits."""
    step = 10 ** max(0, math.floor(math.log10(updates)) - 1)
    return round(updates / step) * step


def _of_length(settings: Any, updates: int) -> Any:
    """The settings with so many updates; ten validations, and a warm-up of a tenth or less."""
    training = settings.training
    every = max(1, updates // 10)
    values = {
        "max_updates": updates,
        "warmup": min(training.warmup, max(1, updates // 10)),
        "validate_every": every,
        "save_every": every,
        "log_every": min(training.log_every, every),
    }
    return settings.model_copy(update={"training": training.model_copy(update=values)})


def _size_said(scale: Scale, settings: Any, pretrained: str | None) -> str:
    name = f"size {scale.name}" if pretrained is None else f"sizes of {pretrained}"
    return f"{name}: {settings.model.kind} of {count_parameters(settings) / 1e6:,.1f} million parameters"


def _minutes(settings: Any) -> str:
    """A wide guess: six products a parameter and token (Kaplan et al. 2020, table 1)."""
    training = settings.training
    work = 6 * count_parameters(settings) * training.max_updates * training.tokens_per_batch * training.accumulate
    low, high = (work / 60 / (2 * speed) for speed in (_FAST, _SLOW))
    return f"very roughly {max(1, round(low)):,} to {max(2, round(high)):,} minutes of two cores"
