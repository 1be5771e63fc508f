"""What training tells: `metrics.jsonl` always, a progress line on a terminal, plain lines elsewhere, TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from sightline.errors import UsageError
from sightline.train import storage

METRICS = "metrics.jsonl"
Figures = Mapping[str, float]


class SummaryWriter(Protocol):
    """What is used of TensorBoard's."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...
    def close(self) -> None: ...


class Display(Protocol):
    """Shows training to whoever watches."""

    def advance(self, fraction: float | None) -> None: ...
    def figures(self, update: int, figures: Figures, eta: float | None) -> None: ...
    def saved(self, update: int) -> None: ...
    def message(self, line: str) -> None: ...
    def close(self) -> None: ...


class PlainDisplay:
    """One line for each thing worth telling, through `write`."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def advance(self, fraction: float | None) -> None:
        pass

    def figures(self, update: int, figures: Figures, eta: float | None) -> None:
        self._write(f"update {update:,}: {describe(figures)}{f', {duration(eta)} left' if eta is not None else ''}")

    def saved(self, update: int) -> None:
        self._write(f"update {update:,}: saved")

    def message(self, line: str) -> None:
        self._write(line)

    def close(self) -> None:
        pass


class TerminalDisplay:
    """One line that changes in place, and above it what should stay."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.fields[update]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}", style="cyan"),
            TextColumn("{task.fields[eta]}"),
            TextColumn("{task.fields[saved]}", style="green"),
        )
        self._progress = Progress(*columns, console=console, transient=True, refresh_per_second=4)
        self._task = self._progress.add_task("", total=None, update="", figures="", eta="", saved="not saved yet")
        self._progress.start()

    def advance(self, fraction: float | None) -> None:
        if fraction is not None:
            self._progress.update(self._task, completed=fraction, total=1.0)

    def figures(self, update: int, figures: Figures, eta: float | None) -> None:
        left = f"{duration(eta)} left" if eta is not None else ""
        self._progress.update(self._task, update=f"update {update:,}", figures=describe(figures), eta=left)

    def saved(self, update: int) -> None:
        self._progress.update(self._task, saved=f"saved at {update:,}")

    def message(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()


class TrainLog:
    """Everything a run tells. Use as a context manager; `resume` once, before the first line.

    `metrics.jsonl` gets one JSON object per line: {"kind": "train" or "validation", "update": N, figures…}, with null
    for a figure that is not finite. Each line is complete on its own and reaches the file at once.
    """

    def __init__(self, run_dir: Path, display: Display, *, tensorboard: bool = False) -> None:
        """Raises UsageError where TensorBoard is asked for and not installed."""
        self.path = run_dir / METRICS
        self._display = display
        self._board = _summary_writer_class()(str(run_dir / "tensorboard")) if tensorboard else None
        run_dir.mkdir(parents=True, exist_ok=True)

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

    def train(self, update: int, figures: Figures, eta: float | None) -> None:
        """Means since the last such line. `eta` in seconds."""
        self._write("train", update, figures)
        self._display.figures(update, figures, eta)

    def validation(self, update: int, figures: Figures, *, best: bool) -> None:
        self._write("validation", update, figures)
        self._display.message(f"update {update:,}: validation {describe(figures)}{', the best so far' if best else ''}")

    def advance(self, fraction: float | None) -> None:
        """The fraction of the run that is done, after every update."""
        self._display.advance(fraction)

    def saved(self, update: int) -> None:
        self._display.saved(update)

    def message(self, line: str) -> None:
        self._display.message(line)

    def close(self) -> None:
        self._display.close()
        if self._board is not None:
            self._board.close()

    def _write(self, kind: str, update: int, figures: Figures) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        line = json.dumps({"kind": kind, "update": update, **finite}) + "\n"
        with storage.writing(self.path), open(self.path, "ab") as file:
            file.write(line.encode())
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(f"{kind}/{name}", value, update)


def display_on(console: Console) -> Display:
    """A progress line where the console is a terminal, else plain lines."""
    if console.is_terminal:
        return TerminalDisplay(console)
    # Not through the console's layout, which would break long lines.
    return PlainDisplay(lambda line: print(line, file=console.file, flush=True))


def describe(figures: Figures) -> str:
    """ "loss 4.213, learning rate 0.0005": whole numbers in full, others to four digits.

    A part of the loss that is all of it, as a classifier's without a language model's beside it, is not said twice.
    """
    said = {name: f"{value:,}" if isinstance(value, int) else _short(value) for name, value in figures.items()}
    parts = [name for name in figures if name.endswith(("_loss", "nll")) and said[name] == said.get("loss")]
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items() if name not in parts)


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _update_of(line: bytes) -> float:
    """The update a line tells of; infinity for a line cut short by the end of a process."""
    try:
        return json.loads(line)["update"] if line.endswith(b"\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def require_tensorboard() -> None:
    """Raises UsageError where TensorBoard is not installed; to be called before any work."""
    _summary_writer_class()


def _summary_writer_class() -> Callable[[str], SummaryWriter]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "TensorBoard: is not installed; pip install 'sightline[tensorboard]', or do not ask for it"
        ) from None
    return SummaryWriter
