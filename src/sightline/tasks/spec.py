"""What the rest of Sightline sees of a task: one record of typed functions and data, filled in by its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from sightline.data.check_records import CheckedData
from sightline.data.sources import Column
from sightline.data.survey import Survey, survey
from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError
from sightline.predict.confidence import Confidence
from sightline.predict.predictor import Predictor
from sightline.tasks.exchange import Exchange, ExchangedModel
from sightline.tasks.report import Report
from sightline.tasks.settings import RunSettings
from sightline.train.metric import Metric
from sightline.train.run_directory import Run
from sightline.train.task import Task

S = TypeVar("S", bound=RunSettings)
Say = Callable[[str], None]
Tokenizers = dict[str, Tokenizer]
Values = dict[str, object]


def silent(line: str) -> None:
    """Says nothing."""


# Each task has types of its own for what it reads, makes and measures; the registry holds them side by side.
# (settings, tokenizers, model, *, device, report) → what the training loop trains; see `sightline.tasks.base.BaseTask`.
MakeTask = Callable[..., Task[Any]]
# (predictor, name of the set, files, **options) → what is measured on one set.
Evaluate = Callable[..., Report]
# (predictor, least chrF2 of what is acceptable, done) → the fit; see `sightline.predict.confidence`.
FitConfidence = Callable[[Any, float | None, Callable[[int], None]], Confidence]


def columns_as(*keys: str) -> Callable[[Sequence[Column]], Values]:
    """For `Init.columns`: one column for each of these keys."""

    def values(columns: Sequence[Column]) -> Values:
        if len(columns) != len(keys):
            raise UsageError(f"--columns: names {len(columns)}; name {len(keys)}, for {' and '.join(keys)}")
        return dict(zip(keys, columns, strict=True))

    return values


def _named(key: str, value: object) -> Values:
    return {} if value is None else {key: value}


@dataclass(frozen=True)
class Scale:
    """A named size, for data of so many units or more.

    Attributes:
        least: the fewest units. kinds: by kind of model, what is written for it alone: its sizes, and what else goes
            with them. values: what is written for all kinds.
        epochs, further: passes through the data, of a new model and of one that goes on from another run.
    """

    name: str
    least: int
    kinds: Mapping[str, Values]
    values: Values
    epochs: float
    further: float


def _all_pieces(survey: Survey, settings: Any) -> float:
    """Of all texts; two specials stand around each record's."""
    return sum(survey.pieces(settings.tokenizer.vocab_size)) + 2 * survey.records


