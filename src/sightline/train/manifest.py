"""Directories whose files are proved by a manifest: size and SHA-256 of each, and the version of their format."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline.errors import CheckpointError, require_format
from sightline.train import storage
from sightline.train.storage import TEMPORARY, FileDigest

MANIFEST = "manifest.json"
Blocks = Iterable[bytes | memoryview]


@dataclass(frozen=True)
class Manifest:
    """What is known of the files of one directory.

    Attributes:
        files: for each name what its content may be: one digest, or several while it is being replaced.
        format: version of the directory's layout and of what its files mean; 1 where none is written.
        notes: further keys, JSON values.
    """

    files: Mapping[str, tuple[FileDigest, ...]]
    format: int = 1
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def read(cls, directory: Path, newest: int) -> Manifest:
        """The manifest of a directory.

        Raises:
            LaterVersionError: where its format is later than `newest`.
            CheckpointError: where it is missing or damaged.
        """
        path = directory / MANIFEST
        content = storage.read_json(directory, MANIFEST)
        try:
            version = int(content.get("format", 1))
            require_format(path, version, newest)
            files = {name: _digests(entry) for name, entry in content["files"].items()}
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
            raise CheckpointError(f"{path}: damaged (not a manifest)") from None
        return cls(files, version, {key: one for key, one in content.items() if key not in ("files", "format")})

    def write(self, directory: Path) -> None:
        """Puts it into the directory. Raises SightlineError where the file system refuses."""
        storage.replace_file(directory / MANIFEST, storage.json_blocks(self.to_json()))

    def to_json(self) -> dict[str, Any]:
        return {"format": self.format, **self.notes, "files": {name: _entry(one) for name, one in self.files.items()}}

    def verify(self, directory: Path, names: Collection[str]) -> None:
        """Checks size and SHA-256 of the files named.

        Raises CheckpointError naming the first one that is not listed, is missing, leads out of the directory, or is
        of another size or content.
        """
        for name in names:
            if name not in self.files:
                raise CheckpointError(f"{directory / MANIFEST}: damaged ({name} is not listed)")
            path = storage.require_inside(directory, name)
            expected = self.files[name]
            try:
                size = path.stat().st_size
                if all(size != one.size for one in expected):
                    raise CheckpointError(f"{path}: damaged ({size:,} bytes, not {expected[0].size:,})")
                if storage.file_digest(path) not in expected:
                    raise CheckpointError(f"{path}: damaged (its content is not what was written)")
            except OSError as error:
                raise CheckpointError(f"{path}: cannot be read ({error.strerror}); try again") from None


def _digests(entry: Any) -> tuple[FileDigest, ...]:
    both = [entry, *entry.get("or", [])]
    return tuple(FileDigest(int(one["size"]), str(one["sha256"])) for one in both)


def _entry(digests: tuple[FileDigest, ...]) -> dict[str, Any]:
    first, *others = [{"size": one.size, "sha256": one.sha256} for one in digests]
    return first | ({"or": others} if others else {})


def replace_files(
    directory: Path, files: Mapping[str, Blocks], before: Manifest, notes: Mapping[str, Any], version: int
) -> None:
    """Replaces files of a directory together with their entries in its manifest; others are as they were.

    Until all are replaced the manifest lists both contents of each, and those that earlier calls were killed at, so
    that the directory can be verified at every instant, wherever and however often the process is killed.

    Raises SightlineError where the file system refuses.
    """
    new: dict[str, FileDigest] = {}
    for name, blocks in files.items():
        with storage.writing(directory / name):
            new[name] = storage.write_temporary(directory / name, blocks)
    old = before.files
    both = {name: tuple(dict.fromkeys([digest, *old.get(name, ())])) for name, digest in new.items()}
    Manifest({**old, **both}, version, before.notes).write(directory)
    for name in files:
        with storage.writing(directory / name):
            storage.move_into_place(directory / name)
    Manifest({**old, **{name: (digest,) for name, digest in new.items()}}, version, notes).write(directory)


def write_directory(target: Path, files: Mapping[str, Blocks]) -> None:
    """Writes `files` and their manifest as the directory `target`, in one step as seen from outside.

    Everything goes to a temporary sibling first, is flushed to the device and read back; then the sibling is renamed
    and its parent flushed. At every instant `target` is what it was, or absent, or complete. The directory that holds
    `target` is made where it is missing, but none above that.

    Raises:
        CheckpointError: where the file system refuses; the temporary directory is removed then.
    """
    temporary = target.with_name(TEMPORARY + target.name)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        temporary.mkdir()
        manifest = Manifest({name: (storage.write_file(temporary / name, blocks),) for name, blocks in files.items()})
        storage.write_file(temporary / MANIFEST, storage.json_blocks(manifest.to_json()))
        storage.sync_directory(temporary)
        manifest.verify(temporary, manifest.files.keys())
        aside = set_aside(target) if target.exists() else None
        os.rename(temporary, target)
        storage.sync_directory(target.parent)
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"{target}: cannot be written ({error.strerror or error}); make room or mend the permissions and run the "
            "same command again, which goes on from the checkpoint before"
        ) from error
    except CheckpointError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_directory(target: Path) -> None:
    """Removes a directory so that an interruption leaves none that looks complete."""
    shutil.rmtree(set_aside(target), ignore_errors=True)


def remove_temporaries(parent: Path) -> None:
    """Removes what interrupted writes and removals left in `parent`."""
    for leftover in parent.glob(TEMPORARY + "*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def set_aside(target: Path) -> Path:
    """Renames a directory so that it counts as removed; its new path."""
    aside = target.with_name(f"{TEMPORARY}old-{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(target, aside)
    return aside
