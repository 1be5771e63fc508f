"""A language model measured on a text: perplexity per token and per word, bits per byte and per character."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from sightline.data.documents import EncodedText, TextSource, read_documents
from sightline.data.text import is_blank
from sightline.predict.metrics import exponential
from sightline.special_tokens import EOS_ID
from sightline.tasks.answers import Answers, ratio
from sightline.tasks.language.predictor import LanguageModel
from sightline.tasks.language.settings import METRICS
from sightline.tasks.language.task import encode, figures, token_nats
from sightline.tasks.report import ReportRepr, Row


@dataclass(frozen=True, repr=False)
class TextEvaluation(ReportRepr):
    """How well a language model predicts one set."""

    name: str
    tokens: int
    words: int
    scores: dict[str, float]  # loss (nats a token), perplexity, bits_per_byte, bits_per_character, word_perplexity
    seconds: float
    answers: Answers | None = field(default=None, repr=False, compare=False)

    @property
    def details(self) -> tuple[()]:
        """None."""
        return ()

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
        values = asdict(replace(self, answers=None))
        del values["answers"]
        return values


def evaluate(model: LanguageModel, name: str, files: TextSource) -> TextEvaluation:
    """Every token of a text but the very first is predicted, as in validation."""
    start = time.perf_counter()
    text = encode(model.settings, model.tokenizer, [files])
    nats_N = token_nats(model.model, text.stream, model.settings)
    found = figures(float(nats_N.sum()), text)
    # a document's end counts as a word, as it does in word-level corpora
    words = text.words + text.documents
    scores = {**found, "word_perplexity": exponential(float(nats_N.sum()) / max(words, 1))}
    seconds = time.perf_counter() - start
    answers = _answers(model, files, text, nats_N)
    return TextEvaluation(name, len(text.stream) - 1, text.words, scores, seconds, answers)


def _answers(model: LanguageModel, files: TextSource, text: EncodedText, nats_N: np.ndarray) -> Answers:
    """Each document's bits; the end of one counts as a byte, as it does in the figures."""
    kept = [one for one in read_documents(files) if model.settings.data.keep_empty or not is_blank(one)]
    if not text.documents:  # running text, which nothing ends
        kept, nats_D, ends = ["".join(kept)], nats_N.sum(keepdims=True), 0
    else:
        # what is predicted after one end is the next document, up to its own
        last = np.flatnonzero(np.asarray(text.stream)[1:] == EOS_ID)
        nats_D, ends = np.add.reduceat(nats_N, [0, *last[:-1] + 1]), 1
    bytes_D = np.array([len(one.encode()) + ends for one in kept], dtype=np.float64)
    score = ratio(METRICS["bits_per_byte"], nats_D / math.log(2), bytes_D)
    outputs = [METRICS["bits_per_byte"].text(bits) + " bits a byte" for bits in score.sums_NK[:, 0] / bytes_D]
    return Answers("documents", kept, [""] * len(kept), outputs, [score])
