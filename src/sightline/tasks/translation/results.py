"""What a translation run answers: typed records of translations, where the decoder looked, and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline.data.splitting import Passage
from sightline.predict.brief import BriefRepr
from sightline.predict.metrics import exponential
from sightline.predict.reading import Side, by_word
from sightline.sight import html


@dataclass(frozen=True, repr=False)
class Attention(BriefRepr):
    """Where the decoder looked: weights (sites, T, S) and the names of both axes, end-of-sentence included.

    A site is one head of one layer of a Transformer, layer by layer, or the one attention of a recurrent decoder.
    """

    weights: np.ndarray
    source: Side
    target: Side

    def mean(self) -> np.ndarray:
        """The weights averaged over the sites (T, S)."""
        return self.weights.mean(0)

    def by_word(self) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
        """(weights of words on words, source words, target words), averaged over the sites.

        What a word was looked at is the sum over its tokens; where it looked, the mean over its tokens.
        """
        return by_word(self.mean(), self.target, self.source), self.source.names, self.target.names

    def _repr_html_(self) -> str:
        return html.attention(self)


@dataclass(frozen=True, repr=False)
class Translation(BriefRepr):
    """One translation.

    Attributes:
        text: the translation. tokens: its pieces. score: what the search ranked it by.
        log_probability: ln p(translation | source), in nats, end of sentence included.
        token_log_probabilities: the same token by token, end of sentence last.
        finished: whether the model ended it; False where the length limit did.
        alternatives: the next best ones, where more than one was asked for.
        attention: on request, and where the model attends to its source.
        confidence: on request the probability that it is acceptable (`sightline.predict.confidence`); None of nothing.
        sentences: of a text of several sentences the translation of each; empty where it is one.

    Of several sentences `text` has what stood between those of the source, tokens and their probabilities follow each
    other, `score` and `log_probability` are sums, `finished` says whether the model ended all of them, and alternative
    number i consists of that of every sentence, of its last where it has fewer. What was looked at is of each sentence.
    The confidence of several is that of the least sure one.
    """

    source: str
    text: str
    tokens: tuple[str, ...]
    score: float
    log_probability: float
    token_log_probabilities: tuple[float, ...]
    finished: bool
    alternatives: tuple[Translation, ...] = ()
    attention: Attention | None = None
    sentences: tuple[Translation, ...] = ()
    confidence: float | None = None

    @classmethod
    def of_passage(cls, text: str, passage: Passage, sentences: Sequence[Translation]) -> Translation:
        """That of a text, from those of the sentences it was taken apart into."""
        count = max(len(one.alternatives) for one in sentences)
        versions = [[(one, *one.alternatives)[: number + 1][-1] for one in sentences] for number in range(count + 1)]
        best, *others = [cls._joined(text, passage, version) for version in versions]
        return replace(best, alternatives=tuple(others))

    @classmethod
    def _joined(cls, text: str, passage: Passage, sentences: Sequence[Translation]) -> Translation:
        whole = passage.joined([one.text for one in sentences])
        if len(sentences) == 1:
            return replace(sentences[0], source=text, text=whole)
        return cls(
            source=text,
            text=whole,
            tokens=tuple(token for one in sentences for token in one.tokens),
            score=sum(one.score for one in sentences),
            log_probability=sum(one.log_probability for one in sentences),
            token_log_probabilities=tuple(value for one in sentences for value in one.token_log_probabilities),
            finished=all(one.finished for one in sentences),
            sentences=tuple(sentences),
            confidence=min((one.confidence for one in sentences if one.confidence is not None), default=None),
        )

    def _repr_html_(self) -> str:
        if self.sentences:
            return html.joined(one._repr_html_() for one in self.sentences)
        return html.translation(self, self.attention)


@dataclass(frozen=True, repr=False)
class Scored(BriefRepr):
    """How probable a given translation is: ln p in nats, and token by token (end of sentence last)."""

    log_probability: float
    token_log_probabilities: tuple[float, ...]

    @property
    def perplexity(self) -> float:
        return exponential(-self.log_probability / len(self.token_log_probabilities))
