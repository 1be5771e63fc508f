"""Fetching the public data sets of the catalogue, each file verified by its SHA-256 before it is used."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import time
import zlib
from pathlib import Path

import platformdirs

from sightline.data.public_sets import PUBLIC_SETS, DataFile, DataSet
from sightline.errors import DataError, UsageError, nearest

DATA_VARIABLE = "SIGHTLINE_DATA"
CACHE_VARIABLE = "SIGHTLINE_CACHE"
_SECONDS_BETWEEN_TRIES = (1.0, 4.0)


def names() -> list[str]:
    """The names of all sets, sorted."""
    return sorted(PUBLIC_SETS)


def describe(name: str) -> DataSet:
    """What is known of a set: what it is, its licence, its files. Raises UsageError for an unknown name."""
    if name not in PUBLIC_SETS:
        raise UsageError(f'catalogue: no data set "{name}"{nearest(name, PUBLIC_SETS)}')
    return PUBLIC_SETS[name]


def default_cache_dir() -> Path:
    """Where fetched and prepared data is kept: SIGHTLINE_CACHE, or else the user's cache directory."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("sightline"))


def get(name: str, cache_dir: str | Path | None = None) -> Path:
    """The folder that holds every file of a set, fetched where needed and verified.

    A folder of that name under SIGHTLINE_DATA is used where it is there; otherwise the files are downloaded into
    `cache_dir`/data. Raises UsageError for an unknown set, DataError where a file cannot be had or is not the one
    the catalogue knows.
    """
    files = [get_file(name, file.name, cache_dir) for file in describe(name).files]
    return files[0].parent


def get_file(name: str, file_name: str, cache_dir: str | Path | None = None, fetch: bool = True) -> Path:
    """One file of a set, as `get`; its name may be given with or without .gz. The file may be either.

    Where it is not here and is not to be fetched, DataError is raised as well.
    """
    data_set = describe(name)
    by_plain_name = {_plain_name(file.name): file for file in data_set.files}
    if _plain_name(file_name) not in by_plain_name:
        hint = nearest(file_name, [file.name for file in data_set.files])
        raise UsageError(f'catalogue: {name} has no file "{file_name}"{hint}')
    file = by_plain_name[_plain_name(file_name)]
    own_data = os.environ.get(DATA_VARIABLE)
    if own_data and (Path(own_data) / name).is_dir():
        return _verified(_present(Path(own_data) / name, file, data_set), file)
    folder = Path(cache_dir or default_cache_dir()) / "data" / name
    for candidate in _spellings(folder, file):
        # A damaged copy in the cache is fetched again rather than complained of: it is ours to mend.
        if candidate.is_file() and _content_digest(candidate) == file.sha256:
            return candidate
    if not fetch:
        raise DataError(f"{name}:{file.name}: is not here; fetch it by sightline data get {name}")
    return _download(data_set, file, folder)


def _plain_name(file_name: str) -> str:
    return file_name.removesuffix(".gz")


def _spellings(folder: Path, file: DataFile) -> list[Path]:
    return [folder / file.name, folder / _plain_name(file.name), folder / (_plain_name(file.name) + ".gz")]


def _present(folder: Path, file: DataFile, data_set: DataSet) -> Path:
    for candidate in _spellings(folder, file):
        if candidate.is_file():
            return candidate
    raise DataError(f"{folder}: {file.name} is missing; put it there, from {file.address or data_set.homepage}")


def _verified(path: Path, file: DataFile) -> Path:
    found = _content_digest(path)
    if found != file.sha256:
        raise DataError(f"{path}: not the file the catalogue knows ({_difference(found, file)}); restore the original")
    return path


def _difference(found: str, file: DataFile) -> str:
    return f"SHA-256 of its content {found[:12]}…, not {file.sha256[:12]}…"


def _content_digest(path: Path) -> str:
    """SHA-256 of what the file holds once unpacked: one text packed twice gives two files but one content."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            with gzip.GzipFile(fileobj=file) if packed else file as content:
                while block := content.read(1 << 20):
                    digest.update(block)
    except (EOFError, zlib.error, OSError) as error:
        return f"unreadable: {error}"
    return digest.hexdigest()


def _download(data_set: DataSet, file: DataFile, folder: Path) -> Path:
    where = f"{data_set.name}:{file.name}"
    if file.address is None:
        raise DataError(
            f"{where}: has no public address of its own; make it from {data_set.homepage} and put it under "
            f"${DATA_VARIABLE}/{data_set.name}"
        )
    failure = "no answer"
    for pause in (*_SECONDS_BETWEEN_TRIES, 0.0):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
                fetched = _fetched(file.address, Path(temporary))
                found = _content_digest(fetched)
                if found == file.sha256:
                    return _kept(fetched, folder, file)
            failure = _difference(found, file)
        except (OSError, ValueError) as error:  # Connection and HTTP errors are OSErrors, a malformed address is not.
            failure = " ".join(str(error).split())
        time.sleep(pause)
    raise DataError(
        f"{where}: cannot be fetched from {file.address} ({failure}); "
        f"try again, or put it under ${DATA_VARIABLE}/{data_set.name}"
    )


def _fetched(address: str, folder: Path) -> Path:
    import pooch  # Here, not above: it is slow to import, and most commands fetch nothing.

    path = folder / "fetched"
    pooch.HTTPDownloader(timeout=30)(address, str(path), None)
    return path


def _kept(fetched: Path, folder: Path, file: DataFile) -> Path:
    """Moves a verified file to its place, in one step; its name says whether it is packed."""
    packed = fetched.read_bytes()[:2] == b"\x1f\x8b"
    name = _plain_name(file.name) + (".gz" if packed else "")
    os.replace(fetched, folder / name)
    return folder / name
