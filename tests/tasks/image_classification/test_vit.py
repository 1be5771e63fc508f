"""The Vision Transformer: its outputs, patches, images from files, and that it learns and shows where it looks."""

from __future__ import annotations

import gzip
import json
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification, ViTImageProcessor

import sightline as package
from sightline.data.augmentation import Augmentation, affine
from sightline.data.images import ImageSource, read_images
from sightline.data.pixels import fitted, open_image
from sightline.errors import DataError, SightlineError, UsageError
from sightline.interop.vit import write_vit
from sightline.models.vit import ViT, ViTSizes, patchify, rollout, waves
from sightline.nn.context import PassContext, Recorder
from sightline.sight.reading import look
from sightline.tasks.exchange import ExchangedModel, Pixels
from support.commands import sightline

SIZES = ViTSizes(image_size=12, channels=3, patch_size=4, d_model=16, num_layers=2, num_heads=4, d_ff=24)


def theirs(folder: Path, **more: Any) -> ViTForImageClassification:
    """A random model of theirs, saved."""
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, image_size=12, patch_size=4,
        num_channels=3, num_labels=5, **more,
    )  # fmt: skip
    torch.manual_seed(1)
    model = ViTForImageClassification(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return model


def test_comes_and_goes(tmp_path: Path) -> None:
    """Logits are those of transformers' ViTForImageClassification, read and written."""
    model = theirs(tmp_path / "theirs", id2label={i: f"class {i}" for i in range(5)}, layer_norm_eps=1e-6)
    scaling = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "theirs/preprocessor_config.json").write_text(json.dumps(scaling))
    assert sightline("import", tmp_path / "theirs", "--run", tmp_path / "run") == 0
    ours: Any = package.load(tmp_path / "run")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    images = images / torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    with torch.inference_mode():
        expected = model(images).logits
        torch.testing.assert_close(ours.model(images), expected, atol=1e-4, rtol=1e-4)
    for one, probabilities in zip(ours.predict(list(pixels)), expected.softmax(1), strict=True):
        assert list(one.probabilities) == [f"class {i}" for i in range(5)]
        assert list(one.probabilities.values()) == pytest.approx(probabilities.tolist(), abs=1e-5)
    assert sightline("export", tmp_path / "run", tmp_path / "again") == 0
    again = ViTForImageClassification.from_pretrained(tmp_path / "again").eval()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert again.config.id2label[4] == "class 4"
    assert json.loads((tmp_path / "again/preprocessor_config.json").read_text())["image_std"] == [0.4, 0.5, 0.6]


def test_images_are_prepared_as_theirs_are(tmp_path: Path) -> None:
    """What their processor makes of an image that is not square; and classes of one name are kept apart."""
    model = theirs(tmp_path / "theirs", id2label={0: "crane", 1: "b", 2: "crane", 3: "d", 4: "e"})
    image = np.random.default_rng(0).integers(0, 256, (20, 37, 3), dtype=np.uint8)
    for number, notes in enumerate(
        ({}, {"do_normalize": False}, {"do_rescale": False, "image_mean": [9.0] * 3}, {"rescale_factor": 1 / 127.5})
    ):
        notes = {"size": {"height": 12, "width": 12}, "resample": 2, "image_mean": [0.4] * 3, **notes}
        ViTImageProcessor(**notes).save_pretrained(tmp_path / "theirs")
        assert sightline("import", tmp_path / "theirs", "--run", tmp_path / f"run{number}") == 0
        ours: Any = package.load(tmp_path / f"run{number}")
        pixels = AutoImageProcessor.from_pretrained(tmp_path / "theirs")(Image.fromarray(image), return_tensors="pt")
        with torch.inference_mode():
            expected = model(pixels["pixel_values"]).logits[0].softmax(0).tolist()
        found = ours.predict(image).probabilities
        assert list(found) == ["crane", "b", "crane (2)", "d", "e"]
        assert list(found.values()) == pytest.approx(expected, abs=1e-4)
    assert sightline("export", tmp_path / "run0", tmp_path / "again") == 0
    again = AutoImageProcessor.from_pretrained(tmp_path / "again")(Image.fromarray(image), return_tensors="np")
    expected = ViTImageProcessor.from_pretrained(tmp_path / "again")(Image.fromarray(image), return_tensors="np")
    assert np.allclose(again["pixel_values"], expected["pixel_values"])


