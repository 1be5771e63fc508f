"""The look at images before training: classes, sizes, what cannot be opened, what comes twice and in other splits."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.data.check import Check
from sightline.data.check_records import IMAGES
from sightline.data.images import ImageSource
from support.commands import sightline


def picture(seed: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine cats, four dogs; cat 8 is cat 0 again, dog 3 is cat 1, dog 2 is large."""
    for number in range(8):
        save(tmp_path / "train" / "cat" / f"{number}.png", picture(number))
    save(tmp_path / "train" / "cat" / "8.bmp", picture(0))
    for number in range(2):
        save(tmp_path / "train" / "dog" / f"{number}.png", picture(100 + number))
    save(tmp_path / "train" / "dog" / "2.png", picture(102, 12, 16))
    save(tmp_path / "train" / "dog" / "3.png", picture(1))
    return tmp_path / "train"


def idx(path: Path, values: np.ndarray) -> str:
    data = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def test_classes_sizes_duplicates_and_what_cannot_be_opened(folder: Path) -> None:
    (folder / "cat" / "cut.png").write_bytes((folder / "cat" / "3.png").read_bytes()[:40])
    report = Check(IMAGES, [ImageSource(source=str(folder))], {}).report().train
    assert (report.records, report.unreadable) == (13, 1)
    assert report.unreadable_lines[0].startswith(f"{folder}/cat/cut.png: cannot be read as an image")
    # whose place among the others a file that cannot be opened leaves to none
    assert report.labels is not None
    assert report.labels.counts == {"cat": 9, "dog": 4}
    assert report.duplicates == {"images": 1}
    assert report.findings["the same image with other classes"].examples in (
        (f"{folder}/dog/3.png",), (f"{folder}/cat/1.png",))  # fmt: skip
    odd = report.findings["of another size than 8 × 8"]
    assert (odd.count, odd.examples) == (1, (f"{folder}/dog/2.png",))
    assert not any("nearly" in what for what in report.findings)
    lines = report.lines("train")
    assert lines[0] == "train: 13 images"
    assert "  classes: 2 different: cat 9 (69.2 %), dog 4 (30.8 %)" in lines
    assert "  sizes: 2 different: 8 × 8 12 (92.3 %) most often, from 8 × 8 to 16 × 12" in lines
    assert "  cannot be read: 1 files, at the first of which a training stops" in lines


def test_photographs_of_many_sizes_are_not_all_odd(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / "a" / f"{number}.png", picture(number, 8 + number))
    report = Check(IMAGES, [ImageSource(source=str(tmp_path))], {}).report().train
    assert not report.findings
    assert report.sizes is not None
    assert (report.sizes.different, report.sizes.least, report.sizes.greatest) == (6, (8, 8), (8, 13))


def test_what_leaks_between_splits_is_named_with_its_files(folder: Path, tmp_path: Path, capsys) -> None:
    test = tmp_path / "test"
    same = save(test / "cat" / "x.png", picture(5))
    save(test / "cat" / "y.png", picture(2))
    save(test / "bird" / "z.png", picture(7))  # in training a cat
    save(test / "dog" / "new.png", picture(500))
    assert sightline("data", "check", folder, "--task", "image_classification", "--test", test) == 0
    out, told = capsys.readouterr()
    assert "overlap: of the test set, 2 images also occur in train\n  and 1 nearly, with another class\n" in out
    assert f"{same} = {folder}/cat/5.png" in out
    assert "classes that train has not: bird 1" in out
    assert f"sightline init my.toml --source {folder} --task image_classification" in told
    assert sightline("data", "check", folder, "--task", "image_classification", "--test", test, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["overlaps"]["test"]["shared"] == {"images": 2}
    assert found["train"]["sizes"]["usual"] == [8, 8]
    assert (found["train"]["images"], found["left_out"]) == (13, None)


def test_idx_and_numpy_files_by_the_number_of_an_image(tmp_path: Path, capsys) -> None:
    pixels, classes = np.stack([picture(n)[:, :, 0] for n in (1, 2, 3, 2)]), np.array([0, 1, 1, 0])
    images, labels = idx(tmp_path / "images.idx.gz", pixels), idx(tmp_path / "labels.idx", classes)
    task = ("--task", "image_classification")
    assert sightline("data", "check", images, labels, *task) == 0
    out, told = capsys.readouterr()
    assert "  sizes: all 8 × 8\n" in out
    assert "the same image with other classes: 1 (first: " + images + ":4)" in out
    assert f"--source {images} --target {labels} --task image_classification" in told
    np.savez(tmp_path / "x.npz", images=pixels, labels=classes)
    assert sightline("data", "check", tmp_path / "x.npz", *task, "--test-source", images, "--test-target", labels) == 0
    assert "of the test set, 4 images also occur in train" in capsys.readouterr().out
    config = tmp_path / "my.toml"
    assert sightline("init", config, "--source", images, "--target", labels, *task, "--validate-on-train") == 0
    assert f'labels = "{labels}"' in config.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("absent",), 1, "absent: no such file"),
        (("empty",), 1, "empty: no images ("),
        (("folder", "--fix", "out.csv"), 2, "--fix: no table holds images"),
        (("folder", "--columns", "0,1"), 2, "columns"),
        (("images.idx",), 2, "name the file of its classes"),
    ],
)
def test_wrong_words_are_told_in_a_line(
    words: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    save(tmp_path / "folder" / "a" / "x.png", picture(0))
    idx(tmp_path / "images.idx", np.zeros((2, 4, 4)))
    assert sightline("data", "check", *words, "--task", "image_classification") == code
    told = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("hint")]
    assert len(told) == 1
    assert says in told[0]


def test_files_that_cannot_be_opened_end_with_what_to_do(folder: Path, capsys) -> None:
    (folder / "dog" / "broken.jpg").write_text("no image")
    assert sightline("data", "check", folder, "--task", "image_classification") == 1
    out, told = capsys.readouterr()
    assert "broken.jpg: cannot be read as an image" in out
    assert "next: mend these files or take them out, and check again\n" in told
