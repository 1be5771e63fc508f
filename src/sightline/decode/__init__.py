"""Search over any `step(tokens, state) -> (logits, state)`."""

from sightline.decode.options import Hypothesis, SearchOptions
from sightline.decode.probabilities import log_probabilities, require_numbers
from sightline.decode.search import Search
from sightline.decode.strategies import SearchRequest

__all__ = ["Hypothesis", "Search", "SearchOptions", "SearchRequest", "log_probabilities", "require_numbers"]
