"""Runs of version 0.1.0 load, give what they gave, go on, and everything that its users wrote is still understood.

The runs lie in this folder with the script that made them, `make.py`.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import shutil
from pathlib import Path
from typing import Any

import outputs
import pytest
import torch
import typer.main
from PIL import Image
from safetensors.torch import load_file

import sightline
from sightline import cli, config
from sightline.runs.training import schema
from support.commands import sightline as command

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
SURFACE = json.loads((HERE / "surface.json").read_text(encoding="utf-8"))
RECIPES = json.loads((HERE / "recipes.json").read_text(encoding="utf-8"))
RUNS = sorted(EXPECTED.keys() - {"machine"})
NEURAL = [name for name in RUNS if name != "ngram"]
STOPPED = sorted(path.name for path in (HERE / "stopped").iterdir())
SAME_MACHINE = outputs.machine() == EXPECTED["machine"]
# Where another processor rounds otherwise: twelve updates of a model in fp32, and of one in bf16.
DRIFT = {"gpt": 0.05}
# Keys that came later and whose default is not what version 0.1.0 did: by run, key.path → what they are to say of it.
OLD_MEANING: dict[str, dict[str, Any]] = {
    name: {"model.forget_bias": 0.0} for name in ("fixed", "gru", "lstm", "recurrent")
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this folder's runs and data, from where their configurations name them."""
    for name in ("configs", "data", "finished", "stopped"):
        shutil.copytree(HERE / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(name: str) -> Any:
    return sightline.load(HERE / "finished" / name)


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_gives_what_it_gave(name: str) -> None:
    model = load(name)
    outputs.assert_gives(outputs.used(model), EXPECTED[name]["used"], name)
    weights = load_file(HERE / "finished" / name / "model.safetensors")
    assert {key: list(tensor.shape) for key, tensor in weights.items()} == EXPECTED[name]["weights"]


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_is_measured_as_it_was(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("evaluate", f"finished/{name}", "--json") == 0
    outputs.assert_gives(json.loads(capsys.readouterr().out), EXPECTED[name]["evaluated"], name)


@pytest.mark.parametrize("name", NEURAL)
def test_an_old_run_is_looked_into_by_the_same_names(name: str) -> None:
    model = load(name)
    outputs.assert_gives(outputs.seen(model), EXPECTED[name]["seen"], name)
    assert not {*EXPECTED[name]["captured"]} - {*outputs.captured(model)}


@pytest.mark.parametrize("name", NEURAL)
def test_the_command_line_looks_into_an_old_run(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = outputs.inputs(load(name))
    if name == "vit":
        Image.fromarray(read[0]).save("image.png")
        read = ["image.png"]
    assert command("look", f"finished/{name}", *read, "--list", "--json") == 0
    rows = {row["name"]: row["axes"] for row in json.loads(capsys.readouterr().out)}
    expected = {key: axes for key, (axes, _, _) in EXPECTED[name]["seen"]["names"].items()}
    assert {key: rows.get(key) for key in expected} == expected


@pytest.mark.parametrize("name", STOPPED)
def test_a_stopped_old_run_goes_on_to_the_same_weights(name: str, folder: Path) -> None:
    """As the old version went on; to the bit where the processor, its kernels and PyTorch are those it had."""
    assert command("train", f"configs/{name}.toml", "--run", f"stopped/{name}") == 0
    found = load_file(folder / "stopped" / name / "model.safetensors")
    expected = load_file(folder / "finished" / name / "model.safetensors")
    assert found.keys() == expected.keys()
    close = 0.0 if SAME_MACHINE else DRIFT.get(name, 1e-4)
    for key, tensor in expected.items():
        torch.testing.assert_close(
            found[key], tensor, rtol=close, atol=close, msg=lambda text, key=key: f"{key}: {text}"
        )
    lines = [
        [json.loads(line) for line in (folder / kind / name / "metrics.jsonl").read_text("utf-8").splitlines()]
        for kind in ("stopped", "finished")
    ]
    updates = [[(line["kind"], line["update"]) for line in one if "update" in line] for one in lines]
    assert updates[0] == updates[1]


def test_the_weights_of_an_old_checkpoint_are_used(folder: Path) -> None:
    path = folder / "finished" / "recurrent"
    last, first = sightline.load(path, update=12), sightline.load(path, update=6)
    text, expected = outputs.ENGLISH[0], EXPECTED["recurrent"]["used"]["score"][0]["log_probability"]
    assert last.score(text).log_probability == pytest.approx(expected, rel=1e-4)
    assert first.score(text).log_probability != pytest.approx(expected, rel=1e-3)


def test_a_finished_old_run_is_trained_no_further(folder: Path) -> None:
    path = folder / "finished" / "recurrent"
    before = {file.name: file.read_bytes() for file in (path / "model.safetensors", path / "manifest.json")}
    assert command("train", "configs/recurrent.toml", "--run", "finished/recurrent") == 0
    assert (path / "model.safetensors").read_bytes() == before["model.safetensors"]


@pytest.mark.parametrize("name", RUNS)
def test_the_configuration_of_an_old_run_keeps_its_meaning(name: str) -> None:
    old = config.parse("config.toml", (HERE / "finished" / name / "config.toml").read_text(encoding="utf-8"))
    found = load(name).settings.model_dump(mode="json")
    outputs.assert_gives(found, old, name, 0.0)
    for path, value in OLD_MEANING.get(name, {}).items():
        assert functools.reduce(lambda table, key: table[key], path.split("."), found) == value, path


def test_no_recipe_is_gone() -> None:
    assert not RECIPES.keys() - config.recipes().keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_said(name: str) -> None:
    values = config.parse(name, config.recipes()[name])
    found = config.validate(schema(values, name), values, name).model_dump(mode="json")
    outputs.assert_gives(found, RECIPES[name], name, 0.0)
    # and a file that has all of it is read as the same
    assert config.validate(schema(values, name), RECIPES[name], name).model_dump(mode="json") == found


@pytest.mark.parametrize("task", SURFACE["keys"])
def test_no_configuration_key_is_gone(task: str) -> None:
    found = outputs.keys(schema({"task": task}, task).model_json_schema())
    for path, old in SURFACE["keys"][task].items():
        assert path in found, path
        for word in old["choices"]:
            now = found[path]
            assert word in now["choices"] or (not now["choices"] and re.search(now["pattern"], word)), (path, word)
        assert old["default"] == found[path]["default"], path


def commands(one: Any, path: str = "") -> dict[str, Any]:
    inside = getattr(one, "commands", None)
    if inside is None:
        return {path.strip(): one}
    return {key: value for name, other in inside.items() for key, value in commands(other, f"{path} {name}").items()}


@pytest.mark.parametrize("verb", SURFACE["commands"])
def test_no_verb_or_option_is_gone(verb: str) -> None:
    with pytest.raises(SystemExit):
        cli.main([*verb.split(), "--help"])  # the verbs are known once one has been asked for
    found = commands(typer.main.get_command(cli.app))[verb]
    options = {word for one in found.params for word in (*one.opts, *one.secondary_opts)}
    assert not {*SURFACE["commands"][verb]["options"]} - options
    arguments = [one.name for one in found.params if one.param_type_name == "argument"]
    old = SURFACE["commands"][verb]["arguments"]
    assert len(arguments) >= len(old)


@pytest.mark.parametrize("name", SURFACE["package"])
def test_no_name_method_or_parameter_of_the_package_is_gone(name: str) -> None:
    assert name in sightline.__all__
    value, old = getattr(sightline, name), SURFACE["package"][name]
    if inspect.isclass(value):
        for member, parameters in old.items():
            assert hasattr(value, member), member
            if parameters is not None:
                assert_takes(inspect.getattr_static(value, member), parameters, f"{name}.{member}")
    elif old is not None:
        assert_takes(value, old, name)


def assert_takes(function: Any, old: dict[str, Any], where: str) -> None:
    """Every call that was right is right: the parameters of old are there, in their order, at their defaults."""
    function = getattr(function, "__func__", function)
    found = {key: one for key, one in inspect.signature(function).parameters.items() if key != "self"}
    open_ended = any(one.kind is one.VAR_KEYWORD for one in found.values())
    positional = [key for key, (kind, _) in old.items() if kind == "POSITIONAL_OR_KEYWORD"]
    assert [key for key in found if key in positional] == positional, where
    assert [key for key, one in found.items() if one.kind is one.POSITIONAL_OR_KEYWORD][: len(positional)] == positional
    for key, (_, default) in old.items():
        assert key in found or open_ended, f"{where}({key})"
        if key in found and default is not None:
            assert repr(found[key].default) == default, f"{where}({key})"
    added = {key for key in found if key not in old}
    for key in added:
        one = found[key]
        assert one.default is not one.empty or one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL), f"{where}({key})"
