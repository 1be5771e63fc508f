"""What tells a good translation from a bad one without a reference, and the fit of that to the validation pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from sightline.decode import Hypothesis
from sightline.predict.confidence import MOST, Confidence, fit, token_features
from sightline.predict.metrics import sentence_scores
from sightline.tasks.translation.decoding import AnyModel, Ids, coverage_ids, translate_ids
from sightline.tasks.translation.task import pairs_to_translate

if TYPE_CHECKING:
    from sightline.tasks.translation.predictor import Translator

TOGETHER = 256  # sentences between two calls of `done`


def translation_features(model: AnyModel, found: Sequence[tuple[Ids, Hypothesis]]) -> list[dict[str, float]]:
    """Of translations, each with the token ids of its source: what their tokens' probabilities, their lengths and the
    attention to their sources say. One pass with teacher forcing, in batches."""
    covered = coverage_ids(model, [(source, one.tokens) for source, one in found])
    return [
        {**token_features(one.token_log_probabilities, len(source), one.finished), "coverage": share}
        for (source, one), share in zip(found, covered, strict=True)
    ]


def fit_confidence(
    translator: Translator, acceptable: float | None = None, done: Callable[[int], None] = lambda count: None
) -> Confidence:
    """The confidence of a run's translations, by its own search, fitted to its validation pairs, the first of them
    where there are very many; each is read whole, as in training.

    Raises UsageError where there are too few, or all of them on one side of what is acceptable.
    """
    pairs = list(islice(pairs_to_translate(translator.settings, translator.tokenizers), MOST))
    sources = [source for source, _ in pairs]
    found: list[Hypothesis] = []
    for start in range(0, len(sources), TOGETHER):
        some = sources[start : start + TOGETHER]
        found += [best[0] for best in translate_ids(translator.model, some, translator.settings.search)]
        done(len(some))
    told = [translator.tokenizers["target"].decode(one.tokens) for one in found]
    scores, signature = sentence_scores("chrF2", told, [reference for _, reference in pairs])
    features = translation_features(translator.model, list(zip(sources, found, strict=True)))
    return fit(features, scores, acceptable, weights=translator.run.weights_digest(), signature=signature)
