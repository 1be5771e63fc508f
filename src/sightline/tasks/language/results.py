"""What a language model gives: text that it wrote, and how probable text is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sightline.data.tokenizer import Tokenizer
from sightline.predict.brief import BriefRepr
from sightline.predict.metrics import exponential


@dataclass(frozen=True, repr=False)
class Generation(BriefRepr):
    """What a model wrote after a prompt.

    Attributes:
        text: without the prompt, and without the string that stopped it. tokens: its pieces.
        log_probability: ln p of what was written given the prompt, in nats, under the repetition penalty if there was
            one and under no temperature; token_log_probabilities: token by token.
        finished: whether the model or a stop string ended it; False where the length limit did.
        alternatives: further ones, where more than one was asked for.
        confidence: on request the probability that it is acceptable (`sightline.predict.confidence`).
        note: what of the prompt was not read, where it was longer than the context; else nothing.
    """

    prompt: str
    text: str
    tokens: tuple[str, ...]
    log_probability: float
    token_log_probabilities: tuple[float, ...]
    finished: bool
    alternatives: tuple[Generation, ...] = ()
    note: str = ""
    confidence: float | None = None


@dataclass(frozen=True, repr=False)
class ScoredText(BriefRepr):
    """How probable a text is.

    Attributes:
        tokens: its pieces, "</s>" last where the model learned ends of documents.
        token_log_probabilities: ln p of each; None for a first token that nothing predicts.
        characters, utf8_bytes, words: of the text; an end counts as one character, one byte and no word.
    """

    text: str
    tokens: tuple[str, ...]
    token_log_probabilities: tuple[float | None, ...]
    characters: int
    utf8_bytes: int
    words: int

    @property
    def predicted(self) -> int:
        """How many tokens have a probability."""
        return sum(one is not None for one in self.token_log_probabilities)

    @property
    def log_probability(self) -> float:
        """ln p of the text, in nats."""
        return math.fsum(one for one in self.token_log_probabilities if one is not None)

    @property
    def perplexity(self) -> float:
        """Per token."""
        return exponential(-self.log_probability / max(self.predicted, 1))

    @property
    def word_perplexity(self) -> float:
        """Per word, the end of a document counted as one."""
        ended = self.tokens[-1:] == (Tokenizer.END,)
        return exponential(-self.log_probability / max(self.words + ended, 1))

    @property
    def bits_per_byte(self) -> float:
        return -self.log_probability / math.log(2) / max(self.utf8_bytes, 1)

    @property
    def bits_per_character(self) -> float:
        return -self.log_probability / math.log(2) / max(self.characters, 1)
