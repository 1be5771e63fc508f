"""A run directory from elsewhere or from a killed process: nothing outside it is read, nothing locks its owner out."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field

from sightline.data.tokenizer import Tokenizer
from sightline.errors import CheckpointError, LaterVersionError, SightlineError, UsageError
from sightline.models.gpt import GPT, GPTSizes
from sightline.train import model_loading, storage
from sightline.train.final import final_weights
from sightline.train.loop import finished
from sightline.train.run_directory import Run
from sightline.train.settings import TrainSettings
from support import train_toys
from support.commands import sightline
from support.configs import MODELS
from support.processes import fork

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links, pipes and SIGKILL")
SIZES: dict[str, Any] = {"d_model": 8, "num_layers": 2, "num_heads": 2, "d_ff": 8, "max_length": 8}


class Settings(BaseModel):
    """Those of a task, as far as a run directory knows them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = "regression"
    width: int = 8
    note: str = Field("", json_schema_extra={"change": "free"})
    training: TrainSettings = train_toys.settings(max_updates=4, save_every=2, validate_every=2)


def begin(run: Run, settings: Settings, *, fresh: bool = False) -> None:
    """What `sightline train` does, but for reading data and measuring."""
    with run.locked():
        run.make_room(fresh=fresh)
        if run.has_training:
            if run.refuse_changes(settings):
                run.write_config(settings)
        else:
            run.save_tokenizers({"text": Tokenizer.train(["a b c"], kind="char", vocab_size=8)})
            run.write_config(settings)
        task = train_toys.fp32_task()
        outcome, _ = train_toys.run(task, settings.training, run.path, run.identity(settings))
        weights, _ = final_weights(run.path, settings.training, outcome.update)
        run.save_weights(weights, outcome.update)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has ended."""
    made = Run(tmp_path / "run")
    begin(made, Settings())
    return made


def use(run: Run) -> torch.nn.Module:
    """What whoever uses a run reads of it."""
    run.settings(Settings)
    run.verify()
    run.load_tokenizers()
    return run.load_model(train_toys.Regressor)


# --- nothing outside of it is read ---


def link_out(name: str) -> Callable[[Run], None]:
    """The file is the same, and lies somewhere else."""

    def change(run: Run) -> None:
        outside = run.path.parent / "outside"
        shutil.move(run.path / name, outside)
        (run.path / name).symlink_to(outside)

    return change


def listed_as(name: str) -> Callable[[Run], None]:
    """The manifest lists a file outside, with its true size and SHA-256."""

    def change(run: Run) -> None:
        outside = run.path.parent / "outside"
        outside.write_text("secret", encoding="utf-8")
        digest = storage.file_digest(outside)
        content = json.loads(run.manifest.read_text())
        content["files"][name.format(outside=outside)] = {"size": digest.size, "sha256": digest.sha256}
        run.manifest.write_text(json.dumps(content), encoding="utf-8")

    return change


def pipe(name: str) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        (run.path / name).unlink()
        os.mkfifo(run.path / name)

    return change


def device(name: str) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        (run.path / name).unlink()
        (run.path / name).symlink_to("/dev/zero")

    return change


def holding(name: str, content: str) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        (run.path / name).write_text(content, encoding="utf-8")

    return change


DEEP = 100_000
HARM: dict[str, tuple[Callable[[Run], None], str]] = {
    "configuration linked out": (link_out("config.toml"), r"config\.toml: is a link out of"),
    "weights linked out": (link_out("model.safetensors"), r"model\.safetensors: is a link out of"),
    "tokenizer linked out": (link_out("tokenizer/text.json"), r"text\.json: is a link out of"),
    "tokenizers linked out": (link_out("tokenizer"), r"text\.json: is a link out of"),
    "manifest linked out": (link_out("manifest.json"), r"manifest\.json: is a link out of"),
    "absolute name": (listed_as("{outside}"), "is no name of a file inside it"),
    "name above": (listed_as("../outside"), "is no name of a file inside it"),
    "configuration a pipe": (pipe("config.toml"), r"config\.toml: is not a regular file"),
    "manifest a pipe": (pipe("manifest.json"), r"manifest\.json: is not a regular file"),
    "weights a pipe": (pipe("model.safetensors"), r"model\.safetensors: is not a regular file"),
    "configuration a device": (device("config.toml"), r"config\.toml: is (a link out of|not a regular file)"),
    "tokenizer a device": (device("tokenizer/text.json"), r"text\.json: is (a link out of|not a regular file)"),
    "a number of 5,000 digits": (holding("config.toml", f"a = {'9' * 5000}"), r"config\.toml: .*beyond 64 bits"),
    "a number of 5,000 hexadecimal digits": (holding("config.toml", f"a = 0x{'9' * 5000}"), "beyond 64 bits"),
    "a model that is a number": (holding("config.toml", "model = 3"), r"config\.toml: model: not a table"),
    "no character of UTF-8": (listed_as("\ud800"), "is no name of a file inside it"),
    "huge configuration": (holding("config.toml", "#" * (2 << 20)), r"config\.toml: is larger than 1,048,576 bytes"),
    "deep configuration": (holding("config.toml", f"a = {'[' * DEEP}{']' * DEEP}"), r"config\.toml: cannot be read"),
    "deep tables": (holding("config.toml", f"[{'a.' * DEEP}a]"), r"config\.toml"),
    "deep manifest": (holding("manifest.json", "[" * DEEP), r"manifest\.json: damaged"),
    "manifest of nothing": (holding("manifest.json", '{"files": {}}'), r"manifest\.json: damaged \(.* is not listed\)"),
    "manifest of numbers": (holding("manifest.json", '{"format": 1e999, "files": {}}'), r"manifest\.json: damaged"),
    "a second tokenizer": (holding("tokenizer/more.json", "{}"), r"more\.json: does not belong to the run"),
}


@posix
@pytest.mark.parametrize("harm", HARM)
def test_a_directory_from_elsewhere_is_refused_in_one_line(run: Run, harm: str) -> None:
    use(run)
    change, message = HARM[harm]
    change(run)
    with pytest.raises(SightlineError, match=message) as error:
        use(run)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_an_empty_manifest_passes_no_flipped_weights(run: Run) -> None:
    content = bytearray(run.weights.read_bytes())
    content[-1] ^= 1
    run.weights.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged \(its content is not what was written\)"):
        use(run)
    run.manifest.write_text('{"files": {}}', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"manifest\.json: damaged"):
        run.read_weights()
    with pytest.raises(CheckpointError, match=r"manifest\.json: damaged"):
        run.load_model(train_toys.Regressor)


@posix
@pytest.mark.parametrize("more", [{"num_layers": 10**6}, {"d_model": 10**6}, {"d_ff": 10**9}, {"max_length": 10**9}])
def test_a_configuration_that_asks_for_more_than_the_file_has_costs_nothing(tmp_path: Path, more: dict) -> None:
    tensors = storage.persistent_tensors(GPT(20, GPTSizes(**SIZES)))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(CheckpointError, match="belongs to another model"):
        model_loading.load_model(lambda: GPT(20, GPTSizes(**{**SIZES, **more})), tensors, "file")
    assert time.monotonic() - start < 20  # 0.02 s on an idle machine
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


# --- versions ---


def test_a_later_version_is_said_to_be_so(run: Run) -> None:
    assert run.format == 2
    text, manifest = run.config.read_text(encoding="utf-8"), json.loads(run.manifest.read_text())
    run.config.write_text(text.replace("format = 2", "format = 3"), encoding="utf-8")
    for ask in (run.read_config, lambda: run.format, lambda: begin(run, Settings())):
        with pytest.raises(LaterVersionError, match=r"config\.toml: made by a later version of Sightline .*upgrade"):
            ask()
    run.config.write_text(text, encoding="utf-8")
    run.manifest.write_text(json.dumps({**manifest, "format": 3}), encoding="utf-8")
    for ask in (run.verify, run.read_weights):
        with pytest.raises(LaterVersionError, match=r"manifest\.json: made by a later version of Sightline .*upgrade"):
            ask()


def test_a_run_of_the_first_version_has_no_format(run: Run) -> None:
    text, manifest = run.config.read_text(encoding="utf-8"), json.loads(run.manifest.read_text())
    run.config.write_text(text.replace("format = 2\n", ""), encoding="utf-8")
    del manifest["format"], manifest["update"]
    digest = storage.file_digest(run.config)
    manifest["files"]["config.toml"] = {"size": digest.size, "sha256": digest.sha256}
    run.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    assert run.format == 1
    assert run.settings(Settings) == Settings()
    assert run.trained_to == 4
    use(run)


# --- killed at any instant, nobody is locked out ---


def die_at_operation(folder: Path, nth: int) -> None:
    """SIGKILL before the n-th operation of this process on files below `folder`."""
    count = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"):
            return
        if str(args[0]).startswith(str(folder)):
            count += 1
            if count == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def child(path: Path, nth: int, fresh: bool) -> None:
    torch.set_num_threads(1)
    die_at_operation(path, nth)
    begin(Run(path), Settings(), fresh=fresh)


def killed(path: Path, nth: int, *, fresh: bool) -> bool:
    """Whether a start in a process of its own had as many operations, and was killed at the n-th."""
    process = fork(child, path, nth, fresh)
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@posix
@pytest.mark.parametrize(
    ("fresh", "operations"),
    # a start up to its first updates, and when the weights come; all of what --fresh does before that
    [(False, [*range(4, 17, 2), *range(56, 75, 2)]), (True, range(4, 30))],
    ids=["start", "fresh"],
)
def test_a_kill_at_any_operation_locks_nobody_out(fresh: bool, operations: Sequence[int], tmp_path: Path) -> None:
    """A start that is killed, or one with --fresh over a run that has ended: the next one ends with the same bits."""
    begin(Run(tmp_path / "whole"), Settings())
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    kills = 0
    for nth in operations:
        path = tmp_path / str(nth)
        if fresh:
            shutil.copytree(tmp_path / "whole", path)
        kills += killed(path, nth, fresh=fresh)
        run = Run(path)
        begin(run, Settings())
        assert run.weights.read_bytes() == expected, nth
        use(run)
        assert not list(path.glob(f"{storage.TEMPORARY}*")), nth
        shutil.rmtree(path)
    assert kills > 0.8 * len(operations)


@pytest.mark.parametrize("name", ["config.toml.new", "manifest.json.new", ".tmp-config.toml", "parent.json"])
@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_killed_start_left_is_ours(tmp_path: Path, name: str, fresh: bool) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / ".tmp-text.json").touch()
    Tokenizer.train(["a b c"], kind="char", vocab_size=8).save(tmp_path / "tokenizer" / "text.json")
    parent = {"path": "runs/bert", "task": "masked_language", "model": {}, "tokenizer": {}}
    (tmp_path / name).write_text(json.dumps(parent) if name == "parent.json" else "", encoding="utf-8")
    run = Run(tmp_path)
    begin(run, Settings(), fresh=fresh)
    use(run)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    "name",
    ["README.md", "model.safetensors", "notes.txt", "tokenizer", "tokenizer/mine.txt", "tokenizer/mine.json",
     "checkpoints", "checkpoints/epoch-1.pt", "checkpoints/step-1", "checkpoints/step-1/mine.pt", "metrics.jsonl",
     "tensorboard/events", "plugins/mine.py", "plugins.json", "parent.json", "outcome.json"],
)  # fmt: skip
def test_what_is_somebody_elses_is_left_alone(tmp_path: Path, name: str, fresh: bool) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="a folder with other things in it"):
        begin(Run(tmp_path), Settings(), fresh=fresh)
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_saved_tokenizer_alone_is_somebody_s(tmp_path: Path) -> None:
    Tokenizer.train(["a b c"], kind="char", vocab_size=8).save(tmp_path / "tokenizer")
    with pytest.raises(UsageError, match=r"a folder with other things in it \(tokenizer\)"):
        begin(Run(tmp_path), Settings())


def test_checkpoints_without_a_configuration_are_not_lost_unasked(run: Run) -> None:
    run.config.unlink()
    for one in (run.weights, run.manifest):
        one.unlink()
    with pytest.raises(UsageError, match=r"has checkpoints and no config\.toml; restore it from a copy, or start over"):
        begin(run, Settings())
    assert run.updates == [2, 4]
    begin(run, Settings(), fresh=True)
    use(run)


class Removing(train_toys.RegressionTask):
    """Its run directory is removed while batch 2 is computed, and what is left of it is as `remove` leaves it."""

    def __init__(self, remove: Callable[[], None]) -> None:
        super().__init__()
        self.remove, self.calls = remove, 0

    def loss(self, batch: Any, generator: torch.Generator) -> Any:
        self.calls += 1
        if self.calls == 3:
            self.remove()
        return super().loss(batch, generator)


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_that_is_removed_while_it_trains_is_noticed_at_once(run: Run, whole: bool) -> None:
    settings = Settings(training=train_toys.settings(max_updates=100, save_every=50))

    def remove() -> None:
        for one in run.contents():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        if whole:
            run.lock.unlink()
            run.path.rmdir()

    run.clear()
    run.write_config(settings)
    task = Removing(remove)
    with pytest.raises(SightlineError, match="was removed while it was trained") as error:
        train_toys.run(task, settings.training, run.path)
    assert "\n" not in str(error.value)
    assert task.calls == 3
    assert run.contents() == []
    begin(run, Settings())
    use(run)


def test_a_run_that_is_removed_while_it_is_saved_leaves_no_half_of_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `rm -rf` does when a directory is filled again behind it."""
    run.clear()
    run.write_config(Settings())
    write = storage.write_file

    def removed_meanwhile(path: Path, blocks: Any) -> Any:
        run.config.unlink(missing_ok=True)
        return write(path, blocks)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_file", removed_meanwhile)
        with pytest.raises(SightlineError, match="was removed while it was trained"):
            train_toys.run(train_toys.fp32_task(), Settings().training, run.path)
    assert not run.checkpoints.exists()
    assert [one.name for one in run.contents()] == ["metrics.jsonl"]  # which alone might be anybody's
    run.metrics.unlink()
    begin(run, Settings())
    use(run)


