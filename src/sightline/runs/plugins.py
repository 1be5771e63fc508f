"""A user's own tasks and models, in files of their own: loaded when the user says so, kept beside the runs they made.

A plug-in is code. Nothing that a run directory says ever loads one: only `--plugin`, the variable `SIGHTLINE_PLUGINS`
or an installed package does.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import logging
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from sightline.errors import CheckpointError, SightlineError, UsageError
from sightline.models.registry import EncoderDecoderSpec, LanguageModelSpec
from sightline.tasks.registry import TASKS, installed
from sightline.tasks.settings import RunSettings
from sightline.tasks.spec import TaskSpec
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


# Of this process, as `sys.modules` is: by their files, and what these held, by their names.
_LOADED: dict[Path, Plugin] = {}
_CONTENT: dict[str, bytes] = {}

AnySpec = LanguageModelSpec[Any] | EncoderDecoderSpec[Any]


def loaded_files() -> list[Path]:
    """The files of all plug-ins that this process has loaded, for another one that is to load them, too."""
    return list(_LOADED)


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
    if file.name in {one.name for one in _LOADED.values()}:
        raise UsageError(f"{path}: a plug-in called {file.name} is loaded already; give one of them another name")
    content = _content(file)
    module = _run(file)
    tasks: list[TaskSpec[Any]] = _listed(module, "TASKS", (TaskSpec,), path)
    models: list[AnySpec] = [
        *_listed(module, "LANGUAGE_MODELS", (LanguageModelSpec,), path),
        *_listed(module, "ENCODER_DECODERS", (EncoderDecoderSpec,), path),
    ]
    if not (tasks or models):
        raise UsageError(
            f"{path}: adds nothing; a plug-in has TASKS, LANGUAGE_MODELS or ENCODER_DECODERS, see docs/extending.md"
        )
    for model in models:
        model.register()
    for task in tasks:
        TASKS.add(task, str(path))
    if models:
        _rebuild_schemas()
    names, kinds = tuple(one.name for one in tasks), tuple(one.kind for one in models)
    plugin = Plugin(file.name, hashlib.sha256(content).hexdigest(), names, kinds)
    _LOADED[file], _CONTENT[plugin.name] = plugin, content
    return plugin


def _listed(module: ModuleType, name: str, kinds: tuple[type, ...], where: object) -> list[Any]:
    """The specifications in a list of a plug-in. Raises UsageError where it is no list of such."""
    found: object = vars(module).get(name, ())
    wanted = kinds[0].__name__
    if not isinstance(found, list | tuple):
        raise UsageError(f"{where}: {name} is a {type(found).__name__}; make it a list, as in {name} = [{wanted}(…)]")
    specifications = list(cast("Sequence[object]", found))
    for one in specifications:
        if not isinstance(one, kinds):
            raise UsageError(f"{where}: {name} holds {one!r}, which is no {wanted}; see docs/extending.md")
    return specifications


def _rebuild_schemas() -> None:
    """The fields that hold a model's sizes know the kinds that there were when they were made."""
    for task in TASKS.values():
        task.settings.model_rebuild(force=True)


@functools.cache
def load_installed_models() -> None:
    """Kinds of models that installed packages add, once; tasks of theirs are added as they are asked for.

    Raises UsageError naming the package where one cannot be imported, or adds something else.
    """
    found = list(installed(GROUP))
    for where, spec in found:
        if not isinstance(spec, LanguageModelSpec | EncoderDecoderSpec):
            raise UsageError(f"{where}: {spec!r} is no LanguageModelSpec or EncoderDecoderSpec; see docs/extending.md")
        cast("AnySpec", spec).register()
    if found:
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


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}); check the file") from None


def plugin_digests(settings: RunSettings) -> dict[str, str]:
    """SHA-256 of the plug-ins that a run of these settings cannot be used without, each as "plugins/NAME"."""
    return {f"plugins/{one.name}": one.sha256 for one in _LOADED.values() if one.made(settings)}


def keep_plugins(run: Run, settings: RunSettings) -> None:
    """Keeps in a run that begins the plug-ins that it cannot be used without: what they are, and a copy to be read.

    What an earlier start kept there, of another model, goes.
    """
    made = [one for one in _LOADED.values() if one.made(settings)]
    for name in {one.name for one in _kept(run)} - {one.name for one in made}:
        with storage.writing(run.plugins / name):
            (run.plugins / name).unlink(missing_ok=True)
    for one in made:
        with storage.writing(run.plugins):
            run.plugins.mkdir(exist_ok=True)
        storage.replace_file(run.plugins / one.name, [_CONTENT[one.name]])
    if made:
        run.write_text(run.plugin_list, json.dumps({"plugins": [asdict(one) for one in made]}, indent=1))
        return
    with storage.writing(run.plugin_list):
        run.plugin_list.unlink(missing_ok=True)
    with suppress(OSError):  # not there, or not empty
        run.plugins.rmdir()


def require_plugins(run: Run, what: str) -> None:
    """Warns, in one line, where a plug-in that made a run is another file now.

    Raises CheckpointError where one is not loaded; `what`: the task or model that it adds, for the message.
    """
    loaded = {one.name: one for one in _LOADED.values()}
    for one in _kept(run):
        copy = run.plugins / one.name
        if one.name not in loaded:
            raise CheckpointError(
                f"{run.config}: {what}: made with the plug-in {one.name}, which is not loaded; give --plugin "
                f"{one.name}, or call sightline.runs.plugins.load_plugin from Python (a copy lies in {copy}: it is "
                "code, read it before you run it)"
            )
        if one.sha256 and loaded[one.name].sha256 != one.sha256:
            _warn(f"{run.path}: was made with another {one.name} than the one that is loaded; compare it with {copy}")


@functools.cache
def _warn(line: str) -> None:
    """Says a line once in a process, however often the run is asked for."""
    logging.getLogger(__name__).warning("warning: %s", line)


@dataclass(frozen=True)
class _KeptPlugin:
    name: str
    sha256: str


def _kept(run: Run) -> list[_KeptPlugin]:
    """The plug-ins that a run was made with; none where the list is missing or damaged."""
    try:
        found = storage.read_json(run.path, run.plugin_list.name)["plugins"]
        return [_KeptPlugin(Path(str(one["name"])).name, str(one.get("sha256", ""))) for one in found]
    except (SightlineError, OSError, KeyError, TypeError, AttributeError):
        return []
