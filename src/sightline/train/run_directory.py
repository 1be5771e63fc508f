"""A run directory: configuration, tokenizers, weights, checkpoints, metrics and the model card."""

from __future__ import annotations

import json
import math
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel
from safetensors import safe_open
from torch import Tensor

from sightline import config
from sightline.data.tokenizer import Tokenizer
from sightline.errors import CheckpointError, SightlineError, UsageError, nearest
from sightline.nn.ops import to_precision
from sightline.train import storage
from sightline.train.checkpoint import Checkpoints
from sightline.train.final import checkpoint_weights
from sightline.train.precision import resolve_device

Settings = TypeVar("Settings", bound=BaseModel)
MOST_EXAMPLE = 1 << 16  # bytes
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Run:
    """What lies in a run directory, and where.

    `config.toml` (complete), `tokenizer/NAME.json`, `model.safetensors` (fp32, the weights to use), `checkpoints/`
    (to go on from), `metrics.jsonl`, `README.md` (the model card), `manifest.json` (size and SHA-256 of what the
    model is used from), `.lock` (held while it is trained). Nothing in it is ever a pickle.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.tokenizers = self.path / "tokenizer"
        self.weights = self.path / "model.safetensors"
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.card = self.path / "README.md"
        self.manifest = self.path / storage.MANIFEST
        self.lock = self.path / ".lock"
        self.parent = self.path / "parent.json"
        self.outcome = self.path / "outcome.json"
        self.evaluations = self.path / "evaluations.json"
        self.example = self.path / "example.json"

    @property
    def exists(self) -> bool:
        return self.config.exists()

    @property
    def begun(self) -> bool:
        """Whether there is something that training has made."""
        return self.exists and (self.weights.exists() or any(self.checkpoints.glob("step-*")))

    @contextmanager
    def held(self) -> Iterator[None]:
        """For this process alone until the end of the block, however that comes, even killed; makes the directory.

        Raises UsageError where another process has it. On a file system without locks it is everyone's.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path}: is a file; choose another --run")
        lock, made = FileLock(self.lock, fallback_to_soft=False), not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with suppress(NotImplementedError):
                lock.acquire(blocking=False)
        except Timeout:
            raise UsageError(
                f"{self.path}: another process is training it; wait for that, or choose another --run"
            ) from None
        except OSError as error:
            raise SightlineError(f"{self.path}: cannot be written ({error.strerror})") from None
        try:
            yield
        finally:
            lock.release()
            if made and not self.others():  # nothing came of it
                shutil.rmtree(self.path, ignore_errors=True)

    def others(self) -> list[Path]:
        """What lies in the directory, but for its lock."""
        return [one for one in self.path.iterdir() if one != self.lock] if self.path.is_dir() else []

    def clear(self) -> None:
        """Removes all of it, but for its lock."""
        for one in self.others():
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one)
            else:
                one.unlink()

    def require(self) -> None:
        """Raises a one-line error where this is no run directory."""
        if self.exists:
            return
        if not self.path.exists():
            raise UsageError(f"{self.path}: no such run; `sightline train RECIPE --run {self.path}` makes one")
        if not self.path.is_dir():
            raise UsageError(f"{self.path}: is a file, not a run directory")
        raise UsageError(f"{self.path}: no run directory (config.toml is missing)")

    def read_config(self) -> dict[str, Any]:
        self.require()
        try:
            return tomllib.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CheckpointError(f"{self.config}: cannot be read ({error}); restore it from a copy") from None

    def settings(self, schema: type[Settings]) -> Settings:
        return config.validate(schema, self.read_config(), str(self.config), self.config.read_text(encoding="utf-8"))

    def write_config(self, settings: BaseModel) -> None:
        self.write_text(self.config, config.to_toml(settings))

    def save_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Writes the weights to use, and the manifest that proves them, the tokenizers and the configuration.

        Those that were trained in bf16 and have no fp32 masters become fp32.
        """
        low = PRECISIONS["bf16"]
        tensors = {name: tensor.float() if tensor.dtype == low else tensor for name, tensor in tensors.items()}
        whole = self.weights.with_name(self.weights.name + ".new")
        try:
            storage.write_file(whole, storage.safetensors_blocks(tensors))
            whole.replace(self.weights)
            used = [self.config, self.weights, *sorted(self.tokenizers.glob("*.json"))]
            entries = {str(file.relative_to(self.path)): storage.entry(file) for file in used}
        except OSError as error:
            raise SightlineError(f"{self.weights}: cannot be written ({error.strerror})") from None
        self.write_text(self.manifest, json.dumps({"files": entries}, indent=2))

    def verify(self) -> None:
        """Raises CheckpointError where a file the model is used from is missing or not what was written."""
        self.require()
        if not self.weights.exists():
            raise CheckpointError(
                f"{self.path}: not trained to the end yet (no {self.weights.name}); "
                f"`sightline train {self.config} --run {self.path}` goes on"
            )
        storage.verify_directory(self.path)

    def parameters(self) -> int:
        """How many numbers the weights to use are."""
        with safe_open(self.weights, framework="pt") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118

    def read_weights(self, update: int | None = None) -> dict[str, Tensor]:
        """The weights to use, by name, or those of the checkpoint of an update."""
        return storage.read_tensors(self.weights) if update is None else checkpoint_weights(self.path, update)

    def load_weights(self, model: torch.nn.Module, update: int | None = None) -> None:
        """Copies the weights into a model of the run's configuration, in fp32; tied ones are stored once."""
        names = model.state_dict(keep_vars=True).keys()
        buffers = {name: buffer for name, buffer in model.named_buffers() if name in names}
        storage.copy_tensors(self.read_weights(update), {**dict(model.named_parameters()), **buffers}, self.weights)

    @property
    def updates(self) -> list[int]:
        """After which updates there are checkpoints, oldest first."""
        return [checkpoint.update for checkpoint in Checkpoints(self.path).all()]

    @property
    def task(self) -> str:
        """What the model of the run has learned."""
        return str(self.read_config().get("task", "translation"))

    def require_task(self, task: str) -> None:
        """Raises UsageError where the run has learned another task."""
        if self.task != task:
            raise UsageError(
                f"{self.path}: a run of task {self.task}, not {task}; sightline.load() tells what it is for"
            )

    def load_tokenizers(self) -> dict[str, Tokenizer]:
        """The tokenizers of the run by name."""
        return {file.stem: Tokenizer.load(file) for file in sorted(self.tokenizers.glob("*.json"))}

    def ready_model(self, model: torch.nn.Module, precision: str, device: str, update: int | None = None) -> None:
        """Gives a model of the run's configuration the run's weights, for use in `precision` on `device`.

        Raises UsageError for a precision that there is not, CheckpointError for an `update` without a checkpoint.
        """
        if precision not in PRECISIONS:
            raise UsageError(f'precision: no such choice: "{precision}"{nearest(precision, PRECISIONS)}')
        self.load_weights(model, update)
        to_precision(model.to(resolve_device(device)), PRECISIONS[precision])

    def write_card(self, text: str) -> None:
        self.write_text(self.card, text)

    def weights_digest(self) -> str:
        """The SHA-256 of the weights to use, as the manifest has it."""
        return str(storage.read_json(self.manifest)["files"][self.weights.name]["sha256"])

    def read_example(self) -> list[str] | None:
        """An input of the validation data that training kept; None where there is none that can be read."""
        try:
            if self.example.is_symlink() or self.example.stat().st_size > MOST_EXAMPLE:
                return None
            inputs = json.loads(self.example.read_bytes())["inputs"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return inputs if type(inputs) is list and all(type(one) is str for one in inputs) else None

    def refuse_foreign(self) -> None:
        """Raises UsageError where this is no run directory and holds something that a start did not leave."""
        if not self.exists and any(one not in (self.tokenizers, self.parent) for one in self.others()):
            raise UsageError(f"{self.path}: a folder with other things in it; choose another --run")

    def write_text(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = path.with_name(path.name + ".new")
            whole.write_text(text, encoding="utf-8")
            whole.replace(path)
        except OSError as error:
            raise SightlineError(f"{path}: cannot be written ({error.strerror})") from None

    def check_changes(self, settings: BaseModel) -> bool:
        """Whether something that may change did. Raises UsageError where the run was started with another configuration, naming what changed."""
        # both complete, so that a key this version has and the run's did not stands at its default
        before = self.settings(type(settings)).model_dump(mode="json")
        changed = config.differences(before, settings.model_dump(mode="json"))
        if changed:
            shown = "; ".join(changed[:3]) + (f" (and {len(changed) - 3} more)" if len(changed) > 3 else "")
            raise UsageError(
                f"{self.path}: this run was started with another configuration: {shown}; "
                "give it again, choose another --run, or start over with --fresh"
            )
        return False

    def save_tokenizers(self, tokenizers: Mapping[str, Tokenizer]) -> None:
        """Writes the tokenizers of the run in place of any that are there."""
        for file in self.tokenizers.glob("*.json"):
            file.unlink()
        for name, tokenizer in tokenizers.items():
            try:
                self.tokenizers.mkdir(parents=True, exist_ok=True)
                tokenizer.save(self.tokenizers / f"{name}.json")
            except OSError as error:
                raise SightlineError(f"{self.tokenizers}: cannot be written ({error.strerror})") from None
