"""The doctor of trainings: each cause is told on a series that has it, once, and none on one that is healthy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline.train.display import PlainDisplay
from sightline.train.doctor import Doctor, Facts, large_vocabulary
from sightline.train.log import TrainLog

Curve = Callable[[int], float]
FACTS = Facts(warmup=200, clip=1.0, vocabulary=8000, padding=0.1)


def noise(update: int) -> float:
    return 1 + 0.02 * math.sin(update * 1.7)


def falling(update: int) -> float:
    return 2 + 4 * math.exp(-update / 800)


def watch(
    loss: Curve = falling,
    norm: Curve = lambda update: 0.8,
    validation: Curve = lambda update: falling(update) + 0.1,
    tokens_per_epoch: int = 400_000,
    facts: Facts = FACTS,
    updates: int = 4000,
) -> list[str]:
    """What is said of a training of 4,000 updates of 1,000 tokens with a line each 50 and a validation each 250."""
    doctor = Doctor(facts)
    said = doctor.begin()
    for update in range(50, updates + 1, 50):
        figures = {
            "epoch": update * 1000 // tokens_per_epoch,
            "loss": loss(update) * noise(update),
            "learning_rate": 0.001,
            "gradient_norm": norm(update) * noise(update),
            "tokens": update * 1000,
        }
        said += doctor.train(update, figures)
        if update % 250 == 0:
            said += doctor.validation(update, {"loss": validation(update), "bleu": 3.0})
    return said


@pytest.mark.parametrize(
    "facts", [FACTS, Facts(), Facts(device="cuda", idle_gpu="H100", padding=0.39, clip=0.0, patience=5)]
)
def test_a_healthy_training_hears_nothing(facts: Facts) -> None:
    assert watch(facts=facts) == []
    # that of a classifier, which comes down to almost nothing
    assert watch(lambda update: 0.7 * math.exp(-update / 500) + 0.01, facts=facts) == []
    # one that has long come down and stays there
    assert watch(lambda update: 2 + 4 * math.exp(-update / 100), facts=facts, updates=12_000) == []
    # gradients grow a little while a model learns, and one is large now and then
    assert watch(norm=lambda update: 0.3 + update / 2000 + 6 * (update == 2000), facts=facts) == []


def test_a_loss_that_does_not_fall() -> None:
    (line,) = watch(lambda update: 6.3, validation=lambda update: 6.3)
    assert line.startswith("advice: the loss is not falling: 6.")
    assert "raise training.learning_rate" in line


def test_overfitting() -> None:
    (line,) = watch(validation=lambda update: 3 + abs(update - 1500) / 1000)
    assert "overfitting since update 1,500: the validation loss rose from 3 to 3." in line
    assert "training.patience=5 would stop by itself" in line
    (line,) = watch(validation=lambda update: 3 + abs(update - 1500) / 1000, facts=Facts(patience=3))
    assert "training.patience" not in line


def test_a_validation_that_is_worse_while_training_is_too_is_no_overfitting() -> None:
    assert not any(
        "overfitting" in line for line in watch(lambda update: 3.0, validation=lambda update: 3 + update / 1e4)
    )


@pytest.mark.parametrize(
    ("norm", "ratio"),
    [(lambda update: 0.8 if update < 3000 else 40.0, 50), (lambda update: 400.0 if update == 3000 else 0.8, 500)],
)
def test_gradients_that_explode(norm: Curve, ratio: int) -> None:
    (line,) = watch(norm=norm)
    assert "the gradient norm explodes" in line
    assert "clip lower (training.clip=0.8" in line
    told = float(line.split(", ")[1].split(" times")[0].replace(",", ""))
    assert told == pytest.approx(ratio, rel=0.1)
    (line,) = watch(norm=norm, facts=Facts())
    assert "set training.clip=1" in line


def test_a_learning_rate_that_is_too_high() -> None:
    (line,) = watch(lambda update: falling(update) if update < 2000 else 5.0, validation=lambda update: 3.0)
    assert "the learning rate is too high: the loss rose from 2." in line
    assert "at a learning rate of 0.001" in line
    assert "(0.00033)" in line


def test_a_vocabulary_that_is_too_large() -> None:
    (line,) = watch(tokens_per_epoch=80_000)
    assert "each of 8,000 entries is seen" in line
    assert "tokenizer.vocab_size=" in line
    assert large_vocabulary(100, 100_000) is None
    assert large_vocabulary(0, 10) is None


def test_padding_and_an_idle_gpu() -> None:
    lines = watch(facts=Facts(padding=0.62, idle_gpu="NVIDIA H100"))
    assert len(lines) == 2
    assert "1 GPU is here (NVIDIA H100)" in lines[0]
    assert "62% of every batch is padding" in lines[1]


def test_several_causes_are_told_once_each() -> None:
    lines = watch(
        lambda update: falling(update) if update < 2000 else 6.0,
        norm=lambda update: 0.8 if update < 2000 else 80.0,
        validation=lambda update: 3.0,
        facts=Facts(padding=0.5, clip=1.0),
    )
    assert [line.split()[2] for line in lines] == ["of", "gradient", "learning"]


def test_what_was_said_is_not_said_again_when_a_training_goes_on(tmp_path: Path) -> None:
    lines: list[str] = []
    for begin, end in ((0, 1000), (1000, 2000), (2000, 4000)):
        with TrainLog(tmp_path, PlainDisplay(lines.append)) as log:
            log.start({}, Doctor(Facts(warmup=10)))
            log.resume(begin)
            for update in range(begin + 50, end + 1, 50):
                log.train(update, {"loss": 6.3 * noise(update), "learning_rate": 0.001}, None)
    assert sum("advice: the loss is not falling" in line for line in lines) == 1
