"""A user's own tasks and models, in files of their own: loaded when the user says so, kept beside the runs they made.

A plug-in is code. Nothing that a run directory says ever loads one: only `--plugin`, the variable `SIGHTLINE_PLUGINS`
or an installed package does.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import sys
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from sightline.errors import SightlineError, UsageError
from sightline.tasks.registry import TASKS
from sightline.tasks.settings import RunSettings
from sightline.train import storage
from sightline.train.run_directory import Run

GROUP = "sightline.models"  # of entry points; each gives a LanguageModelSpec or an EncoderDecoderSpec
VARIABLE = "SIGHTLINE_PLUGINS"  # paths, separated as those of PATH are


@dataclass(frozen=True)
class Plugin:
    """One file that was loaded: its name, the SHA-256 of its content, the tasks and kinds of models it adds."""

    name: str
    sha256: str
    tasks: tuple[str, ...]
    models: tuple[str, ...]

    def made(self, settings: RunSettings) -> bool:
        """Whether a run of these settings cannot be used without it."""
        return settings.task in self.tasks or settings.model.kind in self.models


_LOADED: dict[Path, Plugin] = {}  # of this process, as `sys.modules` is


def load_plugin(path: str | Path) -> Plugin:
    """Runs a plug-in's file, whose TASKS, LANGUAGE_MODELS and ENCODER_DECODERS (lists of their specifications) can be
    used from then on.

    Raises UsageError where there is no such file, it fails, adds nothing, or a name that is taken.
    """
    file = Path(path).resolve()
    if file in _LOADED:
        return _LOADED[file]
    if file.suffix != ".py" or not file.is_file():
        raise UsageError(f"{path}: no plug-in; name a Python file")
    module = _run(file)
    tasks, language, translation = (
        tuple(getattr(module, name, ())) for name in ("TASKS", "LANGUAGE_MODELS", "ENCODER_DECODERS")
    )
    if not (tasks or language or translation):
        raise UsageError(
            f"{path}: adds nothing; a plug-in has TASKS, LANGUAGE_MODELS or ENCODER_DECODERS, see docs/extending.md"
        )
    for spec in (*language, *translation):
        spec.register()
    for spec in tasks:
        TASKS.add(spec, str(path))
    if language or translation:
        _rebuild_schemas()
    kinds = tuple(spec.kind for spec in (*language, *translation))
    plugin = Plugin(file.name, _digest(file), tuple(spec.name for spec in tasks), kinds)
    _LOADED[file] = plugin
    return plugin


def _rebuild_schemas() -> None:
    """The fields that hold a model's sizes know the kinds that there were when they were made."""
    for task in TASKS.values():
        task.settings.model_rebuild(force=True)


@functools.cache
def load_installed_models() -> None:
    """Kinds of models that installed packages add, once; tasks of theirs are added as they are asked for."""
    points = entry_points(group=GROUP)
    for point in points:
        point.load().register()
    if points:
        _rebuild_schemas()


def _run(file: Path) -> ModuleType:
    name = f"sightline_plugin_{file.stem}"
    about = importlib.util.spec_from_file_location(name, file)
    if about is None or about.loader is None:
        raise UsageError(f"{file}: cannot be loaded as Python")
    module = importlib.util.module_from_spec(about)
    # dataclasses and pydantic look their module up by name
    sys.modules[name] = module
    try:
        about.loader.exec_module(module)
    except SightlineError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        del sys.modules[name]
        raise UsageError(f"{file}:{lines[-1] if lines else 1}: {type(error).__name__}: {error}") from error
    return module


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def keep_plugins(run: Run, settings: RunSettings) -> None:
    """Keeps in a run the plug-ins that it cannot be used without: what they are, and a copy to be read."""
    made = {path: one for path, one in _LOADED.items() if one.made(settings)}
    if not made:
        return
    run.plugins.mkdir(exist_ok=True)
    for path, one in made.items():
        run.write_text(run.plugins / one.name, path.read_text(encoding="utf-8"))
    run.write_text(run.plugin_list, json.dumps({"plugins": [asdict(one) for one in made.values()]}, indent=1))


def missing_plugin(run: Run) -> str:
    """What to say of a run that needs a plug-in that is not loaded; nothing where it needs none."""
    names = [name for name in _kept(run) if name not in {one.name for one in _LOADED.values()}]
    if not names:
        return ""
    return (
        f"made with the plug-in {names[0]}, which is not loaded; give --plugin {names[0]} "
        f"(a copy lies in {run.plugins / names[0]}: it is code, read it before you run it)"
    )


def _kept(run: Run) -> Iterable[str]:
    try:
        found = storage.read_json(run.path, run.plugin_list.name)["plugins"]
        return [Path(str(one["name"])).name for one in found]
    except (SightlineError, OSError, KeyError, TypeError):
        return []