# --- what is written is there after a power cut ---


@posix
def test_every_file_is_flushed_before_it_is_renamed_and_its_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, int]] = []
    sync, replace, rename = os.fsync, os.replace, os.rename

    def noted_sync(descriptor: int) -> None:
        steps.append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def noted(move: Callable[..., None]) -> Callable[..., None]:
        def function(source: Any, target: Any) -> None:
            steps.append(("move", Path(source).stat().st_ino))
            move(source, target)
            steps.append(("moved into", Path(target).parent.stat().st_ino))

        return function

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted(replace))
    monkeypatch.setattr(os, "rename", noted(rename))
    run = Run(tmp_path / "run")
    begin(run, Settings())
    moves = [number for number, (kind, _) in enumerate(steps) if kind == "move"]
    assert len(moves) >= 6  # tokenizer, configuration, two checkpoints, weights, the manifest twice
    for number in moves:
        assert ("sync", steps[number][1]) in steps[:number]
        assert steps[number + 2] == ("sync", steps[number + 1][1])
    used = [run.config, run.weights, run.manifest, run.tokenizers / "text.json"]
    assert {file.stat().st_ino for file in used} <= {number for kind, number in steps if kind == "sync"}


def test_the_run_can_be_verified_while_its_weights_are_replaced(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads it then gets the weights of before or those of after, proved."""
    seen: list[float] = []
    move = storage.move_into_place

    def looked_at(path: Path) -> None:
        seen.append(float(use(run).state_dict()["second.bias"]))
        move(path)
        seen.append(float(use(run).state_dict()["second.bias"]))

    monkeypatch.setattr(storage, "move_into_place", looked_at)
    before = run.read_weights()
    run.save_weights({name: tensor + 1 for name, tensor in before.items()}, 4)
    first = float(before["second.bias"])
    assert sorted({value - first for value in seen}) == pytest.approx([0.0, 1.0])


# --- it goes on as what it was begun with ---


def stopped(run: Run, settings: Settings) -> None:
    """A run whose process ended after the first checkpoint."""
    begin(run, settings)
    shutil.rmtree(run.checkpoints / "step-4")
    run.weights.unlink()
    run.manifest.unlink()


def test_an_unfinished_run_proves_its_tokenizer(run: Run) -> None:
    stopped(run, Settings())
    file = run.tokenizers / "text.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"step-2: was trained with another tokenizer/text\.json"):
        begin(run, Settings())
    with pytest.raises(CheckpointError, match=r"another tokenizer/text\.json"):
        run.save_weights({}, 4)


def test_an_unfinished_run_proves_its_settings(run: Run) -> None:
    stopped(run, Settings())
    changed = Settings(width=9)
    with pytest.raises(UsageError, match=r"width: 8 → 9"):
        begin(run, changed)
    run.write_config(changed)  # by hand
    with pytest.raises(CheckpointError, match=r"step-2: was trained with width = 8, not 9"):
        begin(run, changed)


def test_a_configuration_that_was_edited_while_training_is_not_certified(run: Run) -> None:
    weights, manifest = run.read_weights(), run.manifest.read_bytes()
    run.config.write_text(run.config.read_text(encoding="utf-8").replace("width = 8", "width = 9"), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.toml: was trained with width = 8, not 9"):
        run.save_weights(weights, 4, Settings())
    assert run.manifest.read_bytes() == manifest


def test_two_kills_while_weights_are_replaced_leave_them_proved(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = run.read_weights()

    def killed(path: Path) -> None:
        if path == run.weights:
            raise KeyboardInterrupt
        move(path)

    move = storage.move_into_place
    monkeypatch.setattr(storage, "move_into_place", killed)
    for number in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run.save_weights({name: tensor + number for name, tensor in weights.items()}, 4)
    use(run)


def test_an_unfinished_run_proves_its_data(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_toys.RegressionTask, "data_fingerprint", lambda self: "one")
    run.clear()
    stopped(run, Settings())
    monkeypatch.setattr(train_toys.RegressionTask, "data_fingerprint", lambda self: "two")
    with pytest.raises(CheckpointError, match=r"step-2: was trained on other data"):
        begin(run, Settings())


def test_a_translation_goes_on_with_no_other_text(
    config_file: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One word of a file is another, after the first checkpoint."""
    mine, run = tmp_path / "texts", Run(tmp_path / "run")
    shutil.copytree(texts, mine)
    file = tmp_path / "tiny.toml"
    file.write_text(config_file.read_text(encoding="utf-8").replace(str(texts), str(mine)), encoding="utf-8")
    words = ["train", file, "--run", run.path, *MODELS["transformer"], "training.max_updates=1"]
    assert sightline(*words) == 0
    run.weights.unlink()
    text = (mine / "train.en").read_text(encoding="utf-8")
    (mine / "train.en").write_text(text.replace("dog", "old", 1), encoding="utf-8")
    capsys.readouterr()
    assert sightline(*words) == 1
    assert "step-1: was trained on other data; the files of data.train" in capsys.readouterr().err
    (mine / "train.en").write_text(text, encoding="utf-8")
    assert sightline(*words) == 0


def test_a_checkpoint_of_the_first_version_is_gone_on_from(run: Run) -> None:
    expected = run.weights.read_bytes()
    stopped(run, Settings())
    folder = run.checkpoints / "step-2"
    state = json.loads((folder / "state.json").read_text())
    del state["identity"], state["decay"]
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = storage.file_digest(folder / "state.json")
    manifest["files"]["state.json"] = {"size": digest.size, "sha256": digest.sha256}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    begin(run, Settings())
    assert run.weights.read_bytes() == expected
    # which parameters decay stays as that version had it
    assert json.loads((run.checkpoints / "step-4" / "state.json").read_text())["decay"] == "names"


# --- a run can go on ---


def longer(**training: Any) -> Settings:
    return Settings(
        training=train_toys.settings(**{"max_updates": 4, "save_every": 2, "validate_every": 2, **training})
    )


@pytest.mark.parametrize("schedule", ["constant", "inverse_sqrt"])
def test_a_run_that_has_ended_is_extended(schedule: str, tmp_path: Path) -> None:
    """It arrives at the bits of one that was begun with the later end, and can be used all the while."""
    short, long = (longer(max_updates=updates, schedule=schedule) for updates in (4, 8))
    run, whole = Run(tmp_path / "run"), Run(tmp_path / "whole")
    begin(run, short)
    begin(whole, long)
    assert run.trained_to == 4
    run.write_config(long)
    use(run)
    begin(run, long)
    assert run.trained_to == 8
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    assert run.config.read_bytes() == whole.config.read_bytes()
    use(run)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"max_updates": 4}, {"max_updates": None, "max_epochs": 3}),
        ({"max_updates": 9, "max_epochs": 1}, {"max_updates": 9, "max_epochs": 2}),
        ({"max_updates": 9, "max_minutes": 1e-9}, {"max_updates": 9, "max_minutes": 5}),
        ({"max_updates": 9, "max_minutes": 5}, {"max_updates": 9}),
        ({"patience": 1}, {"patience": 2}),
        # no update was cut short: seven batches an epoch are whole updates, or the epoch had not ended
        ({"max_epochs": 1, "accumulate": 7}, {"max_epochs": 2, "accumulate": 7}),
        ({"max_updates": 2, "max_epochs": 1, "accumulate": 2}, {"max_updates": 2, "max_epochs": 2, "accumulate": 2}),
        ({"patience": 1}, {"patience": 0}),
        ({}, {"log_every": 1, "save_every": 3, "keep": 9}),
        # the descent had not begun
        (
            {"schedule": "wsd", "max_updates": 30, "max_epochs": 1, "decay": 10},
            {"schedule": "wsd", "max_updates": 40, "max_epochs": 2, "decay": 10},
        ),
    ],
)
def test_what_may_change(before: dict, after: dict, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    begin(run, longer(**before))
    changed = longer(**after)
    assert run.refuse_changes(changed)
    begin(run, changed)
    assert run.settings(Settings) == changed
    use(run)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({}, {"max_updates": 3}, r"training\.max_updates: 4 → 3"),
        ({}, {"learning_rate": 0.5}, r"training\.learning_rate: 0\.01 → 0\.5"),
        ({}, {"max_updates": 8, "seed": 2}, r"training\.seed: 1 → 2"),
        ({"patience": 3}, {"patience": 2}, r"training\.patience: 3 → 2"),
        ({"schedule": "cosine", "warmup": 1}, {"schedule": "cosine", "warmup": 1, "max_updates": 8}, "the cosine sch"),
        ({"schedule": "wsd", "decay": 2, "warmup": 1}, {"schedule": "wsd", "decay": 2, "warmup": 1, "max_updates": 8},
         r"training\.max_updates: 4 → 8: the wsd schedule ends there, so the 4 updates that were made"),
        ({"max_epochs": 1, "max_updates": 9, "accumulate": 2}, {"max_epochs": 2, "max_updates": 9, "accumulate": 2},
         r"training\.max_epochs: 1 → 2: the last of the 4 updates was made of fewer than 2 batches"),
        ({"average_last": 2}, {"average_last": 2, "save_every": 1}, "decide which checkpoints are averaged"),
    ],
)  # fmt: skip
def test_what_would_be_another_run(before: dict, after: dict, message: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    begin(run, longer(**before))
    config = run.config.read_bytes()
    with pytest.raises(UsageError, match=message) as error:
        begin(run, longer(**after))
    assert "\n" not in str(error.value)
    assert run.config.read_bytes() == config


def test_a_run_that_has_ended_is_known_by_its_state_alone(run: Run) -> None:
    outcome = finished(Settings().training, run.path)
    assert outcome is not None
    assert (outcome.update, outcome.reason) == (4, "4 updates")
    assert run.trained_to == outcome.update
    assert finished(longer(max_updates=8).training, run.path) is None
    # its tensors are not read for that
    (run.checkpoints / "step-4" / "optimizer.safetensors").unlink()
    assert finished(Settings().training, run.path) == outcome
    (run.checkpoints / "step-4" / "state.json").write_text("{}", encoding="utf-8")
    assert finished(Settings().training, run.path) is None


def test_weights_without_an_end_are_still_to_be_chosen(run: Run) -> None:
    run.save_weights(run.read_weights())
    assert run.trained_to is None
    run.note_update(4)
    assert run.trained_to == 4
    use(run)
    run.manifest.unlink()
    assert run.trained_to is None


# --- final weights are those of the end ---


def test_a_read_error_at_the_end_ships_no_older_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever read fails, once or for good: the weights of the end, or an error that names the file."""
    expected = run.weights.read_bytes()
    real, outcomes, problems = hashlib.file_digest, set(), []
    for times, failing in itertools.product((1, 99), range(1, 8)):
        reads = 0

        def broken(file: Any, name: str, failing: int = failing, times: int = times) -> Any:
            nonlocal reads
            reads += 1
            if failing <= reads < failing + times:
                raise OSError(5, "Input/output error")
            return real(file, name)

        with monkeypatch.context() as patch:
            patch.setattr(hashlib, "file_digest", broken)
            try:
                weights, origin = final_weights(run.path, Settings().training, 4)
            except CheckpointError as error:
                problems.append(str(error))
                continue
        outcomes.add(origin)
        run.save_weights(weights, 4)
        assert run.weights.read_bytes() == expected
    assert len(outcomes) == 1
    assert problems
    assert all("Input/output error" in one and f"{os.sep}step-" in one for one in problems)


def test_final_weights_of_a_missing_end_are_an_error(run: Run) -> None:
    shutil.rmtree(run.checkpoints / "step-4")
    with pytest.raises(CheckpointError, match=r"step-4: no such checkpoint; kept of updates: 2"):
        final_weights(run.path, Settings().training, 4)


# --- loading ---


def test_loading_draws_no_random_number_and_copies_no_weights(run: Run) -> None:
    tensors = run.read_weights()
    before = torch.get_rng_state()
    model = model_loading.load_model(train_toys.Regressor, tensors, "file")
    assert torch.equal(torch.get_rng_state(), before)
    assert model.first.weight.data_ptr() == tensors["first.weight"].data_ptr()
    assert model.first.weight.requires_grad
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    assert model.norm.running_mean.data_ptr() != tensors["norm.running_mean"].data_ptr()  # training would change it


def test_loading_keeps_ties_tables_and_buffers_that_are_not_stored() -> None:
    made = GPT(20, GPTSizes(**SIZES))
    loaded = model_loading.load_model(lambda: GPT(20, GPTSizes(**SIZES)), storage.persistent_tensors(made), "file")
    assert loaded.output_weight is loaded.embedding
    assert type(loaded.embedding) is type(made.embedding)
    buffers = dict(made.named_buffers())
    assert buffers
    for name, buffer in loaded.named_buffers():
        assert torch.equal(buffer, buffers[name]), name
    tokens = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        first, second = (one.decode(tokens, one.start(1))[0] for one in (made, loaded))
    assert torch.equal(first, second)


def test_loading_the_weights_of_another_model_is_refused() -> None:
    tensors = storage.persistent_tensors(GPT(20, GPTSizes(**SIZES)))
    for change, message in (({"num_layers": 1}, "which the model has not"), ({"d_ff": 9}, r"is torch\.float32 \[8")):
        sizes = GPTSizes(**{**SIZES, **change})
        with pytest.raises(CheckpointError, match=message):
            model_loading.load_model(lambda sizes=sizes: GPT(20, sizes), tensors, "file")
