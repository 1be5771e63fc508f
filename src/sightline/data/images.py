"""Images with a class each: read from folders, IDX and NumPy files, cached as bytes and mapped into memory."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from lzma import LZMAError
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, ClassVar

import numpy as np
from pydantic import Field

from sightline.config import Frozen
from sightline.data import prepared
from sightline.data.compression import HARMLESS_BYTES, MAX_RATIO, file_blocks
from sightline.data.pixels import SUFFIXES, Fit, fitted, open_image
from sightline.data.progress import READING, ProgressReporter, Report, silent
from sightline.data.sources import WHOLE, Outline, Part, Source, file_digest, resolve
from sightline.data.splits import Fractions, place, stratify, within
from sightline.data.text import BadRecord, refuse
from sightline.errors import DataError, UsageError
from sightline.jsonio import Json

_MOST_CLASSES = 30_000  # by number: more are no classes but something else


class ImageSource(Source):
    """Where images and their classes come from.

    - a folder: each folder in it is a class, with the images of that class in it or below;
    - an IDX file (LeCun's MNIST, .gz accepted) and one of their classes, `labels`;
    - NumPy: a .npz with "images" and "labels", or two .npy files; images are (N, Y, X) or (N, Y, X, C) bytes.

    `part` takes the images between two fractions of their number; of a folder, of each class. Equal images are on one
    side of a `split`, and each class is on every side.
    """

    source: str = Field(description="a folder with a folder for each class, or an IDX or NumPy file")
    labels: str | None = Field(default=None, description="the file of the classes of an IDX or .npy file")
    part: Part = WHOLE

    stratified: ClassVar[bool] = True

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

    def whole_id(self) -> dict[str, Json]:
        """What all images depend on: the files' content and, of a folder, their names, which tell the classes."""
        path, files = resolve(self.source), self.files()
        names: list[Json] = [str(file.relative_to(path)) for file in files] if path.is_dir() else []
        return {"files": [[file_digest(file), file.suffix] for file in files], "names": names}

    def outlines(self, bad: BadRecord = refuse) -> Iterator[Outline]:
        """The images, each of them opened, by nothing but their classes."""
        return (Outline("", (), name) for _, (_, name) in read_numbered_images(self, bad))

    def content_id(self) -> Json:
        """What the images of the part and the split depend on."""
        part: dict[str, Json] = {} if self.part == WHOLE else {"part": list(self.part)}
        split: dict[str, Json] = {} if self.split is None else {"split": list(self.split)}
        return {**self.whole_id(), **part, **split}


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


class _ImageNotes(Frozen):
    """What is in a cached folder of images: the names of the classes."""

    names: tuple[str, ...]


def read_images(
    source: ImageSource,
    size: int,
    channels: int,
    cache_dir: str | Path | None = None,
    *,
    fit: Fit = "crop",
    report: Report = silent,
) -> Images:
    """The images of a source, `size` × `size` pixels of `channels`, from the cache where they were read before.

    Others are scaled to that size, and those that are not square fitted: see `sightline.data.pixels.fitted`.

    Raises DataError for what cannot be read, holds no image, or has not one class for each.
    """

    def write(folder: Path) -> _ImageNotes:
        count, found, classes, names = _read(source)
        pixels = np.lib.format.open_memmap(
            folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(count, size, size, channels)
        )
        progress = ProgressReporter(report, READING, "images", total=count)
        for number, image in enumerate(found()):
            pixels[number] = fitted(image, size, channels, fit)
            progress(number + 1)
        pixels.flush()
        np.save(folder / "classes.npy", classes)
        return _ImageNotes(names=tuple(names))

    def read(home: Path, notes: _ImageNotes) -> Images:
        pixels, classes = np.load(home / "pixels.npy", mmap_mode="r"), np.load(home / "classes.npy")
        return Images(pixels, classes, notes.names)

    made_from: dict[str, Json] = {"images": source.whole_id(), "shape": [size, size, channels], "fit": fit}
    options: dict[str, Any] = {"cache_dir": cache_dir, "report": report}
    whole = prepared.cached("images", made_from, _ImageNotes, write, read, **options)
    split = source.split
    if split is None:
        return whole.part(*source.part)
    part = whole.part(*source.part)
    made_from |= {"part": list(source.part), "split": list(split)}
    return prepared.cached(
        "images", made_from, _ImageNotes, lambda folder: _write_split(folder, part, split), read, **options
    )


def read_numbered_images(source: ImageSource, bad: BadRecord = refuse) -> Iterator[tuple[int, tuple[np.ndarray, str]]]:
    """All images as they are, of all parts and splits, with their classes' names; numbers, from 1, are those of files
    of a folder or of rows. `bad` is told of a file that cannot be opened, and the next one follows."""
    path = resolve(source.source)
    if not path.is_dir():
        _, found, classes, names = _read(source)
        yield from (
            (number, (image, names[one])) for number, (image, one) in enumerate(zip(found(), classes, strict=True), 1)
        )
        return
    for number, file in enumerate(source.files(), 1):
        for image in _opened([file], bad):
            yield number, (image, file.relative_to(path).parts[0])


def peek(source: ImageSource, most: int = 16) -> tuple[int, list[tuple[int, ...]]]:
    """How many images a source has, and the shapes of a few of them from all over it.

    Raises DataError for what cannot be read.
    """
    files = source.files()
    if resolve(source.source).is_dir():
        few = files[:: max(1, len(files) // most)][:most]
        return len(files), [one.shape for one in _opened(few, lambda error: None)]
    count, found, _, _ = _read(source)
    return count, [one.shape for one in islice(found(), 1)]


def _write_split(folder: Path, images: Images, split: Fractions) -> _ImageNotes:
    """Those of a split: in a file of their own, as they lie here and there."""
    places = stratify(
        [place(np.asarray(image).tobytes()) for image in images.pixels],
        [images.names[number] for number in images.classes],
    )
    rows = [row for row, number in enumerate(places) if within(number, split)]
    if not rows:
        raise DataError(f"split {list(split)}: none of {len(images):,} images; make it wider")
    shape = (len(rows), *images.pixels.shape[1:])
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    for number, row in enumerate(rows):
        pixels[number] = images.pixels[row]
    pixels.flush()
    np.save(folder / "classes.npy", images.classes[rows])
    return _ImageNotes(names=images.names)


Found = tuple[int, Callable[[], Iterator[np.ndarray]], np.ndarray, list[str]]


def _read(source: ImageSource) -> Found:
    """How many images there are, the images, their classes, and the names of those."""
    path, files = resolve(source.source), source.files()
    if path.is_dir():
        folders = [file.relative_to(path).parts[0] for file in files]
        labels = sorted(set(folders))
        classes = np.array([labels.index(one) for one in folders], dtype=np.int64)
        return len(files), lambda: _opened(files), classes, labels
    if path.suffix == ".npz":
        pixels, classes = _arrays(path, ("images", "labels"))
    elif not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")
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


def _opened(files: Sequence[Path], bad: BadRecord = refuse) -> Iterator[np.ndarray]:
    for file in files:
        try:
            yield open_image(file)
        except DataError as error:
            bad(error)


_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"  # how one array, and an archive of several, begin
# What numpy and zipfile raise for a damaged file; RuntimeError for one that is encrypted or packed in an unknown way.
_UNREADABLE = (
    OSError, ValueError, EOFError, RuntimeError, SyntaxError, TokenError, zipfile.BadZipFile, zlib.error, LZMAError,
)  # fmt: skip


@contextmanager
def _numpy_file(path: Path) -> Generator[IO[bytes], None, None]:
    """An open file that holds NumPy's arrays. Raises DataError, one line, for whatever is wrong with them."""
    try:
        with path.open("rb") as file:
            yield file
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as NumPy arrays ({reason}); write it again") from None


def _begins(file: IO[bytes]) -> bytes:
    found = file.read(len(_NPY))
    file.seek(0)
    return found


def _arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of a .npz file."""
    with _numpy_file(path) as file:
        if _begins(file) == _NPY:
            raise DataError(f"{path}: one array; name such a file .npy, and the file of its classes with labels")
        with zipfile.ZipFile(file) as archive:
            members = {one.filename: one for one in archive.infolist()}
            packed, size = (sum(column) for column in zip((0, 0), *_sizes(archive), strict=True))
            if size > HARMLESS_BYTES and size > MAX_RATIO * packed:
                raise DataError(f"{path}: unpacks to more than {MAX_RATIO} times its size, which no images do")
            missing = [name for name in names if f"{name}.npy" not in members]
            if missing:
                raise DataError(f"{path}: has no array {missing[0]!r}; there must be {' and '.join(names)}")
            found: list[np.ndarray] = []
            for name in names:
                with archive.open(f"{name}.npy") as member:
                    found.append(_read_npy(member, members[f"{name}.npy"].file_size))
            return found


def _sizes(archive: zipfile.ZipFile) -> list[tuple[int, int]]:
    return [(one.compress_size, one.file_size) for one in archive.infolist()]


def _read_npy(file: IO[bytes], size: int) -> np.ndarray:
    """An array of `size` bytes, header included. Raises ValueError where its header says something else."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never read")
    # before memory of that size is asked for
    if math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"{shape} of {dtype} announced, and {size - file.tell():,} bytes are there")
    return np.frombuffer(file.read(), dtype).reshape(shape, order="F" if columns_first else "C")


def _array(path: Path) -> np.ndarray:
    """A .npy file, or an IDX file: two zeros, the kind of number, how many axes, their lengths, the numbers."""
    if path.suffix == ".npy":
        with _numpy_file(path) as file:
            if _begins(file).startswith(_ZIP):
                raise DataError(f"{path}: several arrays; name such a file .npz")
            return _read_npy(file, path.stat().st_size)
    try:
        data = b"".join(file_blocks(path))
        zero, kind, axes = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
        if zero or kind != 8:
            raise ValueError("it does not begin as one of bytes does")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (ValueError, struct.error) as error:
        raise DataError(f"{path}: not an IDX file ({error})") from None
