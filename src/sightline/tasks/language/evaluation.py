"""A language model measured on a text: perplexity per token and per word, bits per byte and per character."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from sightline.data.documents import TextSource
from sightline.predict.metrics import exponential
from sightline.tasks.language.predictor import LanguageModel
from sightline.tasks.language.settings import METRICS
from sightline.tasks.language.task import encode, figures, measure
from sightline.tasks.report import Row


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

    def rows(self) -> list[Row]:
        """(score, value, signature) for a table."""
        shown = [metric for name, metric in METRICS.items() if name != "loss"]
        return [(metric.title, metric.text(self.scores[metric.name]), "") for metric in shown]

    def as_dict(self) -> dict[str, object]:
        """The report as plain values."""
        return asdict(self)


def evaluate(model: LanguageModel, name: str, files: TextSource) -> TextEvaluation:
    """Every token of a text but the very first is predicted, as in validation."""
    start = time.perf_counter()
    text = encode(model.settings, model.tokenizer, [files])
    nats = measure(model.model, text.stream, model.settings)
    found = figures(nats, text)
    # a document's end counts as a word, as it does in word-level corpora
    words = text.words + text.documents
    scores = {**found, "word_perplexity": exponential(nats / max(words, 1))}
    return TextEvaluation(name, len(text.stream) - 1, text.words, scores, time.perf_counter() - start)
