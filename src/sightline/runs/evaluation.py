"""A run measured on sets of its task, and what was measured kept beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from sightline import config, jsonio
from sightline.errors import SightlineError, UsageError
from sightline.predict.predictor import Predictor
from sightline.runs.loading import load, run_path, spec_of
from sightline.tasks.registry import TASKS
from sightline.tasks.report import Report, ReportRepr, Row
from sightline.tasks.settings import DataSource, RunSettings
from sightline.tasks.spec import TaskSpec
from sightline.train import notebook
from sightline.train.run_directory import Run

# (title) → a context with what is called with the number of records that are done since the last call
Progress = Callable[[str], AbstractContextManager[Callable[[int], None]]]


def evaluate_set(model: Predictor, name: str, files: object, **options: object) -> Report:
    """One set of the kind that the model's test sets are, called `name`; `options` are those of its task."""
    return TASKS[model.settings.task].evaluate(model, name, files, **options)


def evaluate(
    run: str | PathLike[str] | Predictor,
    source: str | PathLike[str] | None = None,
    reference: str | PathLike[str] | None = None,
    *,
    columns: Sequence[int | str] | None = None,
    lowercase: bool = False,
    beam: int | None = None,
    by_length: bool = False,
    batch_size: int | None = None,
    unknown_labels: bool = False,
    precision: str = "fp32",
    device: str = "cpu",
) -> list[Report]:
    """The reports on a run's test sets, or on one set of files: what `sightline evaluate` prints.

    Args:
        run: a run directory, or a loaded run.
        source, reference: the files of one set, read as the training data was; by default the run's test sets.
        columns: which of a table are read, by number or name; those that training read by default.
        lowercase, beam, by_length, batch_size: of a translation: BLEU without regard to case, too; the beam width and
            the sentences at a time, by default the run's and 64; BLEU by the length of the source, too.
        unknown_labels: count records whose label training never had as wrong, instead of refusing the set.
        precision, device: of a run directory, as of `sightline.load`.

    Raises:
        UsageError: for what this run's task does not have, or where there is nothing to measure it on.
        DataError: for files that cannot be read as such.
    """
    options = {
        "lowercase": lowercase,
        "beam": beam,
        "by_length": by_length,
        "batch_size": batch_size,
        "unknown_labels": unknown_labels,
    }
    path = run_path(run)
    check_options(path, options)
    model = run if isinstance(run, Predictor) else load(path, precision=precision, device=device)
    files = [None if one is None else fspath(one) for one in (source, reference)]
    return list(measure(model, *files, columns=columns, options=options, progress=notebook.counting))


def check_options(run: str | Path, options: Mapping[str, object]) -> None:
    """Raises UsageError for an option that a run's task does not have; to be called before the run is loaded."""
    spec = spec_of(Run(run))
    for name, value in options.items():
        if value and name not in spec.evaluate_options:
            tasks = " or ".join(one.name for one in TASKS.values() if name in one.evaluate_options)
            raise UsageError(f"{name}: is for runs of {tasks}; {run} is a run of task {spec.name}")


def measure(
    model: Predictor,
    source: str | None,
    reference: str | None,
    *,
    columns: Sequence[int | str] | None = None,
    options: Mapping[str, object],
    progress: Progress,
) -> Iterator[Report]:
    """The reports one after the other, as they are made; see `evaluate`."""
    spec = TASKS[model.settings.task]
    sets = dict(model.settings.data.test)
    if source is not None:
        sets = {source: model.settings.given(source, reference, **_chosen(spec, columns))}
    if not sets:
        both = " of sources and one of references" if model.languages else ""
        raise UsageError(f"{model.run.path}: the run names no test sets; give a file{both}")
    given = {name: value for name, value in options.items() if value is not None and name in spec.evaluate_options}
    for name, files in sets.items():
        with progress(f"evaluating {name}") as advance:
            more = {"done": advance} if "done" in spec.evaluate_options else {}
            report = evaluate_set(model, name, files, **given, **more)
        yield report


def _chosen(spec: TaskSpec, columns: Sequence[int | str] | None) -> Mapping[str, object]:
    """The keys of a source that say which columns are read, where the user says it."""
    if columns is None:
        return {}
    if spec.init.columns is None:
        raise UsageError(f"columns: files of task {spec.name} have no columns to choose")
    return spec.init.columns(columns)


@dataclass(frozen=True, repr=False)
class KeptReport(ReportRepr):
    """What an earlier evaluation of one set came to."""

    name: str
    text: tuple[str, ...]
    table: tuple[Row, ...]
    values: dict[str, object]
    answers: None = None
    details: tuple[()] = ()

    def lines(self) -> list[str]:
        """The report as text."""
        return list(self.text)

    def rows(self) -> list[Row]:
        """(score, value, signature) for a table."""
        return list(self.table)

    def as_dict(self) -> dict[str, object]:
        """The report as plain values."""
        return self.values


def evaluate_missing(run: Run, settings: RunSettings, device: str = "cpu") -> tuple[list[Report], bool]:
    """The reports on all test sets, and whether they are others than those that were kept.

    Those kept of the same weights, settings and content of files are taken as they are; the others are made, and kept.
    """
    kept, weights = _read(run), run.weights_digest()
    found: list[Report] = []
    model: Predictor | None = None
    entries: list[Mapping[str, object]] = []
    for name, files in settings.data.test.items():
        key = {
            "name": name,
            "files": files.model_dump(mode="json"),
            "weights": weights,
            "settings": config.free_settings(settings),
            "data": _digest(files),
        }
        entry = next((one for one in kept if _is_of(one, key)), None)
        if entry is None:
            model = model or load(run.path, device=device)
            report = evaluate_set(model, name, files)
            entry = {**key, "text": report.lines(), "table": report.rows(), "values": jsonio.finite(report.as_dict())}
        else:
            report = _kept_report(entry)
        found.append(report)
        entries.append(entry)
    changed = entries != kept
    if changed:
        run.remove_card()
        run.write_text(run.evaluations, jsonio.dumps({"reports": entries}, indent=1))
    return found, changed


def kept_reports(run: Run) -> list[KeptReport]:
    """What was measured before and kept; nothing where the file is missing or damaged."""
    return [_kept_report(entry) for entry in _read(run)]


def _digest(files: DataSource) -> str | None:
    """What identifies the content of a test set; None where its files are not here any more."""
    try:
        return hashlib.sha256(json.dumps(files.content_id(), sort_keys=True).encode()).hexdigest()
    except SightlineError:
        return None


def _is_of(entry: Mapping[str, object], key: Mapping[str, object]) -> bool:
    """Whether a kept report is of what `key` says; of files that are not here any more it is all that can be had."""
    here = key["data"] is not None
    return all(entry.get(part) == value for part, value in key.items() if here or part in entry.keys() - {"data"})


def _read(run: Run) -> list[Mapping[str, object]]:
    """What was kept; nothing where the file is missing or damaged, since it can be made again."""
    try:
        reports = json.loads(run.evaluations.read_text(encoding="utf-8"))["reports"]
        return [one for one in reports if type(one) is dict and _kept_report(one)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _kept_report(entry: Mapping[str, object]) -> KeptReport:
    """Raises KeyError or TypeError for what is no report."""
    text, table, values = entry["text"], entry["table"], entry["values"]
    if type(text) is not list or type(table) is not list or type(values) is not dict:
        raise TypeError("no report")
    rows = tuple((str(label), str(value), str(signature)) for label, value, signature in table)
    return KeptReport(str(entry["name"]), tuple(map(str, text)), rows, values)
