"""Runs that version 0.1.0 made, whose configurations carry no format: what they leave out means what it meant."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

import sightline as package
from sightline.models import RecurrentLM, RecurrentSizes
from sightline.train import storage
from sightline.train.run_directory import Run
from support.commands import sightline

LSTM = ["model.kind=recurrent", "model.cell=lstm", "model.width=8", "model.embedding_width=8", "model.num_layers=1"]
SQUARE = ["model.d_model=16", "model.num_layers=1", "model.num_heads=2", "model.d_ff=16", "model.positions=square"]
NEW_KEYS = {
    "forget_bias", "recurrent_init", "recurrent_gain", "decoder_start", "previous_token_in_readout", "residual",
    "attention_scale",
}  # fmt: skip


def make_old(path: Path) -> None:
    """Rewrites a run as the version before would have left it."""
    run = Run(path)
    values: dict[str, Any] = tomllib.loads(run.config.read_text(encoding="utf-8"))
    del values["format"]
    values["model"] = {key: value for key, value in values["model"].items() if key not in NEW_KEYS}
    if values["model"].get("positions") == "square_2pi":
        values["model"]["positions"] = "square"
    run.config.write_text(tomli_w.dumps(values), encoding="utf-8")
    _rewrite_manifest(run.path, run.config)
    for checkpoint in run.checkpoints.glob("step-*"):
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        state = {key: value for key, value in state.items() if key not in ("identity", "decay")}
        (checkpoint / "state.json").write_text(json.dumps(state), encoding="utf-8")
        _rewrite_manifest(checkpoint, checkpoint / "state.json")


def _rewrite_manifest(folder: Path, file: Path) -> None:
    """A manifest as it was then, with the file as it is now."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    digest = storage.file_digest(file)
    manifest["files"][file.name] = {"size": digest.size, "sha256": digest.sha256}
    if folder.name == "run":
        manifest = {"files": manifest["files"]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "as_old", "key", "meant"),
    [
        (LSTM, ["model.forget_bias=0.0"], "forget_bias", 0.0),
        (SQUARE, ["model.positions=square_2pi"], "positions", "square_2pi"),
    ],
    ids=["forget gates", "square waves"],
)
def test_a_run_of_format_1_keeps_its_meaning_and_goes_on(
    language_file: Path, tmp_path: Path, options: list[str], as_old: list[str], key: str, meant: object
) -> None:
    """The same recipe goes on with it, though what the recipe leaves out has come to mean something else."""
    train = ["train", language_file, "--run", tmp_path / "run", "training.validate_every=2", "training.save_every=2"]
    assert sightline(*train, *options, *as_old, "training.max_updates=2") == 0
    make_old(tmp_path / "run")
    model: Any = package.load(tmp_path / "run")
    assert getattr(model.settings.model, key) == meant
    assert sightline(*train, *options, "training.max_updates=4") == 0
    run = Run(tmp_path / "run")
    assert run.updates == [2, 4]
    # written out, it goes on meaning that, and so does what the recipe leaves out
    assert run.read_config()["model"][key] == meant
    weights = run.weights.read_bytes()
    assert sightline(*train, *options, "training.max_updates=4") == 0
    assert run.weights.read_bytes() == weights
    assert sightline(*train, *options, "training.max_updates=6") == 0
    assert run.updates == [2, 4, 6]
    assert run.read_config()["model"][key] == meant


def test_a_new_run_begins_with_open_forget_gates(language_file: Path, tmp_path: Path) -> None:
    words = ["train", language_file, "--run", tmp_path / "run", *LSTM, "training.max_updates=1"]
    assert sightline(*words, "training.learning_rate=1e-9") == 0
    model: Any = package.load(tmp_path / "run")
    bias = model.model.layers[0].bias_input.view(4, 8)
    torch.testing.assert_close(bias[1], torch.ones(8))
    assert not bias[[0, 2, 3]].round(decimals=4).any()
    assert RecurrentSizes().forget_bias == 1.0
    assert isinstance(model.model, RecurrentLM)
