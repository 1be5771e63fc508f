"""The checkpoints of a run: which there are, which one to go on from, which to keep."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from sightline.errors import CheckpointError, require_format
from sightline.train import manifest, storage
from sightline.train.identity import Identity
from sightline.train.manifest import Manifest
from sightline.train.progress import Progress

FOLDER = "checkpoints"
PREFIX = "step-"
STATE = "state.json"
FORMAT = 1
# Files of a checkpoint, without their ending.
WEIGHTS, OPTIMIZER, GENERATORS, AVERAGE, CARRIED = "weights", "optimizer", "generators", "average", "carried"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Checkpoint:
    """A directory `step-N`: `state.json`, safetensors files, and the manifest that proves them."""

    path: Path
    update: int

    @classmethod
    def called(cls, path: Path) -> Checkpoint | None:
        """What a directory is by its name, not proved; None where it is called something else, or is none."""
        number = path.name.removeprefix(PREFIX)
        named = path.name.startswith(PREFIX) and number.isdecimal() and path.is_dir()
        return cls(path, int(number)) if named else None

    def verify(self, names: Collection[str] | None = None) -> None:
        """Checks `state.json` and the tensor files of these names; by default all that are there, the weights at least.

        Raises:
            CheckpointError: naming the first file that is missing or not what was written.
            LaterVersionError: where a later version of Sightline wrote it.
        """
        listed = Manifest.read(self.path, FORMAT)
        wanted = listed.files if names is None else ()
        required = [STATE, *(self.file(name).name for name in ((WEIGHTS,) if names is None else names))]
        listed.verify(self.path, dict.fromkeys([*required, *wanted]))

    def state(self) -> dict[str, Any]:
        """`state.json`.

        Raises:
            CheckpointError: where it is not that of a checkpoint.
            LaterVersionError: where it is of a format that this version cannot read.
        """
        path, found = self.path / STATE, storage.read_json(self.path, STATE)
        state = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if type(state.get("format")) is not int:
            raise CheckpointError(f"{path}: damaged (not the state of a run)")
        require_format(path, state["format"], FORMAT)
        return state

    def file(self, name: str) -> Path:
        """The path of `NAME.safetensors`."""
        return self.path / f"{name}.safetensors"

    def has(self, name: str) -> bool:
        """Whether `NAME.safetensors` was written with it."""
        return self.file(name).name in Manifest.read(self.path, FORMAT).files

    def tensors(self, name: str) -> dict[str, Tensor]:
        """All tensors of `NAME.safetensors`."""
        return storage.read_tensors(self.file(name))


class Checkpoints:
    """The checkpoints of one run directory.

    Periodic ones are kept up to a number; any other (the best so far, that of an interruption) while it is protected
    or the newest.
    """

    def __init__(self, run_dir: Path, keep: int = 3, report: Report = lambda line: None) -> None:
        """`keep` counts periodic checkpoints; `report` gets lines of warning."""
        self.folder = run_dir / FOLDER
        self._keep = keep
        self._report = report

    def remove_leftovers(self) -> None:
        """Removes what interrupted saves left. Only for the process that trains: another's save may be under way."""
        manifest.remove_temporaries(self.folder)

    def remove(self) -> None:
        """Removes all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def all(self) -> list[Checkpoint]:
        """What lies there, oldest first, proved or not."""
        found = filter(None, map(Checkpoint.called, self.folder.glob(f"{PREFIX}*")))
        return sorted(found, key=lambda one: one.update)

    def identity(self) -> Identity | None:
        """What the newest one was made with; None where there is none, or it does not tell.

        Raises CheckpointError where it is damaged.
        """
        found = self.all()
        return Identity.of_state(found[-1].state(), str(found[-1].path)) if found else None

    def progress(self) -> Progress | None:
        """How far the newest one is whose state can be read; None where there is none."""
        for checkpoint in reversed(self.all()):
            with suppress(CheckpointError):
                return Progress.from_json(checkpoint.state(), str(checkpoint.path))
        return None

    def at(self, update: int) -> Checkpoint:
        """The checkpoint of an update, not proved yet. Raises CheckpointError where there is none."""
        checkpoint = Checkpoint(self.folder / f"{PREFIX}{update}", update)
        if not checkpoint.path.is_dir():
            kept = ", ".join(f"{one.update:,}" for one in self.all()) or "none"
            raise CheckpointError(f"{checkpoint.path}: no such checkpoint; kept of updates: {kept}")
        return checkpoint

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is proved; None where there are none at all.

        Each damaged one is reported in a line that names the file, and the one before is tried.

        Raises:
            CheckpointError: where there are checkpoints and all are damaged.
            LaterVersionError: where a later version of Sightline wrote the newest one that is not damaged.
        """
        problem: CheckpointError | None = None
        for checkpoint in reversed(self.all()):
            try:
                checkpoint.verify()
                checkpoint.state()
                return checkpoint
            except CheckpointError as error:
                problem = problem or error
                self._report(f"warning: {error}; going back to the checkpoint before")
        if problem is not None:
            raise CheckpointError(
                f"{self.folder}: every checkpoint is damaged, the newest: {problem}; "
                "remove the folder to begin again, or restore it from a copy"
            )
        return None

    def save(self, update: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> Checkpoint:
        """Writes `step-UPDATE` atomically and proves it. `tensors` maps file names to their tensors.

        Raises:
            CheckpointError: where it cannot be written; earlier checkpoints are untouched.
        """
        target = Checkpoint(self.folder / f"{PREFIX}{update}", update)
        files = {f"{name}.safetensors": storage.safetensors_blocks(content) for name, content in tensors.items()}
        files[STATE] = storage.json_blocks({"format": FORMAT, **state})
        manifest.write_directory(target.path, files)
        return target

    def prune(self, newest: int, is_periodic: Callable[[int], bool], protected: Iterable[int]) -> None:
        """Removes what is older than `newest`, but for the protected and the last `keep` periodic checkpoints."""
        present = [checkpoint.update for checkpoint in self.all() if checkpoint.update <= newest]
        periodic = [update for update in present if is_periodic(update)]
        for update in sorted(set(present) - {newest, *periodic[-self._keep :], *protected}):
            manifest.remove_directory(self.folder / f"{PREFIX}{update}")
