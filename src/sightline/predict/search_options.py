"""Which search options belong to which strategy."""

from __future__ import annotations

from collections.abc import Mapping

from sightline.errors import UsageError

# Options that a search of one strategy alone reads. How hypotheses are ranked plays a part wherever there are several,
# and a seed does no harm.
READ_BY = {"beam": ("beam",), "sample": ("temperature", "top_k", "top_p", "min_p")}
SAID = {"beam": "a beam search", "sample": "sampling"}


def with_strategy(changes: Mapping[str, object]) -> dict[str, object]:
    """Changes of search options with the strategy that they ask for where they name none: a beam is searched with, at
    a temperature is sampled.

    Raises UsageError, naming the option, for one that the strategy does not read.
    """
    asked = {strategy: name for strategy, names in READ_BY.items() for name in reversed(names) if name in changes}
    chosen = str(changes.get("strategy") or next(iter(asked), ""))
    for strategy, name in asked.items():
        if chosen in READ_BY and strategy != chosen:
            raise UsageError(f"{name}: is of {SAID[strategy]}, not of {SAID[chosen]}; leave out either")
    return {**changes, "strategy": chosen} if chosen else dict(changes)
