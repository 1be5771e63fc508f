"""What a training would take, told before it starts: parameters, memory, steps, disk; measured by a few updates."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from sightline.data.sources import Source
from sightline.errors import DataError, UsageError
from sightline.runs.training import complete, rehearse
from sightline.tasks.registry import TASKS
from sightline.tasks.settings import RunSettings
from sightline.tasks.spec import Fitted, Say
from sightline.train import machine, probe
from sightline.train.settings import TrainSettings

# of Adam's two averages and the gradient, in fp32
_FP32_COPIES = 3
_SHOWN = 20  # rows that are told of one by one


def dry_run(settings: RunSettings, *, report: Say, show: Callable[[Any], None]) -> None:
    """Does all that comes before a training, and a few updates of it; then tells what the training will take.

    What was read is in the cache afterwards, and nothing else is kept. Where files are not there, or nothing is
    trained, what can be said without is told alone.

    Args:
        report: called with each line. show: with the complete settings.

    Raises DataError where rows cannot be read, after telling of the first twenty, and whatever training would.
    """
    spec = TASKS[settings.task]
    machine.setup(settings.training.threads)
    data: Any = settings.data
    missing = bool(_missing(data.model_dump(), spec.data_files))
    if missing or settings.counted:
        settings, _ = complete(spec, settings)
        show(settings)
        for line in describe(settings):
            report(line)
        if not missing:
            _refuse_rows(settings, report)
        return
    machine.forget_peak()
    with _telling_rows(settings, report):
        settings, parent = complete(spec, settings)
        show(settings)
        start = rehearse(settings, report=report, parent=parent)
    if start.learner is None or isinstance(start.learner, Fitted):
        return
    training, task = start.settings.training, start.learner
    speed = probe.measure(task, training)
    count = sum(parameter.numel() for parameter in task.model.parameters())
    report(
        f"speed: {speed.units / speed.seconds:,.0f} {task.unit}/s, {_seconds(speed.seconds)} an update "
        f"({speed.updates} of them timed, {training.precision} on {training.device}, threads: {training.threads})"
    )
    report(_duration(training, speed.seconds, task.batches_per_epoch))
    if speed.peak_bytes:
        report(f"memory: {_size(speed.peak_bytes)} at its peak, from the reading of the data to these updates")
    report(_disk(training, count))


def seconds_per_update(settings: RunSettings, report: Say) -> float:
    """How long an update of a training takes here, from a few of them. Nothing is kept but what was read, in the cache.

    Raises UsageError for a model that is counted, and has no updates; and as `dry_run` does.
    """
    spec = TASKS[settings.task]
    machine.setup(settings.training.threads)
    settings, parent = complete(spec, settings)
    start = rehearse(settings, report=report, parent=parent)
    if start.learner is None or isinstance(start.learner, Fitted):
        raise UsageError(f"model.kind: {settings.model.kind} is counted at once, and takes no minutes of training")
    return probe.measure(start.learner, start.settings.training).seconds


@contextmanager
def _telling_rows(settings: RunSettings, report: Say) -> Generator[None, None, None]:
    """Where data cannot be read, tells of every row that cannot, and not of the first alone."""
    try:
        yield
    except DataError:
        _refuse_rows(settings, report)
        raise


def _refuse_rows(settings: RunSettings, report: Say) -> None:
    """Raises DataError where rows cannot be read, after telling of the first of them."""
    count, shown = bad_rows(settings)
    if not count:
        return
    for line in shown:
        report(line)
    if count > len(shown):
        report(f"and {count - len(shown):,} more")
    rows = f"{count:,} rows" if count > 1 else "1 row"
    raise DataError(f"{rows} cannot be read, and a training would stop there; mend them or leave them out") from None


def bad_rows(settings: RunSettings) -> tuple[int, list[str]]:
    """How many rows of all data are none, and what is wrong with the first; each source is read once, whatever is taken
    of it."""
    data: Any = settings.data
    validation = data.validation if isinstance(data.validation, tuple) else (data.validation,)
    whole = {"split": None, "part": (0.0, 1.0)}
    sources: dict[str, Source] = {}
    for one in filter(None, (*data.train, *validation, *data.test.values())):
        fields = type(one).model_fields
        plain = one.model_copy(update={key: value for key, value in whole.items() if key in fields})
        sources.setdefault(json.dumps(plain.model_dump(mode="json"), sort_keys=True), plain)
    count = 0
    shown: list[str] = []

    def note(error: DataError) -> None:
        nonlocal count
        count += 1
        if count <= _SHOWN:
            shown.append(str(error))

    for source in sources.values():
        try:
            for _ in source.outlines(note):
                pass
        except DataError as error:
            note(error)
    return count, shown


def describe(settings: Any) -> list[str]:
    """One line each on parameters, memory, updates and disk, and on files that are not there. Nothing is written.

    The vocabulary is taken to be as large as allowed; activations are estimated from what one token keeps for the
    backward pass.
    """
    files = TASKS[settings.task].data_files
    return _needs(settings) + [f"missing: {path}" for path in _missing(settings.data.model_dump(), files)]


def _missing(data: Any, keys: Sequence[str]) -> list[str]:
    """The files that a configuration names by path and that are not there; those of the catalogue are fetched."""
    if not isinstance(data, dict):
        return [path for one in data for path in _missing(one, keys)] if isinstance(data, (list, tuple)) else []
    named = [one for key, one in data.items() if key in keys and type(one) is str and ":" not in one]
    inside = [path for one in data.values() for path in _missing(one, keys)]
    return list(dict.fromkeys([path for path in named if not Path(path).exists()] + inside))


def _needs(settings: Any) -> list[str]:
    """Lines on parameters, memory, updates and disk."""
    vocab = settings.vocab_size
    if settings.counted:
        return [
            f"model: n-grams of up to {settings.model.order} tokens, with a vocabulary of {vocab:,}",
            "memory: about 40 bytes for each different n-gram of the text, while they are counted",
            "updates: none; all text is counted once",
            "disk: 24 bytes for each different n-gram, 16 for those of the highest order",
        ]
    count = count_parameters(settings)
    training = settings.training
    width = 2 if training.precision == "bf16" else 4
    weights = count * (width * 2 + 4 * _FP32_COPIES)
    activations = settings.model.activations_per_token(settings.span) * training.tokens_per_batch * width
    return [
        f"model: {settings.model.kind}, {count:,} parameters" + (f" with a vocabulary of {vocab:,}" if vocab else ""),
        f"memory: about {_size(weights + activations)} ({_size(weights)} weights and optimizer, the rest activations)",
        f"updates: {_ending(training)}, each of {training.accumulate} × {training.tokens_per_batch:,} tokens",
        _disk(training, count),
    ]


def _disk(training: TrainSettings, count: int) -> str:
    checkpoint, kept = count * 4 * (3 + bool(training.ema)), training.keep + 2
    return f"disk: {_size(checkpoint)} a checkpoint, up to {kept} of them, {_size(count * 4)} for the final weights"


def _duration(training: TrainSettings, seconds: float, batches_per_epoch: int | None) -> str:
    """How long it is until the first limit is reached, `seconds` being those of one update."""
    per_epoch = None if batches_per_epoch is None else max(1.0, batches_per_epoch / training.accumulate)
    limits: list[float] = []
    if training.max_updates is not None:
        limits.append(training.max_updates)
    if training.max_epochs is not None and per_epoch is not None:
        limits.append(training.max_epochs * per_epoch)
    if training.max_minutes is not None:
        limits.append(training.max_minutes * 60 / seconds)
    if not limits:
        return "time: how long an epoch is, the task does not say"
    updates = min(limits)
    epochs = "" if per_epoch is None else f", {_rough(updates / per_epoch)} epochs of {per_epoch:,.0f}"
    early = f", or fewer after {training.patience} validations without progress" if training.patience else ""
    whole = updates * seconds
    told = f"{whole:.0f} s" if whole < 60 else f"{_rough(whole / 60)} min"
    return f"time: {told} for {updates:,.0f} updates{epochs}{early}; validations take some more"


def _rough(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def count_parameters(settings: Any) -> int:
    """How many numbers a model has, its vocabulary being as large as allowed; of one that is counted none."""
    if settings.counted:
        return 0
    with torch.device("meta"):
        # all that a model asks of tokenizers is how large they are
        sized: Any = dict.fromkeys(("source", "target", "text"), SimpleNamespace(vocab_size=settings.vocab_size))
        model = TASKS[settings.task].make_model(settings, sized)
    return sum(parameter.numel() for parameter in model.parameters())


def _ending(training: TrainSettings) -> str:
    limits = [
        f"{value:,g} {name}"
        for name, value in (
            ("updates", training.max_updates), ("epochs", training.max_epochs), ("minutes", training.max_minutes),
        )
        if value is not None
    ]  # fmt: skip
    return " or ".join(limits) + (f", or {training.patience} validations without progress" if training.patience else "")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