def test_what_cannot_come_or_go(vit: Path, tmp_path: Path, capsys) -> None:
    for name, change, says in (
        ("larger", {"image_size": 16}, "do not belong together"),
        ("deeper", {"num_hidden_layers": 3}, "lack vit.encoder"),
        ("odd", {"patch_size": 5}, "must divide"), ("plain", {"qkv_bias": False}, "with biases"),
    ):  # fmt: skip
        theirs(tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps({**config, **change}))
        assert sightline("import", tmp_path / name, "--run", tmp_path / "run") == 1
        assert says in capsys.readouterr().err
    model = ViT(SIZES.model_copy(update={"positions": "sinusoidal"}), 2)
    pixels = Pixels((0.5,), (0.5,), "crop")
    sinusoidal = ExchangedModel(
        "image_classes", model.sizes, dict(model.named_parameters()), labels=("a",), pixels=pixels
    )
    with pytest.raises(UsageError, match=r"model\.positions"):
        write_vit(tmp_path / "no", sinusoidal)


def test_patches_by_hand() -> None:
    image = torch.arange(32.0).view(1, 2, 4, 4)
    first, second, third, _ = patchify(image, 2)[0].tolist()
    assert first == [0, 1, 4, 5, 16, 17, 20, 21]
    assert second == [2, 3, 6, 7, 18, 19, 22, 23]
    assert third == [8, 9, 12, 13, 24, 25, 28, 29]


def test_two_dimensional_waves() -> None:
    table = waves(3, 16).view(3, 3, 16)
    assert torch.equal(table[0, 1, :8], table[0, 2, :8])  # the row's half is the row's alone
    assert torch.equal(table[1, 2, 8:], table[2, 2, 8:])
    assert not torch.equal(table[1, 0], table[0, 1])


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
def test_looking_changes_nothing_and_shows_all(positions: str) -> None:
    torch.manual_seed(0)
    model = ViT(SIZES.model_copy(update={"positions": positions}), 3)
    images = torch.randn(2, 3, 12, 12)
    recorder = Recorder(["blocks.*.self_attention.weights"])
    torch.testing.assert_close(model(images, ctx=PassContext(recorder=recorder)), model(images), atol=1e-5, rtol=1e-5)
    weights = torch.stack([recorder.tensors[f"blocks.{n}.self_attention.weights"][0] for n in range(2)])
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4, 10))
    torch.testing.assert_close(rollout(weights).sum(-1), torch.ones(2, 10))
    permuted = torch.cat([images[:, :, 4:], images[:, :, :4]], 2)  # other rows of patches
    same = torch.allclose(model(images), model(permuted), atol=1e-5)
    assert same == (positions == "none")


