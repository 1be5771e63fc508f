"""The checkpoints of a run: which there are, which one to go on from, which to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sightline.errors import CheckpointError
from sightline.train import storage

FOLDER = "checkpoints"
PREFIX = "step-"
STATE = "state.json"
FORMAT = 1
Report = Callable[[str], None]


@dataclass(frozen=True)
class Checkpoint:
    """A directory `step-N`: `state.json`, safetensors files, and the manifest that proves them."""

    path: Path
    update: int

    def verify(self) -> None:
        """Raises CheckpointError naming the first file that is not what was written."""
        storage.verify_directory(self.path)

    def state(self) -> dict[str, Any]:
        """`state.json`. Raises CheckpointError where it is of a format this version cannot read."""
        state = storage.read_json(self.path / STATE)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise CheckpointError(f"{self.path / STATE}: not of format {FORMAT}; another version of Sightline wrote it")
        return state

    def file(self, name: str) -> Path:
        """The path of `NAME.safetensors`."""
        return self.path / f"{name}.safetensors"

    def has(self, name: str) -> bool:
        return self.file(name).exists()

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

    def clean(self) -> None:
        """Removes what interrupted saves left. Only for the process that trains: another's save may be under way."""
        storage.clean(self.folder)

    def all(self) -> list[Checkpoint]:
        """What lies there, oldest first, proved or not."""
        numbered = {
            int(path.name.removeprefix(PREFIX)): path
            for path in self.folder.glob(f"{PREFIX}*")
            if path.name.removeprefix(PREFIX).isdecimal() and path.is_dir()
        }
        return [Checkpoint(numbered[update], update) for update in sorted(numbered)]

    def at(self, update: int) -> Checkpoint:
        """The checkpoint of an update. Raises CheckpointError where there is none, or it is damaged."""
        checkpoint = Checkpoint(self.folder / f"{PREFIX}{update}", update)
        if not checkpoint.path.is_dir():
            kept = ", ".join(f"{one.update:,}" for one in self.all()) or "none"
            raise CheckpointError(f"{checkpoint.path}: no such checkpoint; kept of updates: {kept}")
        checkpoint.verify()
        return checkpoint

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is proved; None where there are none at all.

        Each damaged one is reported in a line that names the file, and the one before is tried.

        Raises:
            CheckpointError: where there are checkpoints and all are damaged.
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
        storage.write_directory(target.path, files)
        return target

    def prune(self, newest: int, is_periodic: Callable[[int], bool], protected: Iterable[int]) -> None:
        """Removes what is older than `newest`, but for the protected and the last `keep` periodic checkpoints."""
        present = [checkpoint.update for checkpoint in self.all() if checkpoint.update <= newest]
        periodic = [update for update in present if is_periodic(update)]
        for update in sorted(set(present) - {newest, *periodic[-self._keep :], *protected}):
            storage.remove_directory(self.folder / f"{PREFIX}{update}")
