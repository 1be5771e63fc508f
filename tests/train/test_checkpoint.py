"""Checkpoints that are whole or absent: damage is found and named, refusals of the file system leave the old one."""

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sightline.errors import CheckpointError, LaterVersionError
from sightline.train import storage
from sightline.train.averaging import MovingAverage, average_files, swap_weights
from sightline.train.checkpoint import Checkpoints

TENSORS = {
    "matrix": torch.arange(12.0).view(3, 4),
    "half": torch.tensor([1.0, -2.5], dtype=torch.bfloat16),
    "scalar": torch.tensor(7.0),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "count": torch.tensor(3),
    "mask": torch.tensor([True, False]),
    "empty": torch.zeros(0, 4),
    "turned": torch.arange(6.0).view(2, 3).t(),
}


def write(run_dir: Path, *updates: int, keep: int = 9) -> Checkpoints:
    checkpoints = Checkpoints(run_dir, keep)
    for update in updates:
        checkpoints.save(update, {"weights": {"w": torch.full((4,), float(update))}}, {"update": update})
    return checkpoints


def updates(checkpoints: Checkpoints) -> list[int]:
    return [checkpoint.update for checkpoint in checkpoints.all()]


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    storage.write_file(tmp_path / "ours", storage.safetensors_blocks(TENSORS))
    found = load_file(tmp_path / "ours")
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_we_read_what_the_library_writes(tmp_path: Path) -> None:
    save_file({"w": TENSORS["matrix"]}, tmp_path / "theirs")
    assert torch.equal(storage.read_tensors(tmp_path / "theirs")["w"], TENSORS["matrix"])


def test_round_trip(tmp_path: Path) -> None:
    state = {"update": 5, "loss": 0.1 + 0.2, "position": {"seed": 1, "epoch": 0, "batch": 3}}
    Checkpoints(tmp_path).save(5, {"weights": TENSORS, "optimizer": {}}, state)
    found = Checkpoints(tmp_path).latest()
    assert found is not None
    assert found.update == 5
    assert found.state() == {"format": 1, **state}
    assert torch.equal(found.tensors("weights")["turned"], TENSORS["turned"])
    assert found.tensors("optimizer") == {}
    assert {path.name for path in found.path.iterdir()} == {
        "weights.safetensors",
        "optimizer.safetensors",
        "state.json",
        "manifest.json",
    }
    entry = json.loads((found.path / "manifest.json").read_text())["files"]["state.json"]
    assert entry["size"] == (found.path / "state.json").stat().st_size
    assert len(entry["sha256"]) == 64


def test_none_is_not_an_error(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).latest() is None


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [truncate, flip_a_bit, Path.unlink], ids=["truncate", "flip", "remove"])
@pytest.mark.parametrize("file", ["weights.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_passed_over(tmp_path: Path, file: str, harm) -> None:
    write(tmp_path, 10, 20)
    harm(tmp_path / "checkpoints" / "step-20" / file)
    if (file, harm) == ("manifest.json", flip_a_bit):  # the last byte is a newline, which means nothing
        (tmp_path / "checkpoints" / "step-20" / file).write_text('{"files": 3}')
    if (file, harm) == ("manifest.json", truncate):
        truncate(tmp_path / "checkpoints" / "step-20" / file)
    told: list[str] = []
    found = Checkpoints(tmp_path, report=told.append).latest()
    assert found is not None
    assert found.update == 10
    assert len(told) == 1
    assert f"step-20{os.sep}{file}" in told[0]
    assert "\n" not in told[0]


def test_all_damaged_is_an_error(tmp_path: Path) -> None:
    checkpoints = write(tmp_path, 10, 20)
    for checkpoint in checkpoints.all():
        truncate(checkpoint.file("weights"))
    with pytest.raises(CheckpointError, match=r"every checkpoint is damaged.*step-20.*weights\.safetensors") as error:
        checkpoints.latest()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["state.json", "manifest.json"])
def test_a_checkpoint_of_a_later_version_is_said_to_be_so(tmp_path: Path, file: str) -> None:
    """It is not damaged, and going back to the one before would lose what the later version made."""
    checkpoints = write(tmp_path, 10, 20)
    path = tmp_path / "checkpoints" / "step-20" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}), encoding="utf-8")
    manifest = path.with_name("manifest.json")
    listed = json.loads(manifest.read_text())
    listed["files"]["state.json"] = dataclasses.asdict(storage.file_digest(path.with_name("state.json")))
    manifest.write_text(json.dumps(listed), encoding="utf-8")
    with pytest.raises(LaterVersionError, match=rf"{file}: made by a later version of Sightline \(format 99.*upgrade"):
        checkpoints.latest()


def test_a_damaged_checkpoint_is_written_anew(tmp_path: Path) -> None:
    checkpoints = write(tmp_path, 10, 20)
    truncate(checkpoints.all()[-1].file("weights"))
    write(tmp_path, 20)
    assert checkpoints.at(20).tensors("weights")["w"][0] == 20
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-10", "step-20"]


