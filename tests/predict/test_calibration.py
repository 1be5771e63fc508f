"""Calibration: the temperature, the error it is judged by, and that it changes probabilities and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

import sightline as package
from sightline.predict.calibration import best_temperature
from sightline.predict.metrics import calibration_error
from support.commands import sightline


def test_the_error_is_torchmetrics() -> None:
    draw = torch.Generator().manual_seed(0)
    probabilities = (3 * torch.randn(500, 4, generator=draw)).softmax(1)
    true = torch.randint(0, 4, (500,), generator=draw)
    for bins in (5, 15):
        expected = 100 * float(multiclass_calibration_error(probabilities, true, num_classes=4, n_bins=bins))
        assert calibration_error(probabilities.numpy(), true.numpy(), bins) == pytest.approx(expected, abs=1e-4)
    sure = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert calibration_error(sure, np.array([0, 1])) == pytest.approx(50)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_the_temperature_of_scores_that_are_too_sharp(sharpness: float) -> None:
    """Classes drawn with probabilities that the scores, were they not multiplied, would be the logarithms of."""
    draw = torch.Generator().manual_seed(1)
    scores = 2 * torch.randn(20_000, 3, generator=draw)
    true = torch.multinomial(scores.softmax(1), 1, generator=draw)[:, 0]
    found = best_temperature(sharpness * scores, true)
    assert found == pytest.approx(sharpness, rel=0.05)
    nats = [float(F.cross_entropy(sharpness * scores / (found * factor), true)) for factor in (0.97, 1.0, 1.03)]
    assert min(nats) == nats[1]


@pytest.mark.parametrize("kind", ["single", "choice", "images"])
def test_a_calibrated_run(kind: str, labelled_files, image_file: Path, tmp_path: Path, capsys) -> None:
    file = image_file if kind == "images" else labelled_files[kind]
    # neither at chance nor without a fault, where every temperature or none would do
    updates = 150 if kind == "images" else 12
    words = (f"training.max_updates={updates}", f"training.validate_every={updates // 2}")
    runs = {}
    for asked in ("false", "true"):
        capsys.readouterr()
        runs[asked] = tmp_path / asked
        assert sightline("train", file, "--run", runs[asked], *words, f"calibrate={asked}") == 0
        assert ("temperature" in capsys.readouterr().err) == (asked == "true")
    plain, calibrated = (package.load(run) for run in runs.values())
    (before, true), (after, _) = plain.validation(), calibrated.validation()  # pyright: ignore
    temperature = best_temperature(before, true)
    assert not math.isclose(temperature, 1.0, rel_tol=0.01)
    torch.testing.assert_close(after, before / temperature, atol=1e-4, rtol=1e-4)
    assert best_temperature(after, true) == pytest.approx(1.0, abs=1e-3)
    assert sightline("train", file, "--run", runs["true"], *words, "calibrate=true") == 0  # once is enough
    again: Any = package.load(runs["true"])
    torch.testing.assert_close(again.validation()[0], after)
    capsys.readouterr()
    assert sightline("evaluate", runs["true"], "--json") == 0
    assert "calibration_error" in json.loads(capsys.readouterr().out)[0]["scores"]


def test_numbers_have_no_probabilities(labelled_files: dict[str, Path], tmp_path: Path, capsys) -> None:
    keys = ("data.numbers=true", "training.metric=pearson", "calibrate=true")
    assert sightline("train", labelled_files["similarity"], "--run", tmp_path / "run", *keys) == 2
    assert "calibrate is for the probabilities of classes" in capsys.readouterr().err
