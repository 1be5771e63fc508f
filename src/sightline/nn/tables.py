"""Tables: matrices whose rows are looked up by an index, such as embeddings, and not multiplied by."""

from __future__ import annotations

from torch import nn


class LookupTable(nn.Parameter):
    """A parameter (N, D) of which a row is taken for each id, position or segment.

    Most of its rows get no gradient in an update, so weight decay leaves it alone.
    """
