"""Schedules against values computed by hand, and the settings that choose them."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from sightline import config
from sightline.errors import UsageError
from sightline.tasks.registry import TASKS
from sightline.train import schedules
from sightline.train.loop import higher_is_better
from sightline.train.settings import DEFAULT_UPDATES, TrainSettings

METRICS = {name: metric for spec in TASKS.values() for name, metric in spec.metrics.items()}


def test_noam_is_equation_3_of_vaswani() -> None:
    # d_model 512, warmup 4000: rises by 512^-½ · 4000^-1½ an update, then falls as 512^-½ · u^-½.
    assert schedules.noam(1, 512, 4000) == pytest.approx(1.7469e-7, rel=1e-4)
    assert schedules.noam(4000, 512, 4000) == pytest.approx(6.9877e-4, rel=1e-4)
    assert schedules.noam(16000, 512, 4000) == pytest.approx(3.4939e-4, rel=1e-4)


def test_inverse_square_root_has_its_peak_at_the_end_of_the_warm_up() -> None:
    found = [schedules.inverse_square_root(update, 100) for update in (1, 50, 100, 400, 10_000)]
    assert found == pytest.approx([0.01, 0.5, 1.0, 0.5, 0.1])


@pytest.mark.parametrize("update", [1, 7, 399, 400, 401, 5000])
def test_both_forms_are_the_same_schedule(update: int) -> None:
    peak = schedules.noam_peak(256, 400)
    assert peak * schedules.inverse_square_root(update, 400) == pytest.approx(schedules.noam(update, 256, 400))


def test_no_warm_up_begins_at_the_peak() -> None:
    assert schedules.constant(1) == 1.0
    assert schedules.inverse_square_root(1, 0) == 1.0
    assert schedules.cosine(0, 0, 100) == 1.0


def test_cosine() -> None:
    found = [schedules.cosine(update, 10, 110, 0.1) for update in (5, 10, 35, 60, 110, 200)]
    quarter = 0.1 + 0.9 * (0.5 + math.sqrt(0.125))  # cos 45° = √½
    assert found == pytest.approx([0.5, 1.0, quarter, 0.55, 0.1, 0.1])


def test_warmup_stable_decay() -> None:
    found = [schedules.warmup_stable_decay(update, 10, 100, 20, 0.2) for update in (5, 10, 50, 80, 90, 100, 101)]
    assert found == pytest.approx([0.5, 1.0, 1.0, 1.0, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"schedule": "constant", "warmup": 40}, 0.5),
        ({"schedule": "inverse_sqrt", "warmup": 5}, 0.5),
        ({"schedule": "cosine", "warmup": 0, "max_updates": 40}, 0.5),
        ({"schedule": "cosine", "warmup": 0, "max_updates": 40, "final_factor": 0.5}, 0.75),
        ({"schedule": "wsd", "warmup": 0, "max_updates": 30, "decay": 20}, 0.5),
    ],
)
def test_settings_choose_a_schedule(values: dict, expected: float) -> None:
    assert schedules.from_settings(TrainSettings(**values))(20) == pytest.approx(expected)


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:1"])
def test_devices_that_settings_may_name(device: str) -> None:
    assert TrainSettings(device=device).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:1", "cuda:-1", "tpu"])
def test_devices_that_there_cannot_be(device: str) -> None:
    with pytest.raises(ValidationError, match=f'no such choice: "{device}"; known: auto, cpu, cuda, cuda:1 and so on'):
        TrainSettings(device=device)


def test_each_key_says_what_may_become_of_it() -> None:
    text = config.commented(TrainSettings())
    for about in (
        "stop after so many updates; 20000 where no limit is given [extend]",
        "updates between lines of the log [free]",
        "batches per update, as if they were one large batch [fixed]",
    ):
        assert f"# {about}\n" in text
    assert text.startswith("# Once training has begun, [extend] may be raised and [free] be changed")
    described = [line for line in text.splitlines() if line.startswith("# ") and line.endswith("]")]
    assert len(described) >= len(TrainSettings.model_fields) - 3  # those that a list of choices follows


def test_schedules_with_the_same_past() -> None:
    def same(update: int, **values: Any) -> bool:
        short, long = (TrainSettings(max_updates=most, warmup=5, **values) for most in (20, 40))
        return schedules.same_until(short, long, update)

    assert same(20, schedule="constant")
    assert same(20, schedule="inverse_sqrt")
    assert same(5, schedule="cosine")
    assert not same(6, schedule="cosine")
    assert same(10, schedule="wsd", decay=10)
    assert not same(11, schedule="wsd", decay=10)


def test_every_field_is_described() -> None:
    assert [name for name, field in TrainSettings.model_fields.items() if not field.description] == []


def test_some_limit_always_holds() -> None:
    assert TrainSettings().max_updates == DEFAULT_UPDATES
    assert TrainSettings(max_epochs=3).max_updates is None
    assert TrainSettings(max_minutes=1.5).max_updates is None
    assert TrainSettings.model_validate(TrainSettings(max_epochs=3).model_dump()) == TrainSettings(max_epochs=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedule": "wsd", "max_epochs": 2}, "max_updates"),
        ({"average_last": 5, "keep": 3}, "needs keep"),
        ({"betas": (0.9, 1.0)}, "below 1"),
        ({"patience": 3, "validate_every": 0}, "makes none"),
        ({"learning_rat": 1.0}, "Extra inputs"),
        ({"accumulate": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSettings(**values)


@pytest.mark.parametrize(
    ("values", "higher"),
    [
        ({"metric": "loss"}, False),
        ({"metric": "perplexity"}, False),
        ({"metric": "bleu"}, True),
        ({"metric": "next_sentence_loss"}, False),
        ({"metric": "calibration_error"}, False),
        ({"metric": "bleu", "metric_direction": "min"}, False),
        ({"metric": "regret", "metric_direction": "min"}, False),
        ({"metric": "loss", "metric_direction": "max"}, True),
    ],
)
def test_the_direction_of_the_metric(values: dict, higher: bool) -> None:
    assert higher_is_better(TrainSettings(**values), METRICS) is higher


def test_a_direction_that_nobody_told_is_asked_for() -> None:
    with pytest.raises(UsageError, match='metric_direction: nothing tells which regret is better; set it to "min" or'):
        higher_is_better(TrainSettings(metric="regret"), METRICS)
