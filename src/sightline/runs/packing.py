"""A run as one file to hand over: what it is used from, without checkpoints; proved when it is opened."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sightline.errors import CheckpointError, DataError, UsageError
from sightline.train import storage
from sightline.train.run_directory import Run

# All that a packed run may hold, by name. The first are what it is used from, which its manifest proves.
_NEEDED = ("config.toml", "manifest.json", "model.safetensors")
_MORE = ("README.md", "confidence.json", "evaluations.json", "example.json", "metrics.jsonl", "outcome.json",
         "parent.json", "plugins.json")  # fmt: skip
_IN_FOLDERS = re.compile(r"tokenizer/[\w.-]+\.json|plugins/[\w.-]+\.py")
_LONGEST_TEXT = 1 << 30
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same run is the same file


def pack_run(path: str | Path, file: str | Path) -> int:
    """Writes a run as a .zip whose files are stored as they are; how many bytes it has.

    Raises:
        UsageError: where there is something at `file`, or no run at `path`.
        CheckpointError: where the run is not trained to the end, or damaged.
        SightlineError: where the file cannot be written.
    """
    run, goal = Run(path), Path(file)
    if goal.exists():
        raise UsageError(f"{file}: is there already; choose another name, or remove it first")
    run.verify()
    run.read_weights()
    inside = [one.relative_to(run.path).as_posix() for one in sorted(run.path.glob("*/*"))]
    names = [name for name in (*_NEEDED, *_MORE) if (run.path / name).exists()]
    names += [name for name in inside if _IN_FOLDERS.fullmatch(name)]
    temporary = goal.with_name(f"{storage.TEMPORARY}{secrets.token_hex(8)}")
    with storage.writing(goal):
        try:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
                for name in names:
                    entry = zipfile.ZipInfo(name, _EPOCH)
                    entry.external_attr = 0o644 << 16
                    entry.file_size = (run.path / name).stat().st_size
                    source = storage.require_inside(run.path, name)
                    with source.open("rb") as read, archive.open(entry, "w") as written:
                        shutil.copyfileobj(read, written, 1 << 20)
            os.replace(temporary, goal)
        finally:
            temporary.unlink(missing_ok=True)
    return goal.stat().st_size


def unpack_run(file: str | Path, path: str | Path) -> Run:
    """Makes a run directory of what `pack_run` wrote, once all of it is proved.

    Raises:
        UsageError: where there is something at `path`, or no file.
        DataError: where the file is no packed run: names that lead out of it or that a run does not have, entries that
            are links, packed, doubled or larger than the file.
        CheckpointError: where what the model is used from is missing or not what was written.
    """
    packed = Path(file)
    if not packed.is_file():
        raise UsageError(f"{file}: no such file; `sightline pack RUN {file}` writes one")
    if Path(path).exists():
        raise UsageError(f"{path}: is there already; choose another run directory")
    try:
        with zipfile.ZipFile(packed) as archive, making(Path(path)) as run:
            for entry in _entries(archive, packed):
                target = run.path / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as read, target.open("wb") as written:
                    shutil.copyfileobj(read, written, 1 << 20)
            try:
                run.verify()
                run.read_weights()
            except CheckpointError as error:
                raise CheckpointError(str(error).replace(str(run.path), str(file))) from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{file}: no packed run, or damaged ({error}); fetch it again") from None
    return Run(path)


def _entries(archive: zipfile.ZipFile, file: Path) -> list[zipfile.ZipInfo]:
    """The files in an archive, all of them ones that a packed run has. Raises DataError."""
    entries, names = archive.infolist(), set[str]()
    for entry in entries:
        name = entry.filename
        known = name in (*_NEEDED, *_MORE) or _IN_FOLDERS.fullmatch(name)
        if not known or stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(f"{file}: {name!r} is nothing that a packed run has; nothing was unpacked")
        if name in names:
            raise DataError(f"{file}: {name} stands in it twice; nothing was unpacked")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise DataError(f"{file}: {name} is compressed, as in no packed run; nothing was unpacked")
        if name != "model.safetensors" and entry.file_size > _LONGEST_TEXT:
            raise DataError(f"{file}: {name} has {entry.file_size:,} bytes, as in no packed run; nothing was unpacked")
        names.add(name)
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise DataError(f"{file}: its files are larger than it is; nothing was unpacked")
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise DataError(f"{file}: no packed run ({missing[0]} is missing); `sightline pack RUN` writes one")
    return entries


@contextmanager
def making(path: Path) -> Generator[Run, None, None]:
    """A run that is made beside `path` and renamed to it at the end of the block: nobody sees, or locks, half of it.

    Raises UsageError where something has come to lie at `path` meanwhile.
    """
    beside = Run(path.with_name(f"{storage.TEMPORARY}{secrets.token_hex(8)}"))
    try:
        with storage.writing(path):
            beside.path.mkdir(parents=True)
        yield beside
        try:
            if path.exists():
                path.rmdir()
            beside.path.rename(path)
        except OSError:
            raise UsageError(f"{path}: is there already; choose another run directory") from None
    finally:
        shutil.rmtree(beside.path, ignore_errors=True)
