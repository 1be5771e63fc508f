"""Images with a class each: read from folders, IDX and NumPy files, kept as bytes and mapped into memory."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.data import store
from sightline.data.pixels import SUFFIXES, Fit, fitted, open_image
from sightline.data.readers import check_part, resolve
from sightline.errors import DataError, UsageError

_LAYOUT = 2  # To be raised when the files below change their meaning.
_MOST_CLASSES = 30_000  # by number: more are no classes but something else


@dataclass(frozen=True)
class ImageSource:
    """Where images and their classes come from.

    - a folder: each folder in it is a class, with the images of that class in it or below;
    - an IDX file (LeCun's MNIST, .gz accepted) and one of their classes, `labels`;
    - NumPy: a .npz with "images" and "labels", or two .npy files; images are (N, Y, X) or (N, Y, X, C) bytes.

    `part` takes the images between two fractions of their number; of a folder, of each class. `fit` says what becomes
    of images that are not square; see `sightline.data.pixels.fitted`.
    """

    source: str
    labels: str | None = None
    part: tuple[float, float] = (0.0, 1.0)
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        check_part(self.source, self.part)

    def files(self) -> list[Path]:
        """All files to be read, of a folder its classes mixed evenly; none whose name, or folder's, begins with a dot.

        Raises DataError for a folder without images.
        """
        path = resolve(self.source)
        if not path.is_dir():
            return [path, *([resolve(self.labels)] if self.labels else [])]
        found = [
            file
            for file in path.glob("*/**/*")
            if file.suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        if not found:
            raise DataError(f"{path}: no images ({', '.join(SUFFIXES)}) in folders named by their class")
        return _mixed(found, path)


def _mixed(files: Sequence[Path], folder: Path) -> list[Path]:
    """Files in an order whose every stretch has its share of every class."""
    by_class: dict[str, list[Path]] = {}
    for file in sorted(files):
        by_class.setdefault(file.relative_to(folder).parts[0], []).append(file)
    placed = [
        ((place + 0.5) / len(own), name, file) for name, own in by_class.items() for place, file in enumerate(own)
    ]
    return [file for _, _, file in sorted(placed)]


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

    Others are scaled to that size; see `sightline.data.pixels.fitted`.

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
        "fit": source.fit,
    }

    def write(folder: Path) -> dict[str, Any]:
        count, found, classes, labels = _read(path, files, source)
        kept = np.lib.format.open_memmap(
            folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(count, size, size, channels)
        )
        for number, image in enumerate(found()):
            kept[number] = fitted(image, size, channels, source.fit)
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
    if pixels.ndim not in (3, 4) or pixels.dtype != np.uint8 or not pixels.size:
        raise DataError(f"{path}: images are (N, Y, X) or (N, Y, X, C) bytes, not {pixels.shape} of {pixels.dtype}")
    if classes.shape != (len(pixels),) or classes.dtype.kind not in "iu" or classes.min() < 0:
        raise DataError(f"{path}: {len(pixels)} images, but classes are {classes.shape} of {classes.dtype}")
    if classes.max() >= _MOST_CLASSES:
        raise DataError(
            f"{path}: a class of number {classes.max():,}; they count from 0, up to {_MOST_CLASSES:,} of them"
        )
    labels = [str(number) for number in range(int(classes.max()) + 1)]
    return len(pixels), lambda: iter(pixels), classes.astype(np.int64), labels


def _arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if not hasattr(found, "files"):
                raise DataError(f"{path}: one array; name such a file .npy, and the file of its classes with labels")
            return [found[name] for name in names]
    except KeyError as error:
        raise DataError(f"{path}: has no array {error}; there must be {' and '.join(names)}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as NumPy arrays ({error})") from None


def _array(path: Path) -> np.ndarray:
    """A .npy file, or an IDX file: two zeros, the kind of number, how many axes, their lengths, the numbers."""
    if path.suffix == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
            if not hasattr(array, "ndim"):
                raise DataError(f"{path}: several arrays; name such a file .npz")
            return array
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
