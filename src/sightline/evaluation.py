"""A run measured: translations by corpus scores, language models by perplexity, classifiers by what they get right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from sightline.classifier import Classifier
from sightline.data.documents import TextSource
from sightline.data.images import ImageSource
from sightline.data.labelled import LabelledSource
from sightline.data.pairs import PairSource, read_pairs
from sightline.data.questions import QuestionSource
from sightline.data.sentences import SentenceSource
from sightline.data.tagged import TaggedSource
from sightline.decode import SearchOptions
from sightline.image_classifier import ImageClassifier
from sightline.language_model import LanguageModel
from sightline.loading import Used, load
from sightline.masked_language_model import MaskedLanguageModel
from sightline.question_answerer import QuestionAnswerer
from sightline.tagger import Tagger
from sightline.tasks import classification, image_classification, masked_language, question_answering, tagging
from sightline.tasks.classification import encode_files
from sightline.tasks.language import encode, figures, measure
from sightline.tasks.metrics import Measured, bleu, chrf, exponential, ter
from sightline.translator import Translator

PERCENT = ("accuracy", "calibration_error", "f1", "match", "matthews", "precision", "recall")
# upper bounds of source length in words
BUCKETS = (8, 11, 14, 17, 21, 1_000_000)


class Report(Protocol):
    """What was measured on one set."""

    @property
    def name(self) -> str: ...

    def lines(self) -> list[str]:
        """The report as text."""
        ...

    def rows(self) -> list[tuple[str, str, str]]:
        """(score, value, signature) for a table."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        ...


