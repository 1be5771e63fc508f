"""A translation run measured: sacrebleu's scores with their signatures, and the perplexity of the references."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np

from sightline.data.pairs import PairSource, read_pairs
from sightline.decode import SearchOptions
from sightline.predict.confidence import WORST, Confidence
from sightline.predict.metrics import (
    Measured,
    binned_error,
    bleu,
    chrf,
    exponential,
    reliability,
    roc_area,
    sentence_scores,
    sentence_sums,
    ter,
)
from sightline.tasks.answers import Answers, CorpusScore
from sightline.tasks.breakdowns import reliability_detail
from sightline.tasks.details import Breakdown, Detail
from sightline.tasks.report import ReportRepr, Row
from sightline.tasks.translation.details import translation_details
from sightline.tasks.translation.predictor import Translator
from sightline.tasks.translation.rare_words import RareWords
from sightline.tasks.translation.settings import METRICS

# upper bounds of source length in words
BUCKETS = (8, 11, 14, 17, 21, 1_000_000)


@dataclass(frozen=True)
class Sureness:
    """How well confidences (N) tell translations of which scores (N), by chrF2: acceptable ones at least `least`."""

    told: np.ndarray
    scores: np.ndarray
    least: float

    @property
    def figures(self) -> dict[str, float]:
        """The least score of what is acceptable and its share in per cent; the expected calibration error in per cent;
        and the area under the ROC curve for the worst fifth of this set."""
        good_N = self.scores >= self.least
        return {
            "acceptable": self.least,
            "share": 100 * float(good_N.mean()),
            "calibration_error": binned_error(reliability(self.told, good_N)),
            "roc_area_worst_fifth": roc_area(self.told, self.scores >= np.quantile(self.scores, WORST)),
        }

    def describe(self) -> str:
        """The figures in a line."""
        one = self.figures
        return (
            f"confidence of chrF2 {one['acceptable']:.1f} or more ({one['share']:.1f} %): calibration error "
            f"{one['calibration_error']:.2f} %, ROC area {one['roc_area_worst_fifth']:.3f} for the worst fifth"
        )

    @property
    def detail(self) -> Breakdown:
        """The reliability diagram."""
        good_N = self.scores >= self.least
        return reliability_detail("sentences", good_N, self.told, "a translation", "acceptable")


@dataclass(frozen=True, repr=False)
class Evaluation(ReportRepr):
    """How well a run translates one set."""

    name: str
    sentences: int
    scores: tuple[Measured, ...]
    perplexity: float  # per target token, end of sentence included
    seconds: float
    buckets: tuple[tuple[str, int, float], ...]  # (source words, sentences, BLEU)
    hypotheses: tuple[str, ...]
    sources: tuple[str, ...]
    references: tuple[str, ...]
    by_length: bool = False  # whether the text has the scores by length
    train: tuple[PairSource, ...] = ()  # where the model's training text comes from
    sureness: Sureness | None = None  # where the run's confidence was fitted

    @property
    def answers(self) -> Answers:
        """The translations, sentence by sentence, which single ones are told apart in by chrF2."""
        scores = [
            CorpusScore(METRICS[name], *sentence_sums(METRICS[name].label, self.hypotheses, self.references))
            for name in ("bleu", "chrf", "ter")
        ]
        return Answers("sentences", self.sources, self.references, self.hypotheses, scores, record_score=scores[1])

    @property
    def details(self) -> Sequence[Detail]:
        """Scores by the length of the source and by rare words, what is wrong with translations as such, and the worst
        of them. The training text is read where the second is asked for."""
        return self._details

    @cached_property
    def _details(self) -> Sequence[Detail]:
        # kept, so that the training text is read once by whoever prints and writes them
        rows = tuple((words, count, score) for words, count, score in self.buckets)
        lengths = Breakdown("by_length", "by words of the source", ("words", "sentences", "BLEU"), rows)
        texts = (self.sources, self.references, self.hypotheses)
        sure = [] if self.sureness is None else [self.sureness.detail]
        rare = [RareWords(self.train, *texts)] if self.train else []
        return [lengths, *sure, *rare, *translation_details(*texts)]

    @property
    def sentences_per_second(self) -> float:
        return self.sentences / self.seconds

    def score(self, name: str) -> float:
        """The first score of that name: BLEU, chrF2 or TER."""
        return next(measured.score for measured in self.scores if measured.name == name)

    def lines(self) -> list[str]:
        """The report as text."""
        lines = [f"{self.name}: {self.sentences:,} sentences, {self.sentences_per_second:.1f} a second"]
        lines += [f"  {measured.label} {measured.score:.2f}  {measured.signature}" for measured in self.scores]
        lines.append(f"  perplexity {self.perplexity:.3f} per token")
        if self.sureness is not None:
            lines.append(f"  {self.sureness.describe()}")
        if self.by_length:
            lines += [
                f"  BLEU {score:5.2f}  sources of {words} words ({count:,})" for words, count, score in self.buckets
            ]
        return lines

    def rows(self) -> list[Row]:
        """(score, value, signature) for a table."""
        rows = [(one.label, f"{one.score:.2f}", f"`{one.signature}`") for one in self.scores]
        return [*rows, ("perplexity per token", f"{self.perplexity:.3f}", "")]

    def as_dict(self) -> dict[str, object]:
        """The report as plain values, without the texts."""
        values = asdict(self)
        for name in ("hypotheses", "sources", "references", "by_length", "train", "sureness"):
            del values[name]
        sure = {} if self.sureness is None else {"confidence": self.sureness.figures}
        return {**values, **sure, "sentences_per_second": self.sentences_per_second}


def evaluate_pairs(
    translator: Translator,
    name: str,
    pairs: PairSource,
    options: SearchOptions,
    *,
    lowercase: bool = False,
    batch_size: int = 64,
    done: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Translates the sources and compares with the references; every pair counts, none is skipped, and a source is read
    whole, as in training, however many sentences it has.

    Args:
        lowercase: add BLEU without regard to case.
    """
    read = list(read_pairs(pairs))
    sources, references = [pair[0] for pair in read], [pair[1] for pair in read]
    start = time.perf_counter()
    fitted = translator.confidence
    hypotheses: list[str] = []
    told: list[float] = []
    for record in translator.stream(
        sources, options=options, batch_size=batch_size, split=False, confidence=fitted is not None
    ):
        hypotheses.append(record.text)
        told.append(1.0 if record.confidence is None else record.confidence)  # of nothing nothing can be wrong
        done(1)
    seconds = time.perf_counter() - start
    scores = [bleu(hypotheses, references), chrf(hypotheses, references), ter(hypotheses, references)]
    if lowercase:
        scores.append(bleu(hypotheses, references, lowercase=True))
    scored = translator.score(sources, references)
    tokens = sum(len(one.token_log_probabilities) for one in scored)
    perplexity = exponential(-sum(one.log_probability for one in scored) / tokens)
    return Evaluation(
        name,
        len(read),
        tuple(scores),
        perplexity,
        seconds,
        tuple(_by_length(sources, references, hypotheses)),
        tuple(hypotheses),
        tuple(sources),
        tuple(references),
        train=tuple(translator.settings.data.train),
        sureness=None if fitted is None else _sureness(fitted, hypotheses, references, told),
    )


