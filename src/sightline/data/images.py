"""Images with a class each: read from folders, IDX and NumPy files, kept as bytes and mapped into memory."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sightline.data import store
from sightline.data.mixing import AUGMENTING, generator
from sightline.data.readers import check_part, resolve
from sightline.errors import DataError, UsageError

_LAYOUT = 1  # To be raised when the files below change their meaning.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # those of the suffixes; others may start other programs
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class ImageSource:
    """Where images and their classes come from.

    - a folder: each folder in it is a class, with the images of that class in it or below;
    - an IDX file (LeCun's MNIST, .gz accepted) and one of their classes, `labels`;
    - NumPy: a .npz with "images" and "labels", or two .npy files; images are (N, Y, X) or (N, Y, X, C) bytes.

    `part` takes the images between two fractions of their number.
    """

    source: str
    labels: str | None = None
    part: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_part(self.source, self.part)

    def files(self) -> list[Path]:
        """All files to be read. Raises DataError for a folder without images."""
        path = resolve(self.source)
        if not path.is_dir():
            return [path, *([resolve(self.labels)] if self.labels else [])]
        found = sorted(file for file in path.glob("*/**/*") if file.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"{path}: no images in folders named by their class; see SUFFIXES for the kinds")
        return found


@dataclass(frozen=True)
class Images:
    """Images (N, Y, X, C) in bytes, the class of each, by number, and the names of the classes."""

    pixels: np.ndarray
    classes: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.classes)

    def part(self, low: float, high: float) -> Images:
        """Those between two fractions of their number."""
        first, last = (int(len(self) * fraction) for fraction in (low, high))
        return Images(self.pixels[first:last], self.classes[first:last], self.names)


def read_images(source: ImageSource, size: int, channels: int, cache_dir: str | Path | None = None) -> Images:
    """The images of a source, `size` × `size` pixels of `channels`, from the cache where they were read before.

    Others are scaled to that size by their shorter side and cut around their middle.

    Raises DataError for what cannot be read, holds no image, or has not one class for each.
    """
    path = resolve(source.source)
    files = source.files()
    names = [str(file.relative_to(path)) for file in files] if path.is_dir() else []
    recipe = {
        "layout": _LAYOUT,
        "files": [[store.file_digest(file), file.suffix] for file in files],
        "names": names,
        "shape": [size, size, channels],
    }

    def write(folder: Path) -> dict[str, Any]:
        count, found, classes, labels = _read(path, files, source)
        kept = np.lib.format.open_memmap(
            folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(count, size, size, channels)
        )
        for number, image in enumerate(found()):
            kept[number] = fitted(image, size, channels)
        kept.flush()
        np.save(folder / "classes.npy", classes)
        return {"names": labels}

    def read(home: Path, notes: dict[str, Any]) -> Images:
        pixels, classes = np.load(home / "pixels.npy", mmap_mode="r"), np.load(home / "classes.npy")
        return Images(pixels, classes, tuple(notes["names"]))

    whole = store.keep("images", recipe, write, read, cache_dir)
    return whole.part(*source.part)


Found = tuple[int, Callable[[], Iterator[np.ndarray]], np.ndarray, list[str]]


def _read(path: Path, files: Sequence[Path], source: ImageSource) -> Found:
    """How many images there are, the images, their classes, and the names of those."""
    if path.is_dir():
        folders = [file.relative_to(path).parts[0] for file in files]
        labels = sorted(set(folders))
        classes = np.array([labels.index(one) for one in folders], dtype=np.int64)
        return len(files), lambda: (open_image(file) for file in files), classes, labels
    if path.suffix == ".npz":
        pixels, classes = _arrays(path, ("images", "labels"))
    elif source.labels is None:
        raise UsageError(f"{path}: name the file of its classes with labels")
    else:
        pixels, classes = _array(path), _array(files[1])
    if pixels.ndim not in (3, 4) or pixels.dtype != np.uint8 or not len(pixels):
        raise DataError(f"{path}: images are (N, Y, X) or (N, Y, X, C) bytes, not {pixels.shape} of {pixels.dtype}")
    if classes.shape != (len(pixels),) or classes.dtype.kind not in "iu" or classes.min() < 0:
        raise DataError(f"{path}: {len(pixels)} images, but classes are {classes.shape} of {classes.dtype}")
    labels = [str(number) for number in range(int(classes.max()) + 1)]
    return len(pixels), lambda: iter(pixels), classes.astype(np.int64), labels


def _arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as found:
            return [found[name] for name in names]
    except KeyError as error:
        raise DataError(f"{path}: has no array {error}; there must be {' and '.join(names)}") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as NumPy arrays ({error})") from None


def _array(path: Path) -> np.ndarray:
    """A .npy file, or an IDX file: two zeros, the kind of number, how many axes, their lengths, the numbers."""
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read as a NumPy array ({error})") from None
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        zero, kind, axes = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
        if zero or kind != 8:
            raise ValueError("it does not begin as one of bytes does")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: not an IDX file ({error})") from None


def open_image(path: str | Path | BinaryIO, most_pixels: int | None = None) -> np.ndarray:
    """An image file, or an open one, as (Y, X, C) bytes. Raises DataError where it is missing, none, or too large."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            if most_pixels is not None and image.width * image.height > most_pixels:
                raise DataError(f"{path}: more than {most_pixels:,} pixels")
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from None


def fitted(image: np.ndarray, size: int, channels: int) -> np.ndarray:
    """An image (Y, X) or (Y, X, C) in bytes as (size, size, channels): grey or in colours, scaled and cut."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape[:2] == (size, size) and image.shape[2] == channels:
        return image
    from PIL import Image

    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3])
    if channels in (1, 3):
        picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (size, size):
        scale = size / min(picture.size)
        wide, high = (max(size, round(side * scale)) for side in picture.size)
        picture = picture.resize((wide, high), Image.Resampling.BILINEAR)
        left, top = (wide - size) // 2, (high - size) // 2
        picture = picture.crop((left, top, left + size, top + size))
    found = np.asarray(picture)
    found = found[:, :, None] if found.ndim == 2 else found
    if found.shape[2] != channels:
        raise DataError(f"images of {image.shape[2]} channels cannot become images of {channels}")
    return found


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed: turned, scaled, moved by up to `shift` pixels each way, mirrored, blanked.

    Each is turned about its middle by up to `rotate` degrees each way, and made larger or smaller by up to the share
    `zoom`. `erase` is the share of images that lose a rectangle of up to a fifth of them (Zhong et al. 2020).
    """

    shift: int = 0
    rotate: float = 0.0
    zoom: float = 0.0
    flip: bool = False
    erase: float = 0.0

    def __call__(self, pixels_BYXC: np.ndarray, seed: int, epoch: int, batch: int) -> np.ndarray:
        """The images of a batch changed, by random numbers that depend on where the batch stands alone."""
        random = generator(AUGMENTING, seed, epoch, batch)
        count, height, width, _ = pixels_BYXC.shape
        if self.rotate or self.zoom:
            angles = np.deg2rad(random.uniform(-self.rotate, self.rotate, count))
            pixels_BYXC = turned(pixels_BYXC, angles, random.uniform(1 - self.zoom, 1 + self.zoom, count))
        changed = np.zeros_like(pixels_BYXC) if self.shift else pixels_BYXC.copy()
        if self.shift:
            moves = random.integers(-self.shift, self.shift + 1, (count, 2))
            for row, (down, right) in enumerate(moves):
                target = changed[row, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
                target[:] = pixels_BYXC[
                    row, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
                ]
        if self.flip:
            mirrored = random.random(count) < 0.5
            changed[mirrored] = changed[mirrored, :, ::-1]
        for row in np.flatnonzero(random.random(count) < self.erase):
            area, aspect = random.uniform(0.02, 0.2) * height * width, np.exp(random.uniform(-1.2, 1.2))
            high, wide = (min(side, max(1, round(length))) for side, length in
                          ((height, np.sqrt(area * aspect)), (width, np.sqrt(area / aspect))))  # fmt: skip
            top, left = random.integers(height - high + 1), random.integers(width - wide + 1)
            changed[row, top : top + high, left : left + wide] = 0
        return changed


def turned(pixels_BYXC: np.ndarray, angles: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Images turned about their middle by angles in radians and scaled, bilinear; 0 where nothing was."""
    import torch
    import torch.nn.functional as F

    count, height, width, channels = pixels_BYXC.shape
    # the map goes from the new image to the old, in halves of the sides: turning needs the ratio of the sides
    cosines, sines = np.cos(angles) / scales, np.sin(angles) / scales
    rows = [[cosines, -sines * height / width, 0 * angles], [sines * width / height, cosines, 0 * angles]]
    maps_B23 = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy())
    images_BCYX = torch.from_numpy(pixels_BYXC.transpose(0, 3, 1, 2).astype(np.float32))
    grid = F.affine_grid(maps_B23, [count, channels, height, width], align_corners=False)
    found_BCYX = F.grid_sample(images_BCYX, grid, align_corners=False)
    return found_BCYX.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