@dataclass(frozen=True)
class Evaluation:
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

    @property
    def sentences_per_second(self) -> float:
        return self.sentences / self.seconds

    def score(self, name: str) -> float:
        """The first score of that name: BLEU, chrF2 or TER."""
        return next(measured.score for measured in self.scores if measured.name == name)

    def lines(self, by_length: bool = False) -> list[str]:
        """The report as text."""
        lines = [f"{self.name}: {self.sentences:,} sentences, {self.sentences_per_second:.1f} a second"]
        lines += [f"  {measured.name} {measured.score:.2f}  {measured.signature}" for measured in self.scores]
        lines.append(f"  perplexity {self.perplexity:.3f} per token")
        if by_length:
            lines += [
                f"  BLEU {score:5.2f}  sources of {words} words ({count:,})" for words, count, score in self.buckets
            ]
        return lines

    def rows(self) -> list[tuple[str, str, str]]:
        """(score, value, signature) for a table."""
        rows = [(one.name, f"{one.score:.2f}", f"`{one.signature}`") for one in self.scores]
        return [*rows, ("perplexity per token", f"{self.perplexity:.3f}", "")]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, without the texts."""
        values = asdict(self)
        for name in ("hypotheses", "sources", "references"):
            del values[name]
        return {**values, "sentences_per_second": self.sentences_per_second}


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
    """Translates the sources and compares with the references; every pair counts, none is skipped.

    Args:
        lowercase: add BLEU without regard to case.
    """
    read = list(read_pairs(pairs))
    sources, references = [pair[0] for pair in read], [pair[1] for pair in read]
    start = time.perf_counter()
    hypotheses = []
    for record in translator.stream(sources, options=options, batch_size=batch_size):
        hypotheses.append(record.text)
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
    )


def _by_length(sources: list[str], references: list[str], hypotheses: list[str]) -> list[tuple[str, int, float]]:
    buckets, low = [], 1
    for high in BUCKETS:
        rows = [row for row, text in enumerate(sources) if low <= len(text.split()) <= high]
        if rows:
            score = bleu([hypotheses[row] for row in rows], [references[row] for row in rows]).score
            buckets.append((f"{low}-{high}" if high < BUCKETS[-1] else f"{low}+", len(rows), score))
        low = high + 1
    return buckets


@dataclass(frozen=True)
class TextEvaluation:
    """How well a language model predicts one set."""

    name: str
    tokens: int
    words: int
    scores: dict[str, float]  # loss (nats a token), perplexity, bits_per_byte, bits_per_character, word_perplexity
    seconds: float

    def lines(self) -> list[str]:
        """The report as text."""
        speed = self.tokens / max(self.seconds, 1e-9)
        lines = [f"{self.name}: {self.tokens:,} tokens, {self.words:,} words, {speed:,.0f} tokens a second"]
        return lines + [f"  {label} {value}" for label, value, _ in self.rows()]

    def rows(self) -> list[tuple[str, str, str]]:
        """(score, value, signature) for a table."""
        labels = {
            "perplexity": "perplexity per token",
            "word_perplexity": "perplexity per word",
            "bits_per_byte": "bits per byte",
            "bits_per_character": "bits per character",
        }
        return [(label, f"{self.scores[key]:.4f}", "") for key, label in labels.items()]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def evaluate_text(model: LanguageModel, name: str, files: TextSource) -> TextEvaluation:
    """Every token of a text but the very first is predicted, as in validation."""
    start = time.perf_counter()
    text = encode(model.settings, model.tokenizer, [files])
    nats = measure(model.model, text.stream, model.settings)
    found = figures(nats, text)
    # a document's end counts as a word, as it does in word-level corpora
    words = text.words + text.documents
    scores = {**found, "word_perplexity": exponential(nats / max(words, 1))}
    return TextEvaluation(name, len(text.stream) - 1, text.words, scores, time.perf_counter() - start)


@dataclass(frozen=True)
class Figures:
    """What a model's answers on one set come to."""

    name: str
    count: int
    unit: str  # what is counted
    scores: dict[str, float]  # accuracy, F1 and their like in per cent
    seconds: float

    def lines(self) -> list[str]:
        """The report as text."""
        lines = [f"{self.name}: {self.count:,} {self.unit}, {self.count / max(self.seconds, 1e-9):,.0f} a second"]
        return lines + [f"  {label} {value}" for label, value, _ in self.rows()]

    def rows(self) -> list[tuple[str, str, str]]:
        """(score, value, signature) for a table."""
        return [
            (
                name.replace("_", " "),
                f"{value:.4f}{' %' if name.endswith(('accuracy', 'f1', 'precision', 'recall')) else ''}",
                "",
            )
            for name, value in self.scores.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def evaluate_labels(model: Classifier, name: str, files: LabelledSource) -> Figures:
    """Every record counts; texts that are too long are cut."""
    start = time.perf_counter()
    examples = encode_files(model.settings, model.tokenizer, files)
    found = classification.figures(model.settings, model.scores(examples), examples)
    return Figures(name, len(examples), "records", found, time.perf_counter() - start)


def evaluate_tags(model: Tagger, name: str, files: TaggedSource) -> Figures:
    """Every unit counts; records that are too long are read in halves."""
    start = time.perf_counter()
    records = tagging.read_all(model.settings, files)
    found = tagging.measure(model.settings, model.model, model.tokenizer, records, files.joined_by)
    return Figures(name, len(records), "records", found, time.perf_counter() - start)


def evaluate_questions(model: QuestionAnswerer, name: str, files: QuestionSource) -> Figures:
    """Every question counts."""
    start = time.perf_counter()
    questions = question_answering.read_all(model.settings, files)
    found = question_answering.measure(model.settings, model.model, model.tokenizer, questions)
    return Figures(name, len(questions), "questions", found, time.perf_counter() - start)


def evaluate_images(model: ImageClassifier, name: str, files: ImageSource) -> Figures:
    """Every image counts."""
    images = image_classification.read_labelled(model.settings, files)
    start = time.perf_counter()
    found = image_classification.measure(model.settings, model.model, images)
    return Figures(name, len(images), "images", found, time.perf_counter() - start)


def evaluate_masked(model: MaskedLanguageModel, name: str, files: SentenceSource) -> Figures:
    """Masks and pairs are drawn as in validation, the same each time."""
    start = time.perf_counter()
    documents = masked_language.encode([files], model.tokenizer)
    found = masked_language.measure(model.settings, model.model, model.tokenizer, documents)
    return Figures(name, len(documents.sentences.tokens), "tokens", found, time.perf_counter() - start)


def _evaluate_translation(translator: Translator, name: str, files: PairSource) -> Evaluation:
    return evaluate_pairs(translator, name, files, translator.settings.search, lowercase=True)


_EVALUATE: dict[str, Callable[[Any, str, Any], Report]] = {
    "translation": _evaluate_translation,
    "language": evaluate_text,
    "masked_language": evaluate_masked,
    "classification": evaluate_labels,
    "tagging": evaluate_tags,
    "question_answering": evaluate_questions,
    "image_classification": evaluate_images,
}


def evaluate_set(model: Used, name: str, files: Any) -> Report:
    """One set of the kind that the model's test sets are, called `name`."""
    return _EVALUATE[model.settings.task](model, name, files)


def evaluate_run(run: str | Path, device: str = "cpu") -> list[Report]:
    """Every test set of a trained run, in fp32; translations with and without case."""
    model = load(run, device=device)
    return [evaluate_set(model, name, files) for name, files in model.settings.data.test.items()]