def fail(number: int):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("function", ["fsync", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch, function: str, number: int) -> None:
    checkpoints = write(tmp_path, 10)
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail(number))
        with pytest.raises(CheckpointError, match=rf"step-20: cannot be written \({os.strerror(number)}\)") as error:
            write(tmp_path, 20)
    assert "\n" not in str(error.value)
    assert updates(checkpoints) == [10]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-10"]
    assert checkpoints.latest() is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_write_that_does_not_fit(tmp_path: Path, monkeypatch) -> None:
    """The kernel's own ENOSPC, in the middle of a file."""
    checkpoints = write(tmp_path, 10)
    real_mkdir = Path.mkdir

    def mkdir_with_a_full_file(self: Path, *args, **kwargs) -> None:
        real_mkdir(self, *args, **kwargs)
        if self.name == ".tmp-step-20":
            (self / "weights.safetensors").symlink_to("/dev/full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", mkdir_with_a_full_file)
        with pytest.raises(CheckpointError, match="No space left on device"):
            write(tmp_path, 20)
    assert updates(checkpoints) == [10]


def test_what_is_read_back_wrong_is_no_checkpoint(tmp_path: Path, monkeypatch) -> None:
    """A device that loses what it was given: the file is cut at the moment it is flushed."""
    checkpoints = write(tmp_path, 10)

    def lossy(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.truncate(descriptor, 3)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lossy)
        with pytest.raises(CheckpointError, match="damaged"):
            write(tmp_path, 20)
    assert updates(checkpoints) == [10]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-10"]


def test_leftovers_are_cleaned_and_never_taken_for_checkpoints(tmp_path: Path) -> None:
    checkpoints = write(tmp_path, 10)
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "step-10", folder / ".tmp-step-20")
    shutil.copytree(folder / "step-10", folder / "step-20.bak")
    assert updates(checkpoints) == [10]
    checkpoints.remove_leftovers()
    assert sorted(path.name for path in folder.iterdir()) == ["step-10", "step-20.bak"]


def test_pruning_keeps_the_last_periodic_the_protected_and_the_newest(tmp_path: Path) -> None:
    checkpoints = write(tmp_path, 10, 15, 20, 25, 30, 33, 99, keep=2)
    checkpoints.prune(33, lambda update: update % 10 == 0, [15])
    assert updates(checkpoints) == [15, 20, 30, 33, 99]  # 99 is later than 33: damaged, or of another attempt


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"a": torch.zeros(2)}, "has no b"),
        ({"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(1)}, "has c, which the model has not"),
        ({"a": torch.zeros(3), "b": torch.zeros(3)}, r"a is torch.float32 \[3\], not torch.float32 \[2\]"),
        ({"a": torch.ones(2), "b": torch.zeros(3).double()}, "b is torch.float64"),
    ],
)
def test_tensors_of_another_model_are_refused_untouched(found: dict[str, Tensor], message: str) -> None:
    target = {"a": torch.full((2,), 5.0), "b": torch.full((3,), 5.0)}
    with pytest.raises(CheckpointError, match=message):
        storage.copy_tensors(found, target, "file")
    assert target["a"].tolist() == [5.0, 5.0]


def test_not_safetensors(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: damaged"):
        storage.read_tensors(tmp_path / "x.safetensors")


def test_the_moving_average_by_hand() -> None:
    weights = {"w": torch.tensor([0.0])}
    average = MovingAverage(weights, 0.5)
    weights["w"].fill_(11.0)
    average.update(weights, 1)  # decay min(0.5, 2 / 11): 9/11 of the way
    assert average.tensors["w"].item() == pytest.approx(9.0)
    average.update(weights, 1000)  # decay 0.5
    assert average.tensors["w"].item() == pytest.approx(10.0)


def test_lent_weights_are_given_back_exactly() -> None:
    model = torch.nn.Linear(3, 2).bfloat16()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with contextlib.suppress(RuntimeError), swap_weights({"weight": torch.full((2, 3), 1.001)}, model):
        assert torch.equal(model.weight, torch.full((2, 3), 1.001).bfloat16())
        assert torch.equal(model.bias, before["bias"])
        raise RuntimeError
    assert torch.equal(model.weight, before["weight"])


def test_the_average_of_files(tmp_path: Path) -> None:
    for number, value in enumerate([1.0, 2.0, 6.0]):
        tensors = {"w": torch.full((2,), value), "h": torch.tensor([value]).bfloat16(), "n": torch.tensor(number)}
        save_file(tensors, tmp_path / str(number))
    paths = [tmp_path / str(number) for number in range(3)]
    found = average_files(paths)
    assert found["w"].tolist() == [3.0, 3.0]
    assert found["h"].dtype == torch.bfloat16
    assert found["h"].item() == 3.0
    assert found["n"].item() == 2  # a count has no mean: the last one's
    assert torch.equal(average_files(paths[:1])["w"], torch.ones(2))


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2)}, tmp_path / "a")
    save_file({"w": torch.zeros(3)}, tmp_path / "b")
    save_file({"v": torch.zeros(2)}, tmp_path / "c")
    with pytest.raises(CheckpointError, match=r"b: w is \[3\], not \[2\]"):
        average_files([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(CheckpointError, match="not those of"):
        average_files([tmp_path / "a", tmp_path / "c"])
    with pytest.raises(CheckpointError, match="no checkpoints"):
        average_files([])
