"""Runs that are served: each loaded, with its engine, and what may be asked of it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sightline.errors import UsageError, nearest
from sightline.runs.loading import load, spec_of
from sightline.serve.engine import Engine, Searcher
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


class Served:
    """One run under a name, with the thread that computes for it."""

    def __init__(self, name: str, path: str, metrics: Metrics, *, device: str, slots: int, waiting: int) -> None:
        """Raises SightlineError where the run cannot be loaded."""
        self.name = name
        self.ready: Any = load(path, device=device)
        self.task = self.ready.run.task
        searcher = SEARCHERS[self.task](self.ready) if self.task in SEARCHERS else None
        turns = _METAL if resolve_device(device) == "mps" else None
        self.engine = Engine(name, metrics, searcher, slots=slots, waiting=waiting, turns=turns)
        self.example: list[str] = []
        self._device = device
        self._others: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def verbs(self) -> tuple[str, ...]:
        """What may be asked of it: its own verb; scores; and a look inside, where it is a network."""
        spec = spec_of(self.ready.run)
        return (spec.verb, *spec.verbs, *(("attention",) if self.ready.inspectable else ()))

    @property
    def attends(self) -> bool:
        """Whether there is attention to be seen: in a Transformer of any kind, or a recurrent decoder that has some."""
        sizes = self.ready.settings.model
        return hasattr(sizes, "num_heads") or getattr(sizes, "attention", "none") != "none"

    @property
    def languages(self) -> list[str]:
        """Of a translation: from which, into which."""
        data = self.ready.settings.data
        return [data.source_language, data.target_language] if self.task == "translation" else []

    @property
    def texts(self) -> int:
        """How many texts one record has."""
        return 2 if self.task == "question_answering" else getattr(self.ready.settings, "texts", 1)

    def at(self, update: int | None) -> Any:
        """The run, or what it was at a checkpoint. Raises UsageError for one that was not kept."""
        if update is None:
            return self.ready
        known = self.ready.run.updates
        if update not in known:
            raise UsageError(f"checkpoint: there is none of update {update}{nearest(str(update), map(str, known))}")
        with self._lock:
            if update not in self._others:
                self._others[update] = load(self.ready.run.path, device=self._device, update=update)
                while len(self._others) > KEPT_CHECKPOINTS:
                    self._others.popitem(last=False)
            self._others.move_to_end(update)
            return self._others[update]

    def about(self) -> dict[str, Any]:
        """What a client may want to know of it."""
        settings: Any = self.ready.settings
        return {
            "id": self.name,
            "object": "model",
            "created": int(self.ready.run.weights.stat().st_mtime),
            "owned_by": "sightline",
            "task": self.task,
            "kind": getattr(settings.model, "kind", self.task),
            "attends": self.attends,
            "verbs": self.verbs,
            "parameters": self.ready.run.parameters(),
            "languages": self.languages,
            "texts": self.texts,
            "image": self.task == "image_classification",
            "checkpoints": self.ready.run.updates,
            "example": self.example,
        }

    def find_example(self) -> None:
        """Sets `example` to the first record of the run's validation data, which may take a while to read."""
        if self.task != "image_classification":
            self.example = [str(one) for one in self.ready.example() or []]


class Models:
    """The runs that are served, by name."""

    def __init__(self, paths: Sequence[str], metrics: Metrics, *, device: str, slots: int, waiting: int) -> None:
        """Names are those of the directories; a second one of a name gets a number. Raises SightlineError."""
        self.metrics = metrics
        self.by_name: dict[str, Served] = {}
        for path in paths:
            name = base = Path(os.path.abspath(path)).name
            number = 1
            while name in self.by_name:
                number += 1
                name = f"{base}-{number}"
            self.by_name[name] = Served(name, path, metrics, device=device, slots=slots, waiting=waiting)

    def start(self) -> None:
        for one in self.by_name.values():
            one.engine.start()
            threading.Thread(target=one.find_example, daemon=True).start()

    def close(self) -> None:
        """Finishes what is being computed."""
        for one in self.by_name.values():
            one.engine.close()

    def unknown(self, name: str) -> UnknownModelError:
        return UnknownModelError(f'model: there is no "{name[:100]}"{nearest(name, self.by_name)}')

    def pick(self, name: str | None, verb: str, fits: Callable[[Served], bool] = lambda one: True) -> Served:
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
