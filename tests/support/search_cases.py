"""A search of many sentences that begin and step together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sightline.decode import Hypothesis, Search, SearchOptions, SearchRequest
from sightline.decode.search import Step
from sightline.decode.strategies import Stop


def search(
    step: Step,
    state: Any,
    options: SearchOptions,
    *,
    source_lengths: Sequence[int],
    bos_id: int | Sequence[int],
    prefixes: Sequence[Sequence[int]] | None = None,
    read: Sequence[Sequence[int]] | None = None,
    seeds: Sequence[int] | None = None,
    stop: Stop | None = None,
    **more: Any,
) -> list[list[Hypothesis]]:
    """The n best of each sentence; `state` has a row for each, and `more` is for `Search`."""
    count = len(source_lengths)
    requests = [
        SearchRequest(options.max_length(length), first, prefix, before, stop, seed)
        for length, first, prefix, before, seed in zip(
            source_lengths,
            [bos_id] * count if isinstance(bos_id, int) else bos_id,
            prefixes or [()] * count,
            read or [()] * count,
            seeds or [options.seed] * count,
            strict=True,
        )
    ]
    going = Search(step, options, **more)
    going.add(requests, state)
    going.run()
    return [one.finished for one in requests]
