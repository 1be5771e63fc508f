"""The loop: accumulation, limits, early stopping, numbers that are not finite, validation that leaves no trace."""

import json
import math
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from sightline.data.batches import DataPosition
from sightline.errors import CheckpointError, SightlineError, UsageError
from sightline.train.checkpoint import Checkpoints
from sightline.train.final import final_weights
from sightline.train.progress import Progress
from sightline.train.stopper import SIGNALS, Stopper
from support.train_toys import BATCHES_PER_EPOCH, Batch, RegressionTask, bf16_task, fp32_task, run, settings


def weights(run_dir: Path, update: int, name: str = "weights") -> dict[str, torch.Tensor]:
    return Checkpoints(run_dir).at(update).tensors(name)


def metrics(run_dir: Path, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


class Plain(RegressionTask):
    """No dropout and no batch norm: nothing but arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)

    def loss(self, batch, generator):
        error = self.model(batch.x_NI).squeeze(-1) - batch.y_N
        return error.square().sum(), len(error), {}

    def validate(self):
        return {"loss": 1.0}


class Joined(Plain):
    """The same numbers in batches that are `parts` times as large."""

    parts = 3

    def batches(self, position):
        small = super().batches(DataPosition(position.seed, 0, 0))
        while True:
            drawn = [next(small) for _ in range(self.parts)]
            x, y = (torch.cat(part) for part in zip(*((b.x_NI, b.y_N) for _, b in drawn), strict=True))
            yield drawn[-1][0], Batch(0, x, y)


def test_accumulation_is_the_large_batch(tmp_path: Path) -> None:
    """Micro-batches differ in size (4 to 10 rows), so a mean of their means would be another update."""
    run(Plain(), settings(accumulate=3), tmp_path / "split")
    run(Joined(), settings(), tmp_path / "joined")
    split, joined = weights(tmp_path / "split", 20), weights(tmp_path / "joined", 20)
    for name, tensor in joined.items():
        torch.testing.assert_close(split[name], tensor, rtol=1e-5, atol=1e-6)
    losses = [[line["loss"] for line in metrics(tmp_path / name, "train")] for name in ("split", "joined")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_training_learns(tmp_path: Path) -> None:
    run(Plain(), settings(max_updates=300, log_every=20, clip=0.0), tmp_path)
    losses = [line["loss"] for line in metrics(tmp_path, "train")]
    assert losses[-1] < 0.7 * losses[0]


def test_what_is_logged(tmp_path: Path) -> None:
    run(fp32_task(), settings(max_updates=6, log_every=4, warmup=5, learning_rate=0.01), tmp_path)
    first, last = metrics(tmp_path, "train")
    assert (first["update"], last["update"]) == (4, 6)
    assert first["tokens"] == 4 + 5 + 6 + 7
    assert last["tokens"] == first["tokens"] + 8 + 9
    assert first["learning_rate"] == pytest.approx(0.008)
    assert last["learning_rate"] == pytest.approx(0.01 * math.sqrt(5 / 6))
    assert first["absolute"] > 0
    assert first["tokens_per_second"] > 0
    (validation,) = metrics(tmp_path, "validation")
    assert validation["update"] == 6
    assert validation["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("values", "updates", "reason"),
    [
        ({"max_updates": 13}, 13, "13 updates"),
        ({"max_updates": None, "max_epochs": 2}, 2 * BATCHES_PER_EPOCH, "2 epochs"),
        ({"max_updates": None, "max_epochs": 2, "accumulate": 4}, 4, "2 epochs"),  # 4 + 4 + 4 + the 2 that are left
        ({"max_updates": 100, "max_minutes": 1e-9}, 1, "1e-09 minutes"),
        ({"max_updates": 5, "max_epochs": 2}, 5, "5 updates"),
    ],
)
def test_limits(values: dict, updates: int, reason: str, tmp_path: Path) -> None:
    outcome, _ = run(fp32_task(), settings(**values), tmp_path)
    assert (outcome.update, outcome.reason) == (updates, reason)
    assert [c.update for c in Checkpoints(tmp_path).all()][-1] == updates


def test_a_finished_run_does_nothing(tmp_path: Path) -> None:
    first, _ = run(fp32_task(), settings(), tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    second, told = run(fp32_task(), settings(), tmp_path)
    assert second == first
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert "going on from" in told


class Scripted(RegressionTask):
    """Validations with values that were written down before."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = list(values)

    def validate(self) -> dict[str, float]:
        return {"loss": 0.0, "bleu": self.values.pop(0)}


def test_patience_and_the_best_checkpoint(tmp_path: Path) -> None:
    chosen = settings(max_updates=100, metric="bleu", patience=2, validate_every=3, save_every=50)
    outcome, _ = run(Scripted(1.0, 5.0, 4.0, math.nan, 9.0), chosen, tmp_path)
    assert outcome.reason == "2 validations without a better bleu"
    assert (outcome.update, outcome.best, outcome.best_update) == (12, 5.0, 6)
    assert [c.update for c in Checkpoints(tmp_path).all()] == [6, 12]
    again, _ = run(Scripted(), chosen, tmp_path)  # has nothing to validate: it must not train on
    assert again == outcome
    shipped, where = final_weights(tmp_path, chosen, 12)
    assert where == "update 6, the best in validation"
    assert torch.equal(shipped["first.weight"], weights(tmp_path, 6)["first.weight"])


def test_an_unknown_metric_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"metric: the task has no chrf; known: bleu, loss"):
        run(Scripted(1.0, 2.0), settings(metric="chrf"), tmp_path)


