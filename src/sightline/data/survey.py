"""A quick look at data before any training: how much there is, and how a split would part it."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from sightline.data.compression import unpacked
from sightline.data.images import ImageSource, peek
from sightline.data.parquet import parquet_count
from sightline.data.records import is_parquet
from sightline.data.sources import Outline, Source, format_suffix, resolve
from sightline.data.splits import place, stratify, within
from sightline.data.text import is_blank
from sightline.errors import DataError, UsageError

SAMPLE = 1 << 24  # bytes that are looked at of a larger file
_PACKED = 1 << 12  # bytes of a packed file that are read at a time, to know how many made up the sample
# Each of the frequent words that fill so much of a vocabulary is one piece; others are one, and one more for so many
# bytes. Fitted to byte-level BPE of 2,000 and 8,000 pieces for English, German, French and Korean, of 345 to 29,000
# pairs: its tokens are told to 16 %, most to 8 %.
_WHOLE, _PIECE = 0.4, 3.5
_WORD = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True)
class Survey:
    """What there is of one source.

    Attributes:
        records: how many there are that are not blank. characters: of all their texts. columns: UTF-8 bytes of the
            first text of all records, of the second, and so on. sides: how many records lie between two of the cuts of
            a split. repeated: records whose key an earlier one has. unreadable: what is no record. whole: whether all
            was read; otherwise the numbers are those of a sample, as much larger as the files are.
        image: the height and width in pixels, and the channels, of images.
        lengths: (records, columns) of what was looked at, not of all: the UTF-8 bytes of each text. words: for each
            column, how often each word, as white space parts them, was found there.
    """

    records: int
    characters: int = 0
    columns: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()
    repeated: int = 0
    unreadable: int = 0
    whole: bool = True
    image: tuple[int, int] | None = None
    lengths: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64), compare=False, repr=False)
    words: tuple[Mapping[str, int], ...] = field(default=(), compare=False, repr=False)

    def pieces(self, vocab_size: int, *, shared: bool = True) -> tuple[float, ...]:
        """About how many tokens all texts of each column become with a vocabulary of subwords of this size, learned of
        all columns together or (not `shared`) of each."""
        counts = [_parted(one) for one in self.words]
        every = sum(counts, Counter[str]())
        found: list[float] = []
        for column, size, read in zip(counts, self.columns, self.lengths.sum(0), strict=True):
            frequent = (every if shared else column).most_common(int(_WHOLE * vocab_size))
            whole = {word for word, _ in frequent}
            number = sum(
                count * (1.0 if word in whole else 1 + len(word.encode("utf-8", "surrogatepass")) / _PIECE)
                for word, count in column.items()
            )
            found.append(number * size / max(1, int(read)))
        return tuple(found)


def _parted(words: Mapping[str, int]) -> Counter[str]:
    """Words without the marks that stand at them, and the marks."""
    found: Counter[str] = Counter()
    for word, count in words.items():
        for part in _WORD.findall(word):
            found[part] += count
    return found


def survey(source: Source, cuts: Sequence[float], files: Sequence[str] = ("source",)) -> Survey:
    """Looks at all of a source, or at the beginnings of files that are larger than `SAMPLE`.

    Args:
        cuts: rising fractions from 0 to 1 between which the sides of a split lie.
        files: the fields of `source` that name its files.

    Raises DataError or UsageError where it cannot be read at all.
    """
    with _beginning(source, files) as (beginning, share):
        read = bad = 0

        def count_bad(error: DataError) -> None:
            nonlocal bad
            bad += 1

        places: list[float] = []
        labels: list[str] = []
        characters = 0
        lengths: list[list[int]] = []
        words: list[Counter[str]] = [Counter()]
        outlines = beginning.outlines(count_bad)
        for outline in _up_to_sample(outlines) if share == 1.0 else outlines:
            read += 1
            if is_blank(outline.key):  # nothing is learned from it
                continue
            places.append(place(outline.key))
            labels.append(outline.label)
            characters += sum(map(len, outline.texts))
            lengths.append([len(text.encode("utf-8", "surrogatepass")) for text in outline.texts])
            words += (Counter() for _ in outline.texts[len(words) :])
            for counter, text in zip(words, outline.texts, strict=False):
                counter.update(text.split())
        columns = np.zeros((len(lengths), len(words)), dtype=np.int64)
        for row, one in zip(columns, lengths, strict=True):
            row[: len(one)] = one
        sizes = columns.sum(0).tolist()
        if characters >= SAMPLE and share == 1.0:  # of a folder, or a file, which has no beginning
            share = _share_read(source.files(), read + bad, sum(sizes))
    spread = stratify(places, labels) if source.stratified else places
    sides = [sum(within(one, side) for one in spread) for side in pairwise(cuts)]
    whole = share == 1.0

    def scaled(count: int) -> int:
        return count if whole else round(count / share)

    return Survey(
        scaled(len(places)),
        scaled(characters),
        tuple(map(scaled, sizes)),
        tuple(map(scaled, sides)),
        scaled(len(places) - len(set(places))),
        scaled(bad),
        whole,
        lengths=columns,
        words=tuple(words),
    )


def _share_read(files: Sequence[Path], records: int, size: int) -> float:
    """What share of files so many records are, which hold so many bytes of text."""
    if files and all(map(is_parquet, files)):
        return min(1.0, records / max(1, sum(map(parquet_count, files))))
    return min(1.0, size / max(1, sum(file.stat().st_size for file in files)))


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
    if not large or any(_has_no_beginning(path) for path in named.values()):
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
            suffix = format_suffix(named[name])
            kept = _first_lines(text, lines, quoted=suffix == ".csv")
            path = Path(folder) / f"{name}{suffix}"
            path.write_bytes(kept)
            update[name] = str(path)
            shares.append(share * len(kept) / len(text))
        try:
            yield source.model_copy(update=update), min(shares)
        except (DataError, UsageError) as error:
            told = str(error)
            for name, path in update.items():
                told = told.replace(path, str(named[name]))
            raise type(error)(told) from None


def _has_no_beginning(path: Path) -> bool:
    """Whether the first lines of a file are nothing by themselves, as those of one JSON value and of Parquet."""
    return format_suffix(path) == ".json" or is_parquet(path)


def _first_lines(text: bytes, count: int, quoted: bool) -> bytes:
    """So many lines, or fewer where the last would end inside a cell in quotes."""
    lines = text.split(b"\n", count)[:count]
    marks = list(accumulate(line.count(b'"') for line in lines)) if quoted else []
    # where there is no such place, a quote is never closed
    kept = next((end for end in range(len(marks), 0, -1) if marks[end - 1] % 2 == 0), len(lines))
    return b"".join(line + b"\n" for line in lines[:kept])


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
