"""`sightline.train`: from a configuration in any form to a trained run, and what that came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from sightline import config
from sightline.errors import UsageError
from sightline.predict.predictor import Predictor
from sightline.runs.loading import load, load_environment_plugins
from sightline.runs.summary import summarise
from sightline.runs.training import schema, train_run
from sightline.sight import html
from sightline.sight.curves import learning_curves
from sightline.tasks.registry import TASKS
from sightline.tasks.report import Report
from sightline.tasks.settings import RunSettings
from sightline.tasks.spec import silent
from sightline.train import notebook
from sightline.train.callbacks import Callback, Callbacks
from sightline.train.display import PlainDisplay
from sightline.train.log import TrainLog
from sightline.train.loop import Outcome
from sightline.train.trackers import require_trackers

Recipe = str | PathLike[str] | Mapping[str, Any]
Overrides = Iterable[str] | Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """What `sightline.train` has come to.

    Attributes:
        path: the run directory. outcome: why training ended, and which update was the best. reports: of the run's test
            sets, as `sightline.evaluate` gives them. settings: the configuration, completed.
    """

    path: Path
    outcome: Outcome
    reports: tuple[Report, ...]
    settings: RunSettings = field(repr=False)

    def load(self, *, precision: str = "fp32", device: str = "cpu", update: int | None = None) -> Predictor:
        """The run, ready for use; see `sightline.load`."""
        return load(self.path, precision=precision, device=device, update=update)

    def summary(self) -> str:
        """How it ended, in a line: "100 updates; best bleu 12.34 at update 80"."""
        outcome = self.outcome
        if outcome.best is None:
            return outcome.reason
        name = self.settings.training.metric
        metrics = TASKS[self.settings.task].metrics
        value = metrics[name].text(outcome.best) if name in metrics else f"{outcome.best:.4g}"
        return f"{outcome.reason}; best {name} {value} at update {outcome.best_update:,}"

    def __repr__(self) -> str:
        return f"Trained({str(self.path)!r}: {self.summary()})"

    def _repr_html_(self) -> str:
        lines = [line for one in self.reports for line in one.lines()]
        return html.run(str(self.path), self.summary(), lines, learning_curves(summarise(self.path).curve()))


def read_settings(
    recipe: Recipe | None = None, overrides: Overrides = (), tables: Mapping[str, Any] | None = None
) -> RunSettings:
    """The settings of a recipe's name, of a TOML file or of a mapping of the same keys.

    Args:
        overrides: what goes in its place, as "key.path=value" or {"key.path": value}. tables: what goes before both, a
            value or a table of values for each key of the configuration; tables are merged, key by key.

    Raises UsageError, naming file, line and key, for what is no configuration.
    """
    load_environment_plugins()
    if recipe is None or isinstance(recipe, Mapping):
        where, text, values = "settings", "", _plain(recipe or {})
    else:
        where, text = config.read(fspath(recipe))
        values = config.parse(where, text)
    if isinstance(overrides, Mapping):
        values = config.replaced(values, _plain(overrides))
    else:
        values = config.override(values, [overrides] if isinstance(overrides, str) else overrides)
    values = config.merged(values, _plain(tables or {}))
    return config.validate(schema(values, where), values, where, text)


def run_directory(recipe: Recipe | None, run: str | PathLike[str] | None) -> Path:
    """Where a training goes: `run`, or else runs/NAME of a recipe or a file. Raises UsageError where neither tells."""
    if run is not None:
        return Path(run)
    if recipe is None or isinstance(recipe, Mapping):
        raise UsageError("run: name the run directory, as in run='runs/first'; settings have no name of their own")
    return Path("runs") / Path(recipe).stem


def train(
    recipe: Recipe | None = None,
    *,
    run: str | PathLike[str] | None = None,
    fresh: bool = False,
    overrides: Overrides = (),
    callbacks: Sequence[Callback] = (),
    track: Sequence[str] = (),
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Trains a model, or goes on where training stopped: what `sightline train` does.

        sightline.train("transformer-ko-en", training={"max_updates": 200}, callbacks=[Mine()])

    The same call goes on after an interruption, bit for bit; of a run that has ended it only reads what it came to.

    Args:
        recipe: a recipe's name, a .toml file, or a mapping with the same keys; nothing where keywords say it all.
        run: the run directory; runs/NAME by default, after the recipe's name or the file's.
        fresh: start over: what is in the run directory is lost.
        overrides: "key.path=value" as on the command line, or {"key.path": value}.
        callbacks: what hears of the training; see `sightline.Callback`.
        track: trackers that the figures go to as well: "tensorboard", "mlflow", "trackio".
        quiet: show nothing; else a progress line, in a notebook a bar.
        settings: tables and values of the configuration by keyword, above those of recipe and overrides; a table says
            only what is another value in it.

    Raises:
        UsageError: for what is no configuration, or another than the run's.
        DataError, CheckpointError: for what is missing or damaged of what is read.
        Interrupted: after Ctrl-C or SIGTERM, with everything saved.
        SightlineError: where a callback fails, with everything saved; or the loss is not finite.
    """
    return train_settings(
        read_settings(recipe, overrides, settings),
        run_directory(recipe, run),
        fresh=fresh,
        callbacks=callbacks,
        track=track,
        quiet=quiet,
    )


def train_settings(
    settings: RunSettings,
    path: Path,
    *,
    fresh: bool = False,
    callbacks: Sequence[Callback] = (),
    track: Sequence[str] = (),
    quiet: bool = False,
) -> Trained:
    """Trains a run of these settings, as `train` does; shown as it is usual here."""
    require_trackers(track)
    heard = Callbacks(callbacks)
    with nullcontext(silent) if quiet else notebook.reporting() as report:
        outcome, reports = train_run(
            settings,
            path,
            fresh=fresh,
            report=report,
            log=lambda folder: TrainLog(
                folder, PlainDisplay(silent) if quiet else notebook.display(), track=track, callbacks=heard
            ),
            ended=heard.on_end,
        )
    return Trained(path, outcome, tuple(reports), settings)


def _plain(value: Any) -> Any:
    """A value as TOML has it: paths as strings, other sequences as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return fspath(value) if isinstance(value, PathLike) else value
