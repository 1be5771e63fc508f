"""A run directory: configuration, tokenizers, weights, checkpoints, metrics and the model card."""

from __future__ import annotations

import math
import shutil
import tomllib
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from filelock import Timeout
from pydantic import BaseModel
from torch import Tensor

from sightline import config
from sightline.data.locks import PATIENCE, acquire, lock_at
from sightline.data.tokenizer import Tokenizer
from sightline.errors import CheckpointError, SightlineError, UsageError, nearest
from sightline.nn.ops import to_precision
from sightline.train import extension, leftovers, manifest, model_loading, storage
from sightline.train.checkpoint import Checkpoints
from sightline.train.final import checkpoint_weights
from sightline.train.format_1 import upgrade_sizes
from sightline.train.identity import Identity
from sightline.train.manifest import Manifest
from sightline.train.precision import resolve_device
from sightline.train.storage import FileDigest

Settings = TypeVar("Settings", bound=BaseModel)
Model = TypeVar("Model", bound=torch.nn.Module)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
UPDATE = "update"  # in the manifest: after which update training had ended whose weights these are


class Run:
    """What lies in a run directory, and where.

    `config.toml` (complete), `tokenizer/NAME.json`, `model.safetensors` (fp32, the weights to use), `checkpoints/`
    (to go on from), `metrics.jsonl`, `README.md` (the model card), `manifest.json` (size and SHA-256 of what the
    model is used from), `.lock` (locked while it is trained). Nothing in it is ever a pickle, and nothing outside of it
    is read: a name or link that leads out of it is refused.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.tokenizers = self.path / "tokenizer"
        self.weights = self.path / "model.safetensors"
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.card = self.path / "README.md"
        self.manifest = self.path / manifest.MANIFEST
        self.lock = self.path / ".lock"
        self.parent = self.path / "parent.json"
        self.outcome = self.path / "outcome.json"
        self.evaluations = self.path / "evaluations.json"
        self.example = self.path / "example.json"
        self.plugins = self.path / "plugins"
        self.plugin_list = self.path / "plugins.json"

    @property
    def exists(self) -> bool:
        return self.config.exists()

    @property
    def has_training(self) -> bool:
        """Whether there is something that training has made."""
        return self.exists and (self.weights.exists() or bool(self.updates))

    @property
    def format(self) -> int:
        """The version of what its files mean: 1 of the first version of Sightline, which wrote none.

        Raises LaterVersionError where a later version made it.
        """
        return config.split_format(self._read_toml(), str(self.config))

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        """For this process alone until the end of the block, however that comes, even killed; makes the directory.

        Raises UsageError where another process has it. On a file system without locks it is everyone's.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path}: is a file; choose another run directory")
        lock, made = lock_at(self.lock), not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            acquire(lock, blocking=False, patience=PATIENCE)
        except Timeout:
            raise UsageError(
                f"{self.path}: another process is training it; wait for that, or choose another run directory"
            ) from None
        except OSError as error:
            raise SightlineError(f"{self.path}: cannot be written ({error.strerror})") from None
        try:
            yield
        finally:
            # nothing came of it; gone before another process can begin in it
            if made and not self.contents():
                shutil.rmtree(self.path, ignore_errors=True)
            lock.release()

    def contents(self) -> list[Path]:
        """What lies in the directory, but for its lock."""
        return [one for one in self.path.iterdir() if one != self.lock] if self.path.is_dir() else []

    def require_room(self, *, fresh: bool) -> None:
        """Raises UsageError where the directory is not a run's, or a run's without its configuration."""
        if self.exists:
            return
        foreign = leftovers.foreign(self.contents())
        if foreign is not None:
            raise UsageError(
                f"{self.path}: a folder with other things in it ({foreign.name}); choose another run directory"
            )
        if self.updates and not fresh:
            raise UsageError(
                f"{self.path}: has checkpoints and no {self.config.name}; restore it from a copy, or start over with "
                "fresh=True"
            )

    def make_room(self, *, fresh: bool) -> None:
        """Removes what killed processes left, and with `fresh` all there is; for the process that has it locked.

        Raises as `require_room` does.
        """
        self.require_room(fresh=fresh)
        if fresh or not self.exists:
            self.clear()
        else:
            manifest.remove_temporaries(self.path)

    def clear(self) -> None:
        """Removes all of it, but for its lock.

        In an order that a kill leaves a run that can go on or begin again: the configuration is the last to go.
        """
        first, last = (self.weights, self.manifest, self.checkpoints), self.config
        rest = [one for one in self.contents() if one not in (*first, last)]
        for one in (*first, *rest, last):
            with storage.writing(one):
                if one.is_dir() and not one.is_symlink():
                    manifest.remove_directory(one)
                elif one.is_symlink() or one.exists():
                    one.unlink()

    def require(self) -> None:
        """Raises a one-line error where this is no run directory."""
        if self.exists:
            return
        if not self.path.exists():
            raise UsageError(f"{self.path}: no such run; `sightline train RECIPE --run {self.path}` makes one")
        if not self.path.is_dir():
            raise UsageError(f"{self.path}: is a file, not a run directory")
        other = (self.path / "config.json").exists()  # how a folder of transformers begins
        hint = f"; `sightline import {self.path} --run RUN` makes a run of other toolkits' models" if other else ""
        raise UsageError(f"{self.path}: no run directory (config.toml is missing){hint}")

    def read_config(self) -> dict[str, Any]:
        """The keys of the configuration, those of format 1 by what they mean today.

        Raises:
            CheckpointError: where it cannot be read, is no regular file of the directory, or far too large.
            LaterVersionError: where a later version of Sightline wrote it.
        """
        values = self._read_toml()
        version = config.split_format(values, str(self.config))
        sizes = values.get("model", {})
        if not isinstance(sizes, dict):
            raise CheckpointError(f"{self.config}: model: not a table with keys; restore it from a copy")
        if version == 1 and sizes:
            values["model"] = upgrade_sizes(cast(dict[str, Any], sizes))
        return values

    def _read_toml(self) -> dict[str, Any]:
        self.require()
        try:
            return config.load_toml(self._config_text(), f"{self.config}: cannot be read", CheckpointError)
        except tomllib.TOMLDecodeError as error:
            raise CheckpointError(f"{self.config}: cannot be read ({error}); restore it from a copy") from None

    def _config_text(self) -> str:
        try:
            return storage.read_bytes(self.path, self.config.name).decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.config}: cannot be read ({error}); restore it from a copy") from None

    def settings(self, schema: type[Settings]) -> Settings:
        return config.validate(schema, self.read_config(), str(self.config), self._config_text())

    def write_config(self, settings: BaseModel, version: int = config.FORMAT) -> None:
        """Writes the configuration, and its entry in the manifest of a run that has one.

        A run that goes on keeps the `version` that it was begun with, for what its recipe leaves out.
        """
        text = f"{config.FORMAT_KEY} = {version}\n{config.to_toml(settings)}"
        proved = self._manifest() if self.weights.exists() else None
        if proved is None:
            self.write_text(self.config, text)
        else:
            self._replace({self.config.name: [text.encode()]}, proved, proved.notes)

    def save_weights(
        self, tensors: Mapping[str, Tensor], update: int | None = None, settings: BaseModel | None = None
    ) -> None:
        """Writes the weights to use, and the manifest that proves them, the tokenizers and the configuration.

        Those that were trained in bf16 and have no fp32 masters become fp32. `update` is noted as that after which
        training has ended; a run without it is one whose weights are still to be chosen. `settings` are those that the
        run was trained with: with them the configuration is checked before it is certified.

        Raises:
            SightlineError: where the file system refuses; the weights and the manifest are what they were.
            CheckpointError: where a tokenizer, or a setting that decides the weights, is no longer the one that the run
                was trained with.
        """
        low = PRECISIONS["bf16"]
        tensors = {name: tensor.float() if tensor.dtype == low else tensor for name, tensor in tensors.items()}
        self._require_trained_with(settings)
        before = self._manifest()
        with storage.writing(self.weights):
            used = (self.config, *self._tokenizer_files())
            files: dict[str, tuple[FileDigest, ...]] = {self._name(one): (storage.file_digest(one),) for one in used}
        if before is not None and self.weights.name in before.files:
            files[self.weights.name] = before.files[self.weights.name]
        notes = {} if update is None else {UPDATE: update}
        self._replace({self.weights.name: storage.safetensors_blocks(tensors)}, Manifest(files), notes)

    def note_update(self, update: int) -> None:
        """Notes in the manifest that the weights to use are those of a training that ended after this update."""
        proved = Manifest.read(self.path, config.FORMAT)
        Manifest(proved.files, config.FORMAT, {**proved.notes, UPDATE: update}).write(self.path)

    @property
    def trained_to(self) -> int | None:
        """After which update the training had ended whose weights are there to use; None where that is not known.

        A run of the first version cannot have gone on after it had ended.
        """
        proved = self._manifest() if self.weights.exists() else None
        if proved is None:
            return None
        if proved.format == 1:
            return max(self.updates, default=None)
        found = proved.notes.get(UPDATE)
        return found if type(found) is int else None

    def _manifest(self) -> Manifest | None:
        """The manifest; None where there is none that can be read."""
        try:
            return Manifest.read(self.path, config.FORMAT)
        except CheckpointError:
            return None

    def _replace(self, files: Mapping[str, manifest.Blocks], before: Manifest, notes: Mapping[str, Any]) -> None:
        manifest.replace_files(self.path, files, before, notes, config.FORMAT)

    def _name(self, file: Path) -> str:
        return file.relative_to(self.path).as_posix()

    def _tokenizer_files(self) -> list[Path]:
        return sorted(self.tokenizers.glob("*.json"))

    def verify(self) -> None:
        """Checks what the model is used from, but for the weights, which `read_weights` and `load_model` check.

        Raises CheckpointError where a file is missing, not what was written or not the run's.
        """
        proved = self._trained_manifest()
        listed = [name for name in proved.files if name != self.weights.name]
        proved.verify(self.path, dict.fromkeys([self.config.name, *listed]))
        for file in self._tokenizer_files():
            if self._name(file) not in proved.files:
                raise CheckpointError(f"{file}: does not belong to the run; remove it")

    def _trained_manifest(self) -> Manifest:
        self.require()
        if not self.weights.exists():
            raise CheckpointError(
                f"{self.path}: not trained to the end yet (no {self.weights.name}); "
                f"`sightline train {self.config} --run {self.path}` goes on"
            )
        return Manifest.read(self.path, config.FORMAT)

    def parameters(self) -> int:
        """How many numbers the weights to use are."""
        return sum(map(math.prod, storage.tensor_shapes(self.weights).values()))

    def read_weights(self, update: int | None = None) -> dict[str, Tensor]:
        """The weights to use, by name, or those of the checkpoint of an update: parts of the file, read as needed.

        Raises CheckpointError where they are missing or not what was written.
        """
        if update is not None:
            return checkpoint_weights(self.path, update)
        self._trained_manifest().verify(self.path, [self.weights.name])
        return storage.read_tensors(self.weights)

    def load_model(
        self, build: Callable[[], Model], precision: str = "fp32", device: str = "cpu", update: int | None = None
    ) -> Model:
        """The model that `build` makes of the run's configuration, with its weights, for use in `precision` on
        `device`.

        The weights are verified while the model is built, and mapped from the file instead of copied where `precision`
        and `device` are fp32 and the CPU. Those of the checkpoint of an `update` take the place of the final ones.

        Raises:
            UsageError: for a precision or device that there is not.
            CheckpointError: where there is no such checkpoint, or the weights are damaged or another model's.
        """
        if precision not in PRECISIONS:
            raise UsageError(f'precision: no such choice: "{precision}"{nearest(precision, PRECISIONS)}')
        there = resolve_device(device)
        if update is not None:
            model = model_loading.load_model(build, self.read_weights(update), Checkpoints(self.path).at(update).path)
        else:
            with ThreadPoolExecutor(1) as pool:
                proof = pool.submit(self.read_weights)
                try:
                    storage.require_inside(self.path, self.weights.name)
                    model = model_loading.load_model(build, storage.read_tensors(self.weights), self.weights)
                finally:
                    proof.result()  # a damaged file is said to be so, whatever it did to the model
        to_precision(model.to(there), PRECISIONS[precision])
        return model

    @property
    def updates(self) -> list[int]:
        """After which updates there are checkpoints, oldest first."""
        return [checkpoint.update for checkpoint in Checkpoints(self.path).all()]

    def load_tokenizers(self) -> dict[str, Tokenizer]:
        """The tokenizers of the run by name."""
        found: dict[str, Tokenizer] = {}
        for file in self._tokenizer_files():
            path = storage.require_inside(self.path, self._name(file))
            found[file.stem] = Tokenizer.load(path)
        return found

    def write_card(self, text: str) -> None:
        self.write_text(self.card, text)

    def remove_card(self) -> None:
        """Before what it tells of changes: one that is missing is written again, wherever a process is killed."""
        with storage.writing(self.card):
            self.card.unlink(missing_ok=True)

    def weights_digest(self) -> str:
        """The SHA-256 of the weights to use, as the manifest has it."""
        return Manifest.read(self.path, config.FORMAT).files[self.weights.name][0].sha256

    def write_text(self, path: Path, text: str) -> None:
        """Writes a file of the run in one step. Raises SightlineError where the file system refuses."""
        with storage.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        storage.replace_file(path, [text.encode()])

    def identity(self, settings: BaseModel | None = None) -> Identity:
        """What the run's checkpoints are tied to: the settings that decide the weights, and the tokenizers as they lie
        there."""
        files = {self._name(file): storage.file_digest(file).sha256 for file in self._tokenizer_files()}
        return Identity({} if settings is None else config.fixed_settings(settings), files)

    def _require_trained_with(self, settings: BaseModel | None) -> None:
        """Raises CheckpointError where a tokenizer is another one than the newest checkpoint was made with, or the
        configuration says another thing of the weights than `settings` do."""
        made_with = Checkpoints(self.path).identity()
        if made_with is not None:
            made_with.require_same(self.identity(), str(self.path))
        if settings is not None:
            now = Identity(config.fixed_settings(self.settings(type(settings))))
            Identity(config.fixed_settings(settings)).require_same(now, str(self.config))

    def refuse_changes(self, settings: BaseModel) -> list[config.Change]:
        """What is another than the run was started with and may be: limits that are raised, what weights do not depend
        on.

        Raises UsageError where anything else changed, naming it.
        """
        # both complete, so that a key this version has and the run's did not stands at its default
        before = self.settings(type(settings))
        problem = extension.refused(before, settings, Checkpoints(self.path).progress())
        if problem is not None:
            raise UsageError(f"{self.path}: {problem}choose another run directory, or start over with fresh=True")
        return config.changes(before, settings)

    def save_tokenizers(self, tokenizers: Mapping[str, Tokenizer]) -> None:
        """Writes the tokenizers of the run in place of any that are there."""
        for file in self._tokenizer_files():
            with storage.writing(file):
                file.unlink()
        for name, tokenizer in tokenizers.items():
            self.write_text(self.tokenizers / f"{name}.json", tokenizer.to_json())
