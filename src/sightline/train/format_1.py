"""What configurations of format 1 say, which version 0.1.0 wrote, in the keys and words of today."""

from __future__ import annotations

from collections.abc import Mapping

# What keys that format 1 did not know meant in it, by kind of model.
_ADDED = {"recurrent": {"forget_bias": 0.0}, "seq2seq": {"forget_bias": 0.0}}


def upgrade_sizes(sizes: Mapping[str, object]) -> dict[str, object]:
    """The sizes of a model, in which what is left out means what it meant then.

    Biases of forget gates began at 0, and square waves were the signs of sinusoids.
    """
    upgraded = {**_ADDED.get(str(sizes.get("kind")), {}), **sizes}
    if upgraded.get("positions") == "square":
        upgraded["positions"] = "square_2pi"
    return upgraded
