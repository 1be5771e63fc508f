"""Sources of data: what a configuration says of one is what its reader takes. Their files, identity and parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from sightline.config import Frozen
from sightline.data import catalogue
from sightline.data.splits import Split, rising
from sightline.data.text import read_text_lines
from sightline.errors import DataError, SightlineError, UsageError
from sightline.jsonio import Json

T = TypeVar("T")

EMBEDDED = "embedded:ko-en/"
Column = int | str

Part = Annotated[
    tuple[float, float],
    AfterValidator(rising("part")),
    Field(description="[from, to]: only what lies between these two fractions of the source"),
]
WHOLE: tuple[float, float] = (0.0, 1.0)
_READ_WHOLE = (".json", ".parquet")


@dataclass(frozen=True)
class Outline:
    """A record as far as splits and sizes depend on it.

    Attributes:
        key: what records on two sides of a split do not share. texts: all its texts. label: its class, if it has one.
    """

    key: str
    texts: tuple[str, ...]
    label: str = ""


class Source(Frozen):
    """A place that records are read from.

    Any file may be compressed (.gz, .zst) or one of the catalogue: "multi30k:train.en.gz".
    """

    source: str = Field(description='a file, a file of the catalogue ("multi30k:train.en.gz"), or what the kind says')
    split: Split = None

    # fields that change no record: names of files, as opposed to the options that do
    unidentifying: ClassVar[frozenset[str]] = frozenset({"source"})
    stratified: ClassVar[bool] = False  # whether a split gives each class its share

    @classmethod
    def from_arguments(cls, **values: str | float | None) -> Self:
        """The source of these fields. Raises UsageError, one line, where they do not go together."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            reason = first.get("ctx", {}).get("error") or f"{values.get('source')}: {first['msg']}"
            raise UsageError(str(reason)) from None

    def files(self) -> list[Path]:
        """The files to be read; one of the catalogue is fetched where it is not here.

        Raises UsageError for an unknown set or file name in the catalogue, DataError where it cannot be had.
        """
        return [resolve(self.source)]

    def content_id(self) -> Json:
        """What the records depend on: the content of the files and how it is read, not names, times or weights."""
        files: list[Json] = [[file_digest(path), *path.suffixes[-2:]] for path in self.files()]
        return {"files": files, "options": self.model_dump(mode="json", exclude={*self.unidentifying, *self._unsplit})}

    @property
    def _unsplit(self) -> set[str]:
        """What is no option where all records are taken: an identity from before there were splits stays the same."""
        return {"split"} if self.split is None else set()

    @property
    def reading_size(self) -> int | None:
        """Bytes of the files, as they lie there, where records come one after the other as those are read; None where
        all is read before the first record, or nobody knows."""
        spread = self.stratified and self.split is not None
        if spread or getattr(self, "part", WHOLE) != WHOLE:
            return None
        try:
            files = self.files()
            if not files or any(not one.is_file() or format_suffix(one) in _READ_WHOLE for one in files):
                return None
            return sum(one.stat().st_size for one in files)
        except (SightlineError, OSError):
            return None

    def outlines(self, bad: Callable[[DataError], None]) -> Iterator[Outline]:
        """All records as training reads them, of all parts and splits. `bad` is told of what is no record, and the next
        one follows. Raises DataError where none can. Nothing of a source that does not say."""
        return iter(())

    def notices(self) -> list[str]:
        """Lines on how the source is read that its user should see, such as that its first line is no record."""
        return []


def resolve(spec: str, fetch: bool = True) -> Path:
    """The file behind a path or a catalogue name with a file ("multi30k:train.en.gz").

    Raises UsageError for an unknown set or file name in the catalogue, DataError where it cannot be had, or is not here
    and is not to be fetched.
    """
    name, colon, file = spec.partition(":")
    # One letter before a colon is a Windows drive.
    if not colon or len(name) < 2 or "/" in name or "\\" in name or Path(spec).exists():
        return Path(spec)
    return catalogue.get_file(name, file, fetch=fetch)


def format_suffix(path: Path) -> str:
    """The suffix that says what is in a file, in small letters, whatever it is compressed by."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst")]
    return suffixes[-1] if suffixes else ""


def read_lines(spec: str | Path) -> Iterator[str]:
    """The lines of one plain text file, as `read_text_lines`; `spec` may name a catalogue file."""
    return read_text_lines(resolve(str(spec)))


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a directory; name a file in it") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def take_part(records: Iterable[T], part: tuple[float, float]) -> Iterable[T]:
    """The records between two fractions of their number; they are held in memory where that is not all of them."""
    if part == WHOLE:
        return records
    whole = list(records)
    low, high = (int(len(whole) * fraction) for fraction in part)
    return whole[low:high]