def test_rollout_by_hand() -> None:
    one = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    weights = torch.stack([one, torch.eye(2)])[:, None, None]
    torch.testing.assert_close(rollout(weights)[0], torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    # without residual connections nothing of a position stays its own
    torch.testing.assert_close(rollout(weights, residual=False)[0], one)


def test_images_from_files(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pixels, classes = random.integers(0, 256, (6, 8, 8), dtype=np.uint8), np.array([3, 0, 1, 1, 3, 0])
    np.savez(tmp_path / "x.npz", images=pixels, labels=classes)
    np.save(tmp_path / "x.npy", pixels)
    np.save(tmp_path / "y.npy", classes)
    idx = struct.pack(">HBBIII", 0, 8, 3, *pixels.shape) + pixels.tobytes()
    (tmp_path / "x-idx3-ubyte.gz").write_bytes(gzip.compress(idx))
    (tmp_path / "y-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 6) + classes.astype(np.uint8).tobytes())
    for number, (image, label) in enumerate(zip(pixels, classes, strict=True)):
        folder = tmp_path / "folder" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    cache = tmp_path / "cache"
    for source in (
        ImageSource(source=f"{tmp_path}/x.npz"),
        ImageSource(source=f"{tmp_path}/x.npy", labels=f"{tmp_path}/y.npy"),
        ImageSource(source=f"{tmp_path}/x-idx3-ubyte.gz", labels=f"{tmp_path}/y-idx1-ubyte"),
    ):
        for _ in range(2):  # made, then kept
            found = read_images(source, 8, 1, cache)
            assert np.array_equal(found.pixels[..., 0], pixels)
            assert found.classes.tolist() == classes.tolist()
    found = read_images(ImageSource(source=f"{tmp_path}/folder"), 8, 1, cache)
    assert found.names == ("0", "1", "3")
    order = [1, 2, 0, 5, 3, 4]  # each class spread evenly
    assert np.array_equal(found.pixels[..., 0], pixels[order])
    assert [found.names[i] for i in found.classes] == [str(one) for one in classes[order]]
    half = read_images(ImageSource(source=f"{tmp_path}/x.npz", part=(0.5, 1.0)), 8, 1, cache)
    assert np.array_equal(half.pixels[..., 0], pixels[3:])
    assert read_images(ImageSource(source=f"{tmp_path}/x.npz"), 4, 3, cache).pixels.shape == (6, 4, 4, 3)


def test_images_are_scaled_and_cut(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = (200, 100, 50)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    found = fitted(open_image(tmp_path / "wide.png"), 5, 3)
    assert found.shape == (5, 5, 3)
    assert np.abs(found[:, 1:4].astype(int) - [200, 100, 50]).max() < 30
    assert fitted(wide, 5, 1).shape == (5, 5, 1)
    assert fitted(wide[:, :, 0], 10, 1).shape == (10, 10, 1)


def test_every_class_has_its_share_of_a_part(tmp_path: Path) -> None:
    for name, count in (("cat", 20), ("dog", 10)):
        (tmp_path / "x" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (4, 4), number).save(tmp_path / "x" / name / f"{number:02}.png")
    (tmp_path / "x" / ".checkpoints").mkdir()
    for hidden in (".checkpoints/0.png", "cat/._0.png"):
        (tmp_path / "x" / hidden).write_bytes(b"no image")
    parts = [
        read_images(ImageSource(source=f"{tmp_path}/x", part=part), 4, 1, tmp_path / "cache")
        for part in ((0, 0.7), (0.7, 1))
    ]
    assert parts[0].names == ("cat", "dog")
    assert [np.bincount(part.classes).tolist() for part in parts] == [[14, 7], [6, 3]]
    seen = {
        (int(one), int(pixels[0, 0, 0]))
        for part in parts
        for one, pixels in zip(part.classes, part.pixels, strict=True)
    }
    assert len(seen) == 30


def test_images_as_one_sees_them(tmp_path: Path) -> None:
    """Upright, on white where transparent, of 16 bits the upper ones; other arrays than bytes are refused."""
    ramp = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1))
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "deep.tif")
    for name in ("deep.png", "deep.tif"):
        assert np.array_equal(open_image(tmp_path / name)[:, :, 0], ramp)
    Image.fromarray(ramp.astype(np.float32) / 255).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="32 bits"):
        open_image(tmp_path / "float.tif")
    drawn = np.zeros((16, 16, 4), np.uint8)
    drawn[4:12, 4:12, 3] = 255
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    assert np.array_equal(open_image(tmp_path / "drawn.png")[:, :, 0], np.where(drawn[:, :, 3] > 0, 0, 255))
    photo = Image.fromarray(np.stack([ramp] * 3, -1))
    turned_by = photo.getexif()
    turned_by[274] = 6
    photo.save(tmp_path / "photo.png", exif=turned_by)
    assert np.array_equal(open_image(tmp_path / "photo.png")[:, :, 0], np.rot90(ramp, -1))
    for wrong in (
        ramp / 255.0,
        ramp > 9,
        ramp[0],
        ramp[None, None],
        np.zeros((0, 4), np.uint8),
        np.zeros((3, 9, 9), np.uint8),
    ):
        with pytest.raises(DataError, match=r"an image"):
            fitted(wrong, 8, 1)
    five = np.random.default_rng(0).integers(0, 256, (16, 24, 5), dtype=np.uint8)
    assert np.array_equal(fitted(five, 8, 5)[:, :, 3], fitted(five[:, :, 3], 8, 1)[:, :, 0])
    assert fitted(five[:, :, :4], 8, 3).shape == (8, 8, 3)
    halves = np.zeros((8, 16), np.uint8)
    halves[:, 8:] = 200
    for fit in ("crop", "squash"):
        assert fitted(halves, 8, 1, fit)[0, [0, -1], 0].tolist() == [0, 200]
    assert (fitted(halves, 8, 1)[0, :, 0] == 200).sum() == 4
    assert fitted(np.zeros((1, 2_000_000), np.uint8), 224, 1).shape == (224, 224, 1)


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.png").write_bytes(b"not an image")
    (tmp_path / "x-idx").write_bytes(b"\0\0\x08\x03\0\0\0\x09")
    np.savez(tmp_path / "odd.npz", images=np.zeros((3, 4)), labels=np.zeros(3, int))
    np.savez(tmp_path / "few.npz", images=np.zeros((3, 4, 4), np.uint8), labels=np.zeros(2, int))
    np.savez(tmp_path / "named.npz", pictures=np.zeros((3, 4, 4), np.uint8))
    np.savez(tmp_path / "pickled.npz", images=np.array([{}]), labels=np.zeros(1, int))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "few.npz").read_bytes()[:200])
    np.save(tmp_path / "one.npy", np.zeros((3, 4, 4), np.uint8))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    (tmp_path / "few.npz").with_name("two.npy").write_bytes((tmp_path / "few.npz").read_bytes())
    np.savez(tmp_path / "flat.npz", images=np.zeros((3, 0, 4), np.uint8), labels=np.zeros(3, int))
    np.savez(tmp_path / "most.npz", images=np.zeros((3, 4, 4), np.uint8), labels=np.array([0, 1, 5_000_000]))
    np.savez(tmp_path / "first.npz", images=np.zeros((3, 3, 9, 9), np.uint8), labels=np.zeros(3, int))
    for name, shape in (("huge", 10**30), ("large", 10**15)):
        header = {"descr": "|u1", "fortran_order": False, "shape": (shape, 4, 4)}
        with (tmp_path / f"{name}.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w") as archive:
            archive.write(tmp_path / f"{name}.npy", "images.npy")
            archive.write(tmp_path / f"{name}.npy", "labels.npy")
    (tmp_path / "zip.npy").write_bytes(b"PK\3\4 and nothing")
    (tmp_path / "zip.npz").write_bytes(b"PK\3\4 and nothing")
    for name, labels, says in (
        ("huge.npy", "x-idx", "announced, and 0 bytes"), ("large.npy", "x-idx", "announced, and 0 bytes"),
        ("huge.npz", None, "announced, and 0 bytes"), ("large.npz", None, "announced, and 0 bytes"),
        ("zip.npy", "x-idx", "several arrays"), ("zip.npz", None, "cannot be read"),
        ("cut.npz", None, "cannot be read"), ("one.npz", None, "one array"), ("two.npy", "x-idx", "several arrays"),
        ("flat.npz", None, "bytes"), ("most.npz", None, "number 5,000,000"), ("first.npz", None, "9 channels"),
        ("empty", None, "no images"), ("x-idx", "x-idx", "not an IDX file"), ("odd.npz", None, "bytes"),
        ("few.npz", None, "3 images, but classes"), ("named.npz", None, "has no array"),
        ("pickled.npz", None, "cannot be read"), ("nothing.npz", None, "no such file"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=says):
            read_images(
                ImageSource(source=f"{tmp_path}/{name}", labels=labels and f"{tmp_path}/{labels}"),
                4,
                1,
                tmp_path / "cache",
            )
    for name, says in (("x.png", "cannot be read as an image"), ("none.png", "no such file")):
        with pytest.raises(DataError, match=says):
            open_image(tmp_path / name)
    with pytest.raises(UsageError, match="labels"):
        read_images(ImageSource(source=f"{tmp_path}/x-idx"), 4, 1, tmp_path / "cache")


def test_augmentation() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(1, 256, (40, 9, 9, 2), dtype=np.uint8)
    kept = pixels.copy()
    assert np.array_equal(Augmentation()(pixels, 1, 0, 0), pixels)
    moved = Augmentation(shift=2)(pixels, 1, 0, 0)
    assert np.array_equal(moved, Augmentation(shift=2)(pixels, 1, 0, 0))
    assert not np.array_equal(moved, Augmentation(shift=2)(pixels, 1, 0, 1))
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2), (0, 0)))
    seen = set()
    for row in range(40):
        views = {(y, x): padded[row, y : y + 9, x : x + 9] for y in range(5) for x in range(5)}
        ways = [way for way, view in views.items() if np.array_equal(view, moved[row])]
        assert len(ways) == 1
        seen |= set(ways)
    assert len(seen) > 10
    mirrored = Augmentation(flip=True)(pixels, 1, 0, 0)
    turned = [np.array_equal(mirrored[row], pixels[row, :, ::-1]) for row in range(40)]
    assert 10 < sum(turned) < 30
    assert all(turned[row] or np.array_equal(mirrored[row], pixels[row]) for row in range(40))
    erased = Augmentation(erase=1.0)(pixels, 1, 0, 0)
    share = (erased == 0).all(-1).mean((1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.35
    assert np.array_equal(erased[erased > 0], pixels[erased > 0])
    assert np.array_equal(pixels, kept)


def test_turning_and_scaling() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(1, 256, (3, 8, 8, 2), dtype=np.uint8)
    quarters = affine(pixels, np.array([0.0, np.pi / 2, -np.pi / 2]), np.ones(3), np.zeros(3))
    for image, quarter, times in zip(pixels, quarters, (0, 1, -1), strict=True):
        assert np.array_equal(quarter, np.rot90(image, times))
    flat = np.zeros((2, 9, 13, 1), np.uint8)
    flat[:, 2:7, 2:11] = 255
    grown, shrunk = affine(flat, np.zeros(2), np.array([1.4, 0.6]), np.zeros(2))[..., 0] > 127
    assert (grown.sum(0).max(), grown.sum(1).max()) == (7, 13)
    assert (shrunk.sum(0).max(), shrunk.sum(1).max()) == (3, 5)
    long = np.zeros((1, 21, 41, 1), np.uint8)
    long[0, 10, 11:30] = 255  # a turn keeps lengths, whatever the sides
    upright = affine(long, np.array([np.pi / 2]), np.ones(1), np.zeros(1))[0, :, :, 0]
    assert np.flatnonzero(upright[:, 20] > 127).tolist() == list(range(1, 20))
    pixels = random.integers(1, 256, (40, 9, 9, 1), dtype=np.uint8)
    upright = np.zeros((1, 7, 11, 1), np.uint8)
    upright[0, :, 5] = 255
    slanted = affine(upright, np.zeros(1), np.ones(1), np.ones(1))[0, :, :, 0]
    assert np.array_equal(slanted, np.fliplr(np.eye(7, 11, 2, dtype=np.uint8) * 255))
    change = Augmentation(shear=0.3, rotate=20, zoom=0.2)
    assert np.array_equal(change(pixels, 1, 0, 0), change(pixels, 1, 0, 0))
    assert all(not np.array_equal(one, other) for one, other in zip(change(pixels, 1, 0, 0), pixels, strict=True))


def test_learning_and_looking(vit: Path, texts: Path, image_file: Path, tmp_path: Path, capsys) -> None:
    assert sightline("evaluate", vit, "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["scores"]["accuracy"] > 90
    with np.load(texts / "test.npz") as held:
        np.save(tmp_path / "x.npy", held["images"])
        np.save(tmp_path / "y.npy", held["labels"])
    assert sightline("evaluate", vit, tmp_path / "x.npy", tmp_path / "y.npy", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["scores"] == report["scores"]
    model: Any = package.load(vit)
    found = np.load(texts / "test.npz")
    images, labels = found["images"], found["labels"]
    told = model.predict(list(images))
    assert np.mean([one.label == str(label) for one, label in zip(told, labels, strict=True)]) > 0.9
    assert model.predict(images[0]).probabilities == pytest.approx(told[0].probabilities, abs=1e-5)
    assert model.predict([]) == []
    assert look(model.reading(images[0])).log_probabilities == pytest.approx([math.log(told[0].probability)], abs=1e-4)
    for number in range(2):
        Image.fromarray(images[number]).save(tmp_path / f"{number}.png")
    assert sightline("classify", vit, tmp_path / "0.png", tmp_path / "1.png") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [told[0].label, told[1].label]
    assert sightline("classify", vit, tmp_path / "0.png", "--json", "--picture", tmp_path / "look.svg") == 0
    assert json.loads(capsys.readouterr().out)["label"] == told[0].label
    assert (tmp_path / "look.svg").stat().st_size > 1000
    looked = model.attention(images[0])
    assert looked.weights.shape == (2, 2, 4, 4)
    assert looked.rollout.sum() == pytest.approx(1, abs=1e-5)
    for words, says in (
        ((vit,), "name one or more"),
        ((vit, tmp_path / "no.png"), "no such file"),
        ((vit, tmp_path / "0.png", tmp_path / "1.png", "--picture", "x.svg"), "name one"),
    ):
        assert sightline("classify", *words) in (1, 2)
        assert says in capsys.readouterr().err
    assert sightline("train", image_file, "--run", tmp_path / "dry", "--dry-run") == 0


def test_classes_that_training_has_not(image_file: Path, texts: Path, tmp_path: Path, capsys) -> None:
    np.savez(texts / "five.npz", images=np.zeros((5, 12, 12), np.uint8), labels=np.arange(5))
    words = ["train", image_file, "--run", tmp_path / "run", f"data.validation={{ source = '{texts}/five.npz' }}"]
    assert sightline(*words) == 1
    assert 'no training image is of the class "4"' in capsys.readouterr().err
    np.savez(texts / "one.npz", images=np.zeros((5, 12, 12), np.uint8), labels=np.zeros(5, int))
    assert sightline(*words[:-1], f"data.train=[{{ source = '{texts}/one.npz' }}]") == 1
    assert "1 class" in capsys.readouterr().err
    with pytest.raises(SightlineError):
        package.load(tmp_path / "run")
