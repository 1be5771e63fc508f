"""What a start that was killed leaves in a run directory without a configuration, told from what is somebody else's."""

from __future__ import annotations

from pathlib import Path

from sightline.data.tokenizer import FILE_NAME, Tokenizer
from sightline.errors import CheckpointError, DataError, LaterVersionError
from sightline.train import storage
from sightline.train.checkpoint import FOLDER, FORMAT, Checkpoint
from sightline.train.manifest import Manifest

# What the first version called unfinished files.
_FORMER_TEMPORARIES = ("config.toml.new", "manifest.json.new", "model.safetensors.new", "README.md.new", "metrics.tmp")
# What lies beside checkpoints alone: a start writes none of it before the configuration.
_BESIDE_CHECKPOINTS = ("plugins", "plugins.json", "metrics.jsonl", "tensorboard", "example.json", "evaluations.json",
                       "confidence.json", "outcome.json", "mlflow-run.txt")  # fmt: skip
_PARENT_KEYS = {"path", "task", "model", "tokenizer"}


def foreign(contents: list[Path]) -> Path | None:
    """The first of a directory's contents that no run without a configuration would have there; None where all is a
    run's. Names prove nothing: what lies in a folder must be what a run writes."""
    checkpoints = next((one for one in contents if one.name == FOLDER), None)
    trained = checkpoints is not None and _holds_checkpoints(checkpoints)
    return next((one for one in contents if not _is_leftover(one, trained)), None)


def _is_leftover(path: Path, trained: bool) -> bool:
    if path.name.startswith(storage.TEMPORARY) or path.name in _FORMER_TEMPORARIES:
        return True
    if path.name == FOLDER:
        return trained or _is_empty(path)
    if path.name == "tokenizer":
        return _holds_tokenizers(path)
    if path.name == "parent.json":
        return _is_parent(path)
    return trained and path.name in _BESIDE_CHECKPOINTS


def _rest(folder: Path) -> list[Path]:
    """What lies in a folder beside unfinished files; the folder itself where it is none."""
    if not folder.is_dir() or folder.is_symlink():
        return [folder]
    return [one for one in folder.iterdir() if not one.name.startswith(storage.TEMPORARY)]


def _is_empty(folder: Path) -> bool:
    return not _rest(folder)


def _holds_checkpoints(folder: Path) -> bool:
    """Whether there are checkpoints in a folder, and nothing else."""
    found = _rest(folder)
    return bool(found) and all(Checkpoint.called(one) is not None and _has_manifest(one) for one in found)


def _has_manifest(folder: Path) -> bool:
    try:
        return bool(Manifest.read(folder, FORMAT).files)
    except LaterVersionError:
        return True
    except CheckpointError:
        return False


def _holds_tokenizers(folder: Path) -> bool:
    """Whether a folder holds a run's tokenizers and nothing else; one saved by hand has a name of its own."""
    try:
        return all(
            one.name != FILE_NAME and one.suffix == ".json" and bool(Tokenizer.load(one)) for one in _rest(folder)
        )
    except DataError:
        return False


def _is_parent(file: Path) -> bool:
    try:
        found = storage.read_json(file.parent, file.name)
    except CheckpointError:
        return False
    return isinstance(found, dict) and found.keys() == _PARENT_KEYS