class Broken(RegressionTask):
    """A loss, or only its gradient, that is not finite at batch 12."""

    def __init__(self, factor: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(dtype)
        self.factor = factor

    def loss(self, batch, generator):
        loss, count, extras = super().loss(batch, generator)
        if batch.number == 12:
            root_of_zero = (self.model.second.weight.float() * 0.0).square().sum().sqrt()  # has an infinite gradient
            loss = loss * self.factor if self.factor else loss + root_of_zero
        return loss, count, extras


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("factor", "what"), [(math.nan, "loss is nan"), (math.inf, "loss is inf"), (0.0, "gradient norm")]
)
def test_what_is_not_finite_stops_before_the_weights(
    factor: float, what: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    task = Broken(factor, dtype)
    with pytest.raises(SightlineError, match=rf"update 7: {what}.* at batch .*number 12") as error:
        run(task, settings(accumulate=2, save_every=6), tmp_path)
    assert "\n" not in str(error.value)
    saved = weights(tmp_path, 6)
    for name, parameter in task.model.named_parameters():
        assert torch.equal(parameter, saved[name].to(parameter.dtype)), name
    assert [c.update for c in Checkpoints(tmp_path).all()] == [6]


def test_a_batch_without_tokens_is_named(tmp_path: Path) -> None:
    class Empty(Plain):
        def loss(self, batch, generator):
            loss, _, extras = super().loss(batch, generator)
            return loss, 0, extras

    with pytest.raises(SightlineError, match="update 1: number 0 has no tokens"):
        run(Empty(), settings(), tmp_path)


@pytest.mark.parametrize("make_task", [fp32_task, bf16_task])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_validation_leaves_no_trace(make_task, ema: float, tmp_path: Path) -> None:
    """The task's validation draws random numbers and switches the model's mode."""
    run(make_task(), settings(ema=ema, validate_every=1), tmp_path / "often")
    run(make_task(), settings(ema=ema, validate_every=0), tmp_path / "never")
    for name in ("weights", "optimizer", "generators"):
        often, never = weights(tmp_path / "often", 20, name), weights(tmp_path / "never", 20, name)
        assert all(torch.equal(often[key], tensor) for key, tensor in never.items()), name


def test_validation_sees_the_moving_average(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    class Looking(Plain):
        def validate(self):
            seen.append(self.model[0].weight.detach().clone())
            return {"loss": 1.0}

    run(Looking(), settings(ema=0.9), tmp_path)
    assert torch.equal(seen[-1], weights(tmp_path, 20, "average")["0.weight"])
    assert not torch.equal(seen[-1], weights(tmp_path, 20)["0.weight"])
    shipped, _ = final_weights(tmp_path, settings(ema=0.9), 20)  # all validations are equal: the first is the best
    assert torch.equal(shipped["0.weight"], seen[0])


def test_the_average_of_the_last_checkpoints(tmp_path: Path) -> None:
    """Checkpoint 21 is there because it was the best, not because one was due: it is not averaged."""

    values = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 3.5]

    class BestAt21(Plain):
        def validate(self):
            return {"loss": values.pop(0)}

    chosen = settings(max_updates=24, save_every=5, validate_every=3, average_last=3)
    run(BestAt21(), chosen, tmp_path)
    assert [c.update for c in Checkpoints(tmp_path).all()] == [10, 15, 20, 21, 24]
    shipped, where = final_weights(tmp_path, chosen, 24)
    assert where == "average of updates 15, 20, 24"
    expected = sum(weights(tmp_path, update)["0.weight"].double() for update in (15, 20, 24)) / 3
    torch.testing.assert_close(shipped["0.weight"].double(), expected, rtol=1e-6, atol=1e-8)


def test_masters_are_what_is_saved(tmp_path: Path) -> None:
    task = bf16_task()
    run(task, settings(), tmp_path)
    saved = weights(tmp_path, 20)
    assert saved["first.weight"].dtype == torch.float32
    assert not torch.equal(saved["first.weight"], saved["first.weight"].bfloat16().float())
    assert torch.equal(task.model.first.weight, saved["first.weight"].bfloat16())
    assert saved["norm.running_mean"].dtype == torch.float32


def test_the_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    run(fp32_task(), settings(), tmp_path)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: has no 0\.bias") as error:
        run(Plain(), settings(max_updates=30), tmp_path)
    assert "\n" not in str(error.value)


def test_a_damaged_newest_checkpoint_costs_only_time(tmp_path: Path) -> None:
    """Training goes back to the one before, and arrives at the same bits."""
    run(fp32_task(), settings(), tmp_path / "whole")
    run(fp32_task(), settings(), tmp_path / "harmed")
    file = tmp_path / "harmed" / "checkpoints" / "step-20" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    _, told = run(fp32_task(), settings(), tmp_path / "harmed")
    assert "warning" in told
    assert "optimizer.safetensors" in told
    for name in ("weights", "optimizer", "generators"):
        path = f"checkpoints/step-20/{name}.safetensors"
        assert (tmp_path / "harmed" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


def test_seeds_matter(tmp_path: Path) -> None:
    run(fp32_task(), settings(seed=1), tmp_path / "one")
    run(fp32_task(), settings(seed=2), tmp_path / "two")
    assert not torch.equal(weights(tmp_path / "one", 20)["first.weight"], weights(tmp_path / "two", 20)["first.weight"])


@pytest.fixture
def _ctrl_c_interrupts() -> Iterator[None]:
    """A process started in the background ignores Ctrl-C from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_the_stopper_notes_one_signal_and_gives_the_handlers_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Stopper() as stopper:
        assert stopper.requested is None
        signal.raise_signal(signal.SIGINT)
        assert stopper.requested == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):  # a second Ctrl-C is obeyed at once
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_the_stopper_outside_the_main_thread_does_nothing() -> None:
    found: list[object] = []

    def body() -> None:
        with Stopper() as stopper:
            found.append(stopper.requested)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [None]


def test_fraction_of_a_run_limited_by_epochs_is_known_after_the_first() -> None:
    chosen = settings(max_updates=None, max_epochs=4)
    progress = Progress(DataPosition(1, 0, 3), update=3)
    assert progress.fraction(chosen) is None
    # 10 batches an epoch, 2 epochs and half of the third
    progress = Progress(DataPosition(1, 2, 5), update=25)
    assert progress.fraction(chosen) == pytest.approx(2.5 / 4)
