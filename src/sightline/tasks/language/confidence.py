"""What tells a good continuation from a bad one, and the fit of that to how the validation text really goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from sightline.data.documents import TextSource, read_pieces
from sightline.data.text import normalize_text
from sightline.decode import Hypothesis
from sightline.predict.confidence import Confidence, fit, token_features
from sightline.predict.metrics import sentence_scores
from sightline.predict.streaming import NEAR, after

if TYPE_CHECKING:
    from sightline.tasks.language.predictor import LanguageModel

PROMPT, CONTINUATION = 32, 32  # tokens of the validation text that are given, and that follow
FEWEST = 4  # tokens of a prompt
PARTS = 500  # of the validation text
LONGEST = 100_000  # characters of a text that is taken apart at once
TOGETHER = 64  # prompts between two calls of `done`


def generation_features(read: int, hypotheses: Sequence[Hypothesis]) -> list[dict[str, float]]:
    """Of continuations of a prompt of so many tokens: what the probabilities of theirs say.

    Lengths and ends are left out: where a continuation ends is what its limit was.
    """
    wanted = ("mean_log_probability", "least_log_probability", "spread_log_probability")
    each = [token_features(one.token_log_probabilities, read, one.finished) for one in hypotheses]
    return [{name: one[name] for name in wanted} for one in each]


def fit_confidence(
    model: LanguageModel, acceptable: float | None = None, done: Callable[[int], None] = lambda count: None
) -> Confidence:
    """The confidence of what a run writes, by its own search: after parts of its validation text of 32 tokens, compared
    by chrF2 with the 32 tokens that follow there, or fewer to the end of the document.

    Raises UsageError where there are too few such parts, or all of them on one side of what is acceptable.
    """
    parts = list(islice(_parts(model), PARTS))
    options = model.options(CONTINUATION)
    found: list[Hypothesis] = []
    for start in range(0, len(parts), TOGETHER):
        some = [read for read, _ in parts[start : start + TOGETHER]]
        found += [best[0] for best in model.hypotheses(some, options)]
        done(len(some))
    both = list(zip(parts, found, strict=True))
    written = [after(model.tokenizer, read[-NEAR:], one.tokens) for (read, _), one in both]
    right = [after(model.tokenizer, read[-NEAR:], follows) for read, follows in parts]
    scores, signature = sentence_scores("chrF2", written, right)
    features = [one for (read, _), best in both for one in generation_features(len(read), [best])]
    return fit(features, scores, acceptable, weights=model.run.weights_digest(), signature=signature)


def _parts(model: LanguageModel) -> Iterator[tuple[list[int], list[int]]]:
    """(what is read, what follows) of the validation text: parts of its documents that do not overlap."""
    for source in model.settings.data.validation:
        for text in _texts(source):
            ids = model.tokenizer.encode(normalize_text(text))
            for low in range(0, len(ids), PROMPT + CONTINUATION):
                part = ids[low : low + PROMPT + CONTINUATION]
                given = min(PROMPT, len(part) // 2)
                if given >= FEWEST:
                    yield model.begin_ids + part[:given], part[given:]


def _texts(source: TextSource) -> Iterator[str]:
    """Documents, and pieces of what is longer or has none."""
    pending = ""
    for text, ends in read_pieces(source):
        pending += text
        if ends or len(pending) > LONGEST:
            yield pending
            pending = ""
    yield pending
