"""A quick look at data before any training: how much there is, and how a split would part it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sightline.data.compression import unpacked
from sightline.data.images import ImageSource, peek
from sightline.data.sources import Outline, Source, resolve
from sightline.data.splits import place, stratify, within
from sightline.data.text import is_blank
from sightline.errors import DataError

SAMPLE = 1 << 24  # bytes that are looked at of a larger file
_PACKED = 1 << 12  # bytes of a packed file that are read at a time, to know how many made up the sample
_JSON = ".json"  # one value, of which no beginning can be read


@dataclass(frozen=True)
class Survey:
    """What there is of one source.

    Attributes:
        records: how many there are that are not blank. characters: of all their texts. columns: UTF-8 bytes of the
            first text of all records, of the second, and so on. sides: how many records lie between two of the cuts of
            a split. repeated: records whose key an earlier one has. unreadable: what is no record. whole: whether all
            was read; otherwise the numbers are those of a sample, as much larger as the files are.
        image: the height and width in pixels, and the channels, of images.
    """

    records: int
    characters: int = 0
    columns: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()
    repeated: int = 0
    unreadable: int = 0
    whole: bool = True
    image: tuple[int, int] | None = None


def survey(source: Source, cuts: Sequence[float], files: Sequence[str] = ("source",)) -> Survey:
    """Looks at all of a source, or at the beginnings of files that are larger than `SAMPLE`.

    Args:
        cuts: rising fractions from 0 to 1 between which the sides of a split lie.
        files: the fields of `source` that name its files.

    Raises DataError or UsageError where it cannot be read at all.
    """
    with _beginning(source, files) as (beginning, share):
        bad = 0

        def count_bad(error: DataError) -> None:
            nonlocal bad
            bad += 1

        places: list[float] = []
        labels: list[str] = []
        characters, columns = 0, [0]
        outlines = beginning.outlines(count_bad)
        for outline in _up_to_sample(outlines) if share == 1.0 else outlines:
            if is_blank(outline.key):  # nothing is learned from it
                continue
            places.append(place(outline.key))
            labels.append(outline.label)
            columns += [0] * (len(outline.texts) - len(columns))
            for number, text in enumerate(outline.texts):
                characters += len(text)
                columns[number] += len(text.encode("utf-8", "surrogatepass"))
        if characters >= SAMPLE and share == 1.0:  # of a folder, which has no beginning
            share = min(1.0, sum(columns) / max(1, sum(file.stat().st_size for file in source.files())))
    spread = stratify(places, labels) if source.stratified else places
    sides = [sum(within(one, side) for one in spread) for side in pairwise(cuts)]
    whole = share == 1.0

    def scaled(count: int) -> int:
        return count if whole else round(count / share)

    return Survey(
        scaled(len(places)),
        scaled(characters),
        tuple(map(scaled, columns)),
        tuple(map(scaled, sides)),
        scaled(len(places) - len(set(places))),
        scaled(bad),
        whole,
    )


def _up_to_sample(outlines: Iterator[Outline]) -> Iterator[Outline]:
    """As many as hold `SAMPLE` characters, and one more."""
    held = 0
    for one in outlines:
        yield one
        held += sum(map(len, one.texts))
        if held >= SAMPLE:
            return


def survey_images(source: ImageSource, cuts: Sequence[float], files: Sequence[str] = ()) -> Survey:
    """How many images there are, and the size that half of a few of them have or more; that of the smaller side."""
    count, shapes = peek(source)
    image = None
    if shapes:
        least = sorted(min(shape[:2]) for shape in shapes)
        image = least[len(least) // 2], max(shape[2] if len(shape) > 2 else 1 for shape in shapes)
    sides = tuple(round(count * (high - low)) for low, high in pairwise(cuts))
    return Survey(count, sides=sides, image=image)


@contextmanager
def _beginning(source: Source, fields: Sequence[str]) -> Iterator[tuple[Source, float]]:
    """A source whose files hold the first lines of larger ones, as many of each; and the share that these are."""
    files = source.files()  # none of what comes with the package
    given = [(name, spec) for name in fields if isinstance(spec := getattr(source, name, None), str)]
    named = {name: resolve(spec) for name, spec in given if files}
    large = [path for path in named.values() if path.is_file() and path.stat().st_size > SAMPLE // 8]
    if not large or any(path.suffix == _JSON for path in named.values()):
        yield source, 1.0
        return
    heads = {name: _head(path) for name, path in named.items()}
    lines = min(text.count(b"\n") for text, _ in heads.values())
    if not lines or all(share == 1.0 for _, share in heads.values()):
        yield source, 1.0
        return
    with tempfile.TemporaryDirectory() as folder:
        update: dict[str, str] = {}
        shares: list[float] = []
        for name, (text, share) in heads.items():
            kept = b"".join(line + b"\n" for line in text.split(b"\n", lines)[:lines])
            suffixes = [one for one in named[name].suffixes if one not in (".gz", ".zst")]
            path = Path(folder) / f"{name}{''.join(suffixes[-1:])}"
            path.write_bytes(kept)
            update[name] = str(path)
            shares.append(share * len(kept) / len(text))
        yield source.model_copy(update=update), min(shares)


def _head(path: Path) -> tuple[bytes, float]:
    """The first `SAMPLE` bytes of a file, unpacked, and what share of it they are."""
    read, held = 0, 0
    found: list[bytes] = []

    def counted(next_block: Callable[[], bytes]) -> Iterator[bytes]:
        nonlocal read
        while block := next_block():
            read += len(block)
            yield block

    with path.open("rb") as file:
        for block in unpacked(counted(lambda: file.read(_PACKED)), str(path), path.suffix):
            found.append(block)
            held += len(block)
            if held >= SAMPLE:
                return b"".join(found), min(1.0, read / path.stat().st_size)
    return b"".join(found), 1.0