@dataclass(frozen=True)
class Init:
    """What `sightline init` writes for a task.

    Attributes:
        models: kinds of models to choose from, the default first; none where there is one kind alone. registry: the
            table that further kinds are added to.
        scales: the sizes to choose from, rising; none: the defaults are written. further: what is written instead
            where a model goes on from another run, whose sizes it has.
        unit, units: what the scales count, and how many of it there are.
        survey: looks at data: (source, cuts of the split, fields that name files). tokens: how many tokens an epoch
            has, roughly, of such data and settings without updates.
        fit: what else the data decide, written over the rest: (survey, values so far).
        undivided: what is written of a source that is one record, to be cut by position; None where it cannot be.
        files: the train entry of a source (and target) file; by default only its name.
        about: what the train entry tells of all data, written beside it.
        validation_is_list: whether `data.validation` is a list, as `data.train` is.
        columns: the keys of a train entry that say which columns of a table are read; None where it has none. Raises
            UsageError where it takes fewer or more of them.
    """

    models: tuple[str, ...] = ()
    registry: Mapping[str, object] = field(default_factory=dict[str, object])
    scales: tuple[Scale, ...] = ()
    further: Values = field(default_factory=dict[str, object])
    unit: str = "records"
    units: Callable[[Survey], int] = lambda survey: survey.records
    survey: Callable[[Any, Sequence[float], Sequence[str]], Survey] = survey
    tokens: Callable[[Survey, Any], float] = _all_pieces
    fit: Callable[[Survey, Values], Values] = lambda survey, values: {}
    undivided: Values | None = None
    files: Callable[[str, str | None], Values] = lambda source, target: {"source": source, **_named("target", target)}
    about: Callable[[Values], Values] = lambda entry: {}
    validation_is_list: bool = False
    columns: Callable[[Sequence[Column]], Values] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds of models to choose from, those that plug-ins have added last."""
        return tuple(dict.fromkeys((*self.models, *self.registry)))


@dataclass(frozen=True)
class Pretraining:
    """How a task goes on from a trained run, its *parent*.

    Attributes:
        parents: (task, kind of model) of the runs that can be gone on from.
        whole: whether all weights are taken, heads included, as by a later phase of the same task; else those of the
            body alone, whose names begin with the parent's `bodies` prefix.
        bounded: the key under `data` that the longest input of the parent bounds where it is not set.
    """

    parents: tuple[tuple[str, str], ...]
    whole: bool = False
    bounded: str = ""


@dataclass(frozen=True)
class Fitted:
    """A model that is made in closed form and not trained: its tensors, its validation, and how long it took (s)."""

    tensors: dict[str, Tensor]
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class PageInput:
    """One thing that a user of the page types: its name in requests, its label, and whether it is an image.

    Attributes:
        examples: what is typed where a run keeps no example, by the code of the language that is read; "" of any other.
    """

    name: str
    label: str
    image: bool = False
    examples: Mapping[str, str] = field(default_factory=dict[str, str])

    def example(self, language: str = "") -> str:
        """What could be typed in a language; empty where nothing is known."""
        return self.examples.get(language) or self.examples.get("", "")


@dataclass(frozen=True)
class PageOption:
    """One number beside the inputs: its name in requests, its label, its range and step, and its default."""

    name: str
    label: str
    least: float
    most: float
    step: float
    default: float | None = None


@dataclass(frozen=True)
class Page:
    """How the page offers a task.

    Attributes:
        answer: which of the page's forms shows the answer: "translation", "continuation", "blanks", "labels", "spans",
            "answer" or "text".
        live: whether a text is sent by itself while it is typed.
    """

    answer: str
    inputs: tuple[PageInput, ...]
    options: tuple[PageOption, ...] = ()
    live: bool = False


@dataclass(frozen=True)
class Timed:
    """What is timed where models are compared: `read` gives the first so many records of a set, `use` computes them."""

    read: Callable[[Any, int], list[Any]]
    use: Callable[[Any, list[Any]], object]


@dataclass(frozen=True)
class TaskSpec(Generic[S]):
    """One task.

    Attributes:
        name: as configurations name it. settings: the schema of its configurations.
        predictor: what users load. verb: what the command line does with it.
        after_training, after_evaluation: the commands to run next, the first of them the same for all models or by
            the settings; {run} and {texts} are filled in.
        metrics: all figures of its validation and evaluation.
        train_tokenizers, make_model, make_task: a run's parts from its settings.
        read_test: reads one test set as `evaluate` will, so that what is wrong with it is told before training.
        evaluate: measures a loaded run on one set. evaluate_options: by which further arguments, of those that the
            command line has.
        complete: fills in what the settings leave to the data, such as classes.
        initialise: init's part. pretraining: how it goes on from another run; None where it does not.
        bodies: by kind of model, what all names of the weights begin with that another task can take over.
        fit: makes a model of a kind that is not trained; None of any other kind.
        verbs: what may be asked of a served model beside `verb`. page: how the page offers it.
        exchanges: which models of other toolkits become a run of it. exchanged: what a run of it is to them.
        fit_confidence: fits how probable it is that what a loaded run writes is acceptable: (predictor, the least chrF2
            of what is, what is called with the number of records done); None of what writes no text.
        timed: what of it is timed; None where nothing is.
        data_files: keys under `data` that name files, which a dry run looks for.
        check: how `sightline data check` reads its data; None where it cannot.
    """

    name: str
    settings: type[S]
    predictor: type[Predictor[S]]
    verb: str
    after_training: str | Callable[[S], str]
    after_evaluation: str
    metrics: Mapping[str, Metric]
    train_tokenizers: Callable[[S, Say], Tokenizers]
    make_model: Callable[[S, Tokenizers], nn.Module]
    make_task: MakeTask
    read_test: Callable[[S, Tokenizers, Any], object]
    evaluate: Evaluate
    page: Page
    complete: Callable[[S], S] = lambda settings: settings
    init: Init = field(default_factory=Init)
    pretraining: Pretraining | None = None
    bodies: Mapping[str, str] = field(default_factory=dict[str, str])
    fit: Callable[[S, Tokenizers, Say], Fitted | None] = lambda settings, tokenizers, report: None
    verbs: Sequence[str] = ()
    exchanges: tuple[Exchange, ...] = ()
    exchanged: Callable[[Run], ExchangedModel] | None = None
    evaluate_options: frozenset[str] = frozenset()
    fit_confidence: FitConfidence | None = None
    timed: Timed | None = None
    data_files: Sequence[str] = ("source",)
    check: CheckedData | None = None

    def next_after_training(self, run: object, settings: S) -> str:
        """What to do with a run of these settings that has learned the task."""
        next_step = self.after_training if isinstance(self.after_training, str) else self.after_training(settings)
        return next_step.format(run=run, texts=" ".join(["--text '…'"] * settings.texts))
