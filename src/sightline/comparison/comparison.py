"""Several trained models measured on the same sets by the same records, and what that shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sightline import __version__
from sightline.comparison.candidates import Candidate, Curve, differences, read_candidates
from sightline.comparison.speed import Speed, measure_speed
from sightline.comparison.statistics import RESAMPLES, Compared, compare_scores
from sightline.errors import UsageError
from sightline.predict.predictor import Predictor
from sightline.runs.evaluation import Progress, evaluate_set
from sightline.runs.loading import load
from sightline.tasks.answers import Answers
from sightline.tasks.report import Report
from sightline.train import machine, notebook
from sightline.train.metric import Metric

Say = Callable[[str], None]
BUCKETS = 5  # of the length of inputs, with as many records each
EXAMPLES = 10  # records of each set on which models differ most
FEWEST = 20  # records whose resamples tell anything


@dataclass(frozen=True)
class Row:
    """What is told of one model beside its scores.

    Attributes:
        seeds: how many runs it has. updates, tokens, core_minutes, reason: of its first run, minutes the mean over all.
        speed: None where it was not measured.
    """

    name: str
    runs: tuple[str, ...]
    parameters: int
    updates: int
    tokens: float | None
    core_minutes: float
    reason: str
    curve: Curve
    speed: Speed | None

    @property
    def seeds(self) -> int:
        return len(self.runs)


@dataclass(frozen=True)
class ScoreTable:
    """One score of all models on one set, in their order; the first is the baseline."""

    metric: Metric
    signature: str
    models: tuple[Compared, ...]


@dataclass(frozen=True)
class Bucket:
    """The first score of the records whose inputs are of so many words, model by model."""

    low: int
    high: int
    records: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Example:
    """One record on which models differ: its input, its reference, and what each of them answers, with its score."""

    number: int
    input: str
    reference: str
    outputs: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class SetTable:
    """What was measured on one set."""

    name: str
    unit: str
    records: int
    scores: tuple[ScoreTable, ...]
    by_length: tuple[Bucket, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Comparison:
    """Trained models beside each other. The first is the baseline that the others are compared with.

    Attributes:
        unlike: what the models do not have in common and would have to; only where that was asked for.
        made_with: version, machine, resamples.
    """

    task: str
    rows: tuple[Row, ...]
    sets: tuple[SetTable, ...]
    unlike: tuple[str, ...]
    made_with: str
    predictors: tuple[Predictor, ...] = field(default=(), repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.rows)

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.names)}; on {', '.join(one.name for one in self.sets)})"

    def _repr_html_(self) -> str:
        # apart from the notebook's own styles; what holds no script needs no permission to run one
        from sightline.comparison.page import page

        shown = f'sandbox srcdoc="{escape(page(self))}"'
        return f'<iframe title="{escape(repr(self))}" {shown} style="width: 100%; height: 40rem; border: 0"></iframe>'

    def verdicts(self) -> list[str]:
        """What the first score of each set shows of each model beside the baseline, a sentence each."""
        from sightline.comparison import words

        return [f"{one.name}: {line}" for one in self.sets for line in words.verdicts(self, one.scores[0])]

    def save(self, path: str | Path) -> None:
        """Writes a report: .html, with pictures, .md or .json.

        Raises UsageError for another kind of file, SightlineError where it cannot be written.
        """
        from sightline.comparison.report import writer_of

        writer_of(path)(self, Path(path))

    def as_dict(self) -> dict[str, object]:
        """All figures as plain values."""
        values = {name: value for name, value in vars(self).items() if name != "predictors"}
        return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def compare(
    runs: Sequence[str | Path],
    *,
    names: Sequence[str] = (),
    source: str | None = None,
    reference: str | None = None,
    anyway: bool = False,
    speed: bool = True,
    resamples: int = RESAMPLES,
    examples: int = EXAMPLES,
    threads: int | None = None,
    planned: bool = False,
    report: Say = lambda line: None,
    progress: Progress = notebook.counting,
) -> Comparison:
    """Measures trained runs on the same test sets, record by record, and tells which differ by more than chance.

    The first run is the baseline. Runs that differ in nothing but `training.seed` are one model with several seeds.

    Args:
        names: what to call the models, one for each run; those of one model the same.
        source, reference: a set to compare them on; the baseline's test sets by default.
        anyway: compare runs that do not have data, search or budget in common; the result says what differs.
        speed: also measure how fast they are and what memory they take, by turns.
        resamples: of the test sets, for intervals and tests.
        examples: how many records the result has on which the models differ most; 0 where their text is not to be
            handed on.
        planned: whether the runs are those of one plan, which has given all the same budget.
        report: called with what is done next. progress: shows how far a model is with a set.

    Raises:
        UsageError: for fewer than two models, tasks without answers by record, or runs that should not be compared.
        SightlineError: for a run or a set that cannot be read.
    """
    candidates = read_candidates(runs, names)
    if len(candidates) < 2:
        raise UsageError("a comparison needs two models or more; seeds of one model are one")
    unlike = differences(candidates, budgets=not planned)
    if unlike and not anyway:
        raise UsageError(f"{'; '.join(unlike)}; train them alike, or compare them with anyway=True")
    machine.setup(threads)
    settings = candidates[0].first.settings
    sets = dict(settings.data.test) if source is None else {source: settings.given(source, reference)}
    if not sets:
        raise UsageError(f"{candidates[0].first.run.path}: the run names no test sets; name files to compare on")
    first_of: list[Predictor] = []
    answers: dict[str, list[list[Answers]]] = {name: [] for name in sets}
    for candidate in candidates:
        # one seed's model after the other is held, and the first one's kept to be looked into
        for number, trained in enumerate(candidate.runs):
            model = load(trained.run.path)
            if number == 0:
                first_of.append(model)
            for name, files in sets.items():
                report(f"{name}: {candidate.name}" + (f", seed {number + 1}" if len(candidate.runs) > 1 else ""))
                with progress(f"evaluating {candidate.name}") as advance:
                    more = {"done": advance} if "done" in candidate.spec.evaluate_options else {}
                    found = _answers(evaluate_set(model, name, files, **more), candidate)
                _require_enough(name, found)
                if number == 0:
                    answers[name].append([])
                answers[name][-1].append(found)
    tables = [_table(name, candidates, of_set, resamples, examples, unlike, anyway) for name, of_set in answers.items()]
    speeds: Sequence[Speed | None] = [None] * len(candidates)
    if speed and candidates[0].spec.timed is not None:
        report("speed and memory, by turns")
        first = next(iter(sets.values()))
        speeds = measure_speed([one.first.run.path for one in candidates], first, threads)
    rows = [_row(*pair) for pair in zip(candidates, speeds, strict=True)]
    made_with = f"sightline {__version__}, {machine.processor()}, {resamples:,} resamples"
    return Comparison(candidates[0].spec.name, tuple(rows), tuple(tables), tuple(unlike), made_with, tuple(first_of))


def _require_enough(name: str, answers: Answers) -> None:
    """Raises UsageError for too few records, as soon as one model has answered them."""
    if len(answers) < FEWEST:
        raise UsageError(
            f"{name}: {len(answers):,} {answers.unit}; whether a difference is chance can only be told of {FEWEST} or "
            "more"
        )


def _answers(report: Report, candidate: Candidate) -> Answers:
    answers = report.answers  # once: a translation's are counted when they are asked for
    if answers is None:
        raise UsageError(
            f"{candidate.first.run.path}: the evaluation of task {candidate.spec.name} keeps no answers by record"
        )
    return answers


def _row(candidate: Candidate, speed: Speed | None) -> Row:
    first = candidate.first
    return Row(
        candidate.name,
        tuple(str(one.run.path) for one in candidate.runs),
        first.run.parameters(),
        first.spent.updates,
        first.spent.tokens,
        candidate.core_minutes,
        first.spent.reason,
        first.curve(),
        speed,
    )


def _table(
    name: str,
    candidates: Sequence[Candidate],
    answers: Sequence[Sequence[Answers]],
    resamples: int,
    examples: int,
    unlike: list[str],
    anyway: bool,
) -> SetTable:
    """One set; what of `unlike` only its answers can tell is added."""
    first = answers[0][0]
    told = _unlike_answers(name, candidates, answers)
    if told and not anyway:
        raise UsageError(f"{told}; compare them with anyway=True")
    if told:
        unlike.append(told)
    tables: list[ScoreTable] = []
    for number, score in enumerate(first.scores):
        of_models = [[one.scores[number] for one in seeds] for seeds in answers]
        found = compare_scores(of_models, resamples=resamples)
        tables.append(ScoreTable(score.metric, score.signature, tuple(found)))
    return SetTable(
        name,
        first.unit,
        len(first),
        tuple(tables),
        _by_length(answers),
        _examples([one[0] for one in answers], examples),
    )


def _unlike_answers(name: str, candidates: Sequence[Candidate], answers: Sequence[Sequence[Answers]]) -> str | None:
    first = answers[0][0]
    for candidate, seeds in zip(candidates, answers, strict=True):
        for one in seeds:
            if one.reference_units != first.reference_units:
                return (
                    f"{name}: {candidates[0].name} and {candidate.name} count tokens of different tokenizers, so their "
                    "scores are of different things"
                )
            if [score.signature for score in one.scores] != [score.signature for score in first.scores]:
                return f"{name}: the scores of {candidates[0].name} and {candidate.name} have different signatures"
            if len(one) != len(first):
                return f"{name}: {candidates[0].name} and {candidate.name} read different numbers of {first.unit}"
    return None


def _by_length(answers: Sequence[Sequence[Answers]]) -> tuple[Bucket, ...]:
    """The first score in buckets of like many records by the number of words of their inputs; a tie is never parted."""
    words_N = np.array([len(text.split()) for text in answers[0][0].inputs])
    edges = np.unique(np.quantile(words_N, np.linspace(0, 1, BUCKETS + 1), method="nearest"))
    found: list[Bucket] = []
    for low, high in pairwise(edges):
        first = int(low) + bool(found)
        records = np.flatnonzero((words_N >= first) & (words_N <= high))
        if len(records):
            values = (float(np.mean([one.scores[0].of(records) for one in seeds])) for seeds in answers)
            found.append(Bucket(first, int(high), len(records), tuple(values)))
    return tuple(found)


def _examples(answers: Sequence[Answers], most: int) -> tuple[Example, ...]:
    """The records whose scores differ most among the models."""
    scores_MN = np.stack([one.by_record() for one in answers])
    spread_N = np.ptp(scores_MN, axis=0)
    order: list[int] = np.argsort(-spread_N, kind="stable")[:most].tolist()
    return tuple(
        Example(
            number + 1,
            answers[0].inputs[number],
            answers[0].references[number],
            tuple(one.outputs[number] for one in answers),
            tuple(scores_MN[:, number].tolist()),
        )
        for number in order
        if spread_N[number] > 0
    )