def _sureness(fitted: Confidence, hypotheses: list[str], references: list[str], told: list[float]) -> Sureness:
    scores_N, _ = sentence_scores(METRICS["chrf"].label, hypotheses, references)
    return Sureness(np.array(told), scores_N, fitted.acceptable)


def _by_length(sources: list[str], references: list[str], hypotheses: list[str]) -> list[tuple[str, int, float]]:
    buckets: list[tuple[str, int, float]] = []
    low = 1
    for high in BUCKETS:
        rows = [row for row, text in enumerate(sources) if low <= len(text.split()) <= high]
        if rows:
            score = bleu([hypotheses[row] for row in rows], [references[row] for row in rows]).score
            buckets.append((f"{low}-{high}" if high < BUCKETS[-1] else f"{low}+", len(rows), score))
        low = high + 1
    return buckets


def evaluate(
    translator: Translator,
    name: str,
    files: PairSource,
    *,
    beam: int | None = None,
    lowercase: bool = True,
    by_length: bool = False,
    batch_size: int = 64,
    done: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """One set by the run's own search, or with another beam; see `evaluate_pairs` for the other arguments."""
    options = translator.settings.search.with_changes(**({} if beam is None else {"beam": beam}))
    found = evaluate_pairs(translator, name, files, options, lowercase=lowercase, batch_size=batch_size, done=done)
    return replace(found, by_length=by_length)
