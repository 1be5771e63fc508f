"""Search over any `step(tokens, state) -> (logits, state)`."""

from sightline.decode.choosing import Sentence
from sightline.decode.options import Hypothesis, SearchOptions
from sightline.decode.probabilities import log_probabilities
from sightline.decode.search import Search

__all__ = ["Hypothesis", "Search", "SearchOptions", "Sentence", "log_probabilities"]
