"""How another toolkit's Vision Transformer prepares images is kept exactly, or the step that is not is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification

import sightline as package
from support.commands import sightline

SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
CUT = {"image_processor_type": "CLIPImageProcessor", "resample": 2, "do_center_crop": True}


def folder_of(path: Path, notes: dict[str, Any]) -> ViTForImageClassification:
    """A random model of images of 8 × 8 pixels, and how they are prepared."""
    torch.manual_seed(1)
    model = ViTForImageClassification(ViTConfig(**SHAPE, image_size=8, patch_size=4, num_labels=3)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(notes))
    return model


@pytest.mark.parametrize(
    "notes",
    [
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}},
        {**CUT, "size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}},
        {**CUT, "size": {"height": 8, "width": 8}, "crop_size": {"height": 8, "width": 8}},
    ],
)
def test_an_image_that_is_not_square_is_cut_or_squashed_as_there(notes: dict[str, Any], tmp_path: Path) -> None:
    mean = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    model = folder_of(tmp_path / "theirs", {**notes, **mean})
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    ours: Any = package.load(tmp_path / "run")
    image = np.random.default_rng(0).integers(0, 256, (8, 15, 3), dtype=np.uint8)
    for folder in ("theirs", "again"):
        read = AutoImageProcessor.from_pretrained(tmp_path / folder)(Image.fromarray(image), return_tensors="pt")
        with torch.inference_mode():
            expected = model(read["pixel_values"]).logits[0].softmax(0).tolist()
        assert list(ours.predict(image).probabilities.values()) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("notes", "says"),
    [
        ({"resample": 3}, "resample 3"),
        ({"image_processor_type": "CLIPImageProcessor"}, "resample 3"),
        ({"do_resize": False}, "do_resize false"),
        ({"size": {"height": 9, "width": 9}}, "images become [9] pixels wide, not image_size 8"),
        ({"size": {"height": 8, "width": 9}}, "images become [8, 9] pixels wide"),
        ({"size": {"shortest_edge": 8}}, "images become [8] pixels wide, not image_size 8 each way"),
        ({**CUT, "size": {"shortest_edge": 10}, "crop_size": 8}, "images become [10] pixels wide"),
        ({"image_std": [0.5, 0.0, 0.5]}, "must be above 0"),
        ({"image_mean": [0.5]}, "1 means or deviations for 3 channels"),
        ({"image_mean": "x"}, "image_mean"),
        ({"rescale_factor": 0}, "rescale_factor"),
    ],
)
def test_a_step_that_cannot_be_done_the_same_is_named(notes: dict[str, Any], says: str, tmp_path: Path, capsys) -> None:
    folder_of(tmp_path / "theirs", notes)
    capsys.readouterr()
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sightline:")]
    assert "preprocessor_config.json" in line
    assert says in line
