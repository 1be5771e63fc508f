"""Runs that are served: each loaded, with its engine, and what may be asked of it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sightline.errors import UsageError, nearest
from sightline.loading import load
from sightline.run import VERBS
from sightline.serve.engine import Engine
from sightline.serve.example import read_example
from sightline.serve.jobs import Searcher
from sightline.serve.metrics import Metrics
from sightline.train.precision import resolve_device

SCORING = ("translation", "language")  # tasks whose runs tell how probable a given text is
SEARCHERS: dict[str, Callable[[Any], Searcher]] = {
    "translation": lambda model: Searcher(
        model.new_search,
        lambda search, jobs: model.prefill(search, [job.source for job in jobs], [job.sentence for job in jobs]),
    ),
    "language": lambda model: Searcher(
        model.new_search, lambda search, jobs: model.prefill(search, [job.sentence for job in jobs])
    ),
}
# On Apple's GPUs the process can die where several threads compute (PyTorch issue 197805).
_METAL = threading.Lock()
KEPT_CHECKPOINTS = 4  # in memory


class UnknownModelError(UsageError):
    """No model has the name."""


class ServedModel:
    """One run under a name, with the thread that computes for it."""

    def __init__(self, name: str, path: str, metrics: Metrics, *, device: str, slots: int, waiting: int) -> None:
        """Raises SightlineError where the run cannot be loaded."""
        self.name = name
        self.predictor: Any = load(path, device=device)
        run = self.predictor.run
        self.task: str = run.task
        # what the directory says is read once: it may be moved or removed while its model is served
        self._parameters, self._created = run.parameters(), int(run.weights.stat().st_mtime)
        self.example = read_example(run.path)
        searcher = SEARCHERS[self.task](self.predictor) if self.task in SEARCHERS else None
        exclusive = _METAL if resolve_device(device) == "mps" else None
        self.engine = Engine(name, metrics, searcher, slots=slots, waiting=waiting, exclusive=exclusive)
        self._device = device
        self._others: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def verbs(self) -> tuple[str, ...]:
        """What may be asked of it: its own verb; scores; and a look inside, where it is a network."""
        scores = ("score",) if self.task in SCORING else ()
        inside = () if getattr(self.predictor.settings.model, "kind", "") == COUNTED else ("attention",)
        return (VERBS[self.task], *scores, *inside)

    @property
    def attends(self) -> bool:
        """Whether there is attention to be seen: in a Transformer of any kind, or a recurrent decoder that has some."""
        sizes = self.predictor.settings.model
        return hasattr(sizes, "num_heads") or getattr(sizes, "attention", "none") != "none"

    @property
    def languages(self) -> list[str]:
        """Of a translation: from which, into which."""
        data = self.predictor.settings.data
        return [data.source_language, data.target_language] if self.task == "translation" else []

    @property
    def texts(self) -> int:
        """How many texts one record has."""
        return 2 if self.task == "question_answering" else getattr(self.predictor.settings, "texts", 1)

    def at(self, update: int | None) -> Any:
        """The run, or what it was at a checkpoint. Raises UsageError for one that was not kept."""
        if update is None:
            return self.predictor
        known = self.checkpoints
        if update not in known:
            raise UsageError(f"checkpoint: there is none of update {update}{nearest(str(update), map(str, known))}")
        with self._lock:
            if update not in self._others:
                self._others[update] = load(self.predictor.run.path, device=self._device, update=update)
                while len(self._others) > KEPT_CHECKPOINTS:
                    self._others.popitem(last=False)
            self._others.move_to_end(update)
            return self._others[update]

    @property
    def checkpoints(self) -> list[int]:
        """After which updates there are checkpoints to look into; none where the directory is gone."""
        try:
            return self.predictor.run.updates
        except OSError:
            return []

    @property
    def readiness(self) -> dict[str, Any]:
        """Whether it computes what is asked, and why not; and whether its directory is there, to read checkpoints."""
        problem = self.engine.problem
        return {"ready": problem is None, "problem": problem, "directory": self.predictor.run.exists}

    def about(self) -> dict[str, Any]:
        """What a client may want to know of it."""
        settings: Any = self.predictor.settings
        return {
            "id": self.name,
            "object": "model",
            "created": self._created,
            "owned_by": "sightline",
            "task": self.task,
            "kind": getattr(settings.model, "kind", self.task),
            "attends": self.attends,
            "verbs": self.verbs,
            "parameters": self._parameters,
            "languages": self.languages,
            "texts": self.texts,
            "image": self.task == "image_classification",
            "checkpoints": self.checkpoints,
            "example": self.example,
        }


class Models:
    """The runs that are served, by name."""

    def __init__(self, paths: Sequence[str], metrics: Metrics, *, device: str, slots: int, waiting: int) -> None:
        """Names are those of the directories; a second one of a name gets a number. Raises SightlineError."""
        self.metrics = metrics
        self.by_name: dict[str, ServedModel] = {}
        for path in paths:
            name = base = Path(os.path.abspath(path)).name
            number = 1
            while name in self.by_name:
                number += 1
                name = f"{base}-{number}"
            self.by_name[name] = ServedModel(name, path, metrics, device=device, slots=slots, waiting=waiting)

    def start(self) -> None:
        for one in self.by_name.values():
            one.engine.start()

    def close(self) -> None:
        """Finishes what is being computed."""
        for one in self.by_name.values():
            one.engine.close()

    def unknown(self, name: str) -> UnknownModelError:
        return UnknownModelError(f'model: there is no "{name[:100]}"{nearest(name, self.by_name)}')

    def pick(self, name: str | None, verb: str, fits: Callable[[ServedModel], bool] = lambda one: True) -> ServedModel:
        """The model of a name; or the first that does what is asked, of those that the request `fits` where there are
        any. Raises UsageError where there is none."""
        if name is not None and name not in self.by_name:
            raise self.unknown(name)
        able = [one for one in self.by_name.values() if verb in one.verbs and name in (None, one.name)]
        if not able:
            who = f'"{name}" does' if name else "no model here does"
            what = f"; it can: {', '.join(self.by_name[name].verbs)}" if name else ""
            raise UsageError(f"model: {who} not {verb}{what}")
        return next(filter(fits, able), able[0])
