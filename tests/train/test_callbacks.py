"""Users' callbacks: what they hear, how they end a training, and that they cannot change it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from sightline.errors import SightlineError, UsageError
from sightline.train.callbacks import Callback, Callbacks, StopTraining
from sightline.train.checkpoint import Checkpoints
from sightline.train.log import TrainLog, display_on
from sightline.train.loop import Outcome, train
from support.train_toys import fp32_task, settings


def run(folder: Path, *callbacks: Callback, **values: Any) -> Outcome:
    heard = Callbacks(callbacks)
    with TrainLog(folder, display_on(Console(file=io.StringIO())), callbacks=heard) as log:
        return train(fp32_task(), settings(**{"log_every": 2, **values}), folder, log)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return Checkpoints(folder).all()[-1].tensors("weights")


class Hearing(Callback):
    """Notes all it is told, and tries what it can to disturb."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_update(self, update: int, figures: Mapping[str, float], /) -> None:
        torch.manual_seed(0)
        torch.rand(7)
        with pytest.raises(TypeError):
            figures["loss"] = 0.0  # type: ignore[index]
        self.heard.append(("update", update, figures["loss"]))

    def on_validation(self, update: int, figures: Mapping[str, float], best: bool, /) -> None:
        torch.rand(1)
        self.heard.append(("validation", update, best))

    def on_save(self, update: int, path: Path, /) -> None:
        assert (path / "state.json").exists()
        self.heard.append(("save", update, path.name))


class StopAt(Callback):
    def __init__(self, hook: str, update: int, reason: str = "") -> None:
        setattr(self, hook, self.stop)
        self.update, self.reason = update, reason

    def stop(self, update: int, *_: object) -> None:
        if update >= self.update:
            raise StopTraining(self.reason) if self.reason else StopTraining


def test_what_callbacks_hear_changes_nothing(tmp_path: Path) -> None:
    one = Hearing()
    outcome = run(tmp_path / "heard", one)
    assert outcome == Outcome(**{**vars(run(tmp_path / "plain")), "seconds": outcome.seconds})
    assert [found[1] for found in one.heard if found[0] == "update"] == list(range(2, 21, 2))
    assert next(found[1:] for found in one.heard if found[0] == "validation") == (10, True)
    assert [found[1:] for found in one.heard if found[0] == "save"] == [(10, "step-10"), (20, "step-20")]
    torch.testing.assert_close(weights(tmp_path / "heard"), weights(tmp_path / "plain"), rtol=0, atol=0)


@pytest.mark.parametrize("hook", ["on_update", "on_validation", "on_save"])
def test_a_callback_ends_a_training_which_goes_on_as_if_it_had_not(hook: str, tmp_path: Path) -> None:
    ended = run(tmp_path / "run", StopAt(hook, 10, "good enough"))
    assert (ended.reason, ended.update) == ("good enough", 10)
    assert Checkpoints(tmp_path / "run").all()[-1].update == 10
    assert run(tmp_path / "run").update == 20
    run(tmp_path / "plain")
    torch.testing.assert_close(weights(tmp_path / "run"), weights(tmp_path / "plain"), rtol=0, atol=0)


def test_a_stop_between_two_saves_is_saved(tmp_path: Path) -> None:
    assert run(tmp_path, StopAt("on_update", 5)).reason == "stopped by StopAt"
    assert Checkpoints(tmp_path).all()[-1].update == 6


@pytest.mark.parametrize("hook", ["on_update", "on_validation", "on_save"])
def test_a_callback_that_fails_ends_it_with_everything_saved(hook: str, tmp_path: Path) -> None:
    class Broken(Callback):
        pass

    def fail(self: object, update: int, *_: object) -> None:
        raise ZeroDivisionError("of its own")

    setattr(Broken, hook, fail)
    after = Hearing()
    with pytest.raises(SightlineError, match=f"callback Broken.{hook} raised ZeroDivisionError: of its own; everyth"):
        run(tmp_path, Broken(), after, save_every=4)
    first = {"on_update": 2, "on_validation": 10, "on_save": 4}[hook]
    assert Checkpoints(tmp_path).all()[-1].update == first
    assert all(one[1] < first or one[0] != hook.removeprefix("on_") for one in after.heard)
    assert run(tmp_path).update == 20


@pytest.mark.parametrize("one", [Hearing, print, None])
def test_what_is_no_callback(one: Any) -> None:
    with pytest.raises(UsageError, match=r"each is a sightline.Callback, not "):
        Callbacks([one])
