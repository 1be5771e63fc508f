"""Runs that are served: each loaded, with its engine, and what may be asked of it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sightline.data.languages import code_of
from sightline.decode import Search
from sightline.errors import SightlineError, UsageError, nearest
from sightline.runs.loading import load, spec_of
from sightline.serve.engine import Engine
from sightline.serve.jobs import Searcher, SearchJob
from sightline.serve.metrics import Metrics
from sightline.train.precision import resolve_device

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
        self.spec = spec_of(run)
        self.task = self.spec.name
        # what the directory says is read once: it may be moved or removed while its model is served
        self._parameters, self._created = run.parameters(), int(run.weights.stat().st_mtime)
        self.example = self.predictor.example() or []
        searcher = Searcher(self.predictor.new_search, self._prefill) if self.predictor.writes else None
        exclusive = _METAL if resolve_device(device) == "mps" else None
        self.engine = Engine(name, metrics, searcher, slots=slots, waiting=waiting, exclusive=exclusive)
        self._device = device
        self._others: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def _prefill(self, search: Search, jobs: Sequence[SearchJob]) -> None:
        self.predictor.prefill(search, [job.request for job in jobs], [job.source for job in jobs])

    @property
    def verbs(self) -> tuple[str, ...]:
        """What may be asked of it: its own verbs; and a look inside, where it is a network."""
        return (self.spec.verb, *self.spec.verbs, *(("attention",) if self.predictor.inspectable else ()))

    @property
    def attends(self) -> bool:
        """Whether there is attention to be seen."""
        return self.predictor.attends

    @property
    def languages(self) -> list[str]:
        """Of a translation: from which, into which."""
        return self.predictor.languages

    @property
    def texts(self) -> int:
        """How many inputs one record has."""
        return self.predictor.input_count

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
            "kind": settings.model.kind,
            "attends": self.attends,
            "verbs": self.verbs,
            "acceptable": self._acceptable,
            "parameters": self._parameters,
            "languages": self.languages,
            "texts": self.texts,
            "image": self.predictor.reads_images,
            "checkpoints": self.checkpoints,
            "example": self.example,
            "page": self._page(),
        }

    @property
    def _acceptable(self) -> float | None:
        """The least chrF2 of what is acceptable, where how probable that is was fitted; None elsewhere."""
        try:
            found = self.predictor.confidence
        except SightlineError:  # as where the directory is gone
            return None
        return None if found is None else found.acceptable

    def _page(self) -> dict[str, Any]:
        """How the page offers it: what is typed, the numbers beside it, the form of its answer."""
        page = self.spec.page
        language = code_of(self.languages[0]) if self.languages else ""
        inputs = [
            {"name": one.name, "label": one.label, "image": one.image, "example": one.example(language)}
            for one in page.inputs
        ]
        if len(inputs) == 1 and self.texts > 1:  # several texts of one record, of one kind
            inputs = [{**inputs[0], "name": f"{inputs[0]['name']}{n}", "label": f"{inputs[0]['label']} {n + 1}"}
                      for n in range(self.texts)]  # fmt: skip
        options = [asdict(one) for one in page.options]
        return {"answer": page.answer, "inputs": inputs, "options": options, "live": page.live}


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
