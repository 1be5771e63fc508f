"""What training tells: to `metrics.jsonl` always, to whoever watches, and to trackers where they are asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from sightline.train import storage
from sightline.train.callbacks import Callbacks
from sightline.train.display import Display, Figures, Judged, Standing, describe, display_on
from sightline.train.doctor import Doctor
from sightline.train.history import read_history
from sightline.train.trackers import Tracker, open_trackers

__all__ = ["METRICS", "TrainLog", "display_on"]
METRICS = "metrics.jsonl"


class TrainLog:
    """Everything a run tells. Use as a context manager; `resume` once, before the first line.

    `metrics.jsonl` gets one JSON object per line: {"kind": "train" or "validation", "update": N, figures…}, with null
    for a figure that is not finite. Each line is complete on its own and reaches the file at once.
    """

    def __init__(
        self, run_dir: Path, display: Display, *, track: Sequence[str] = (), callbacks: Callbacks | None = None
    ) -> None:
        """`track`: names of trackers that get the figures, too. Raises UsageError for one that is not installed."""
        self.path = run_dir / METRICS
        self.callbacks = callbacks or Callbacks()
        self._display = display
        self._trackers = open_trackers(track, run_dir)
        self._doctor: Doctor | None = None
        run_dir.mkdir(parents=True, exist_ok=True)

    def start(self, settings: Mapping[str, object], doctor: Doctor | None = None) -> None:
        """Tells the trackers what is trained, as plain values. The doctor looks at the figures and gives advice."""
        self._track(lambda tracker: tracker.start(settings))
        self._doctor = doctor
        self._advise([] if doctor is None else doctor.begin())

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def resume(self, update: int) -> None:
        """Drops the lines after `update`: they tell of updates that were lost and are made again."""
        if not self.path.exists():
            return
        kept = [line for line in self.path.read_bytes().splitlines(keepends=True) if _update_of(line) <= update]
        storage.replace_file(self.path, kept)
        if self._doctor is not None:  # what was said of these was heard
            for line in read_history(self.path):
                (self._doctor.train if line.kind == "train" else self._doctor.validation)(line.update, line.figures)

    def train(self, update: int, figures: Figures, eta: float | None) -> None:
        """Means since the last such line. `eta` in seconds."""
        self._write("train", update, figures)
        self._display.figures(update, figures, eta)
        self._advise([] if self._doctor is None else self._doctor.train(update, figures))
        self.callbacks.on_update(update, figures)

    def validation(self, update: int, figures: Figures, *, best: bool, judged: Judged | None = None) -> None:
        """`judged`: the figure that chooses the best checkpoint."""
        self._write("validation", update, figures)
        if judged is not None:
            self._display.judged(judged)
        self._display.message(f"update {update:,}: validation {describe(figures)}{', the best so far' if best else ''}")
        self._advise([] if self._doctor is None else self._doctor.validation(update, figures))
        self.callbacks.on_validation(update, figures, best)

    def advance(self, standing: Standing) -> None:
        """How far the run is, after every update."""
        self._display.advance(standing)

    def saved(self, update: int, path: Path) -> None:
        self._display.saved(update)
        self.callbacks.on_save(update, path)

    def message(self, line: str) -> None:
        self._display.message(line)

    def close(self) -> None:
        self._display.close()
        self._track(lambda tracker: tracker.close())

    def _advise(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.message(line)

    def _track(self, tell: Callable[[Tracker], None]) -> None:
        """Tells every tracker; one that fails, as where its server is gone, gets no more, and training goes on."""
        for tracker in list(self._trackers):
            try:
                tell(tracker)
            except Exception as error:  # another program's, of any kind
                self._trackers.remove(tracker)
                reason = (str(error).splitlines() or [""])[0][:200]
                name = type(tracker).__name__
                self.message(f"warning: {name}: {type(error).__name__}: {reason}; {self.path} has all figures")

    def _write(self, kind: str, update: int, figures: Figures) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        line = json.dumps({"kind": kind, "update": update, **finite}) + "\n"
        with storage.writing(self.path), open(self.path, "ab") as file:
            file.write(line.encode())
        self._track(lambda tracker: tracker.log(kind, update, figures))


def _update_of(line: bytes) -> float:
    """The update a line tells of; infinity for a line cut short by the end of a process."""
    try:
        return json.loads(line)["update"] if line.endswith(b"\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
