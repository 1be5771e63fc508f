"""Search over any `step(tokens, state) -> (logits, state)`."""

from sightline.decode.options import Hypothesis, SearchOptions
from sightline.decode.probabilities import log_probabilities
from sightline.decode.search import search, searching

__all__ = ["Hypothesis", "SearchOptions", "log_probabilities", "search", "searching"]
