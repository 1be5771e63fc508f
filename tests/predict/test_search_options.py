"""Which search options go together."""

from __future__ import annotations

import re

import pytest

from sightline.errors import UsageError
from sightline.predict.search_options import with_strategy


@pytest.mark.parametrize(
    ("changes", "strategy"),
    [
        ({}, None),
        ({"seed": 3, "repetition_penalty": 1.2}, None),
        ({"beam": 4, "seed": 3}, "beam"),
        ({"temperature": 0}, "sample"),
        ({"top_p": 0.5, "min_p": 0.1, "strategy": "sample"}, "sample"),
        ({"strategy": "beam"}, "beam"),
    ],
)
def test_what_is_asked_for_names_the_strategy(changes: dict[str, object], strategy: str | None) -> None:
    assert with_strategy(changes) == {**changes, **({} if strategy is None else {"strategy": strategy})}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam": 4, "temperature": 0.5, "top_k": 3}, "temperature: is of sampling, not of a beam search"),
        ({"beam": 4, "strategy": "sample"}, "beam: is of a beam search, not of sampling"),
        ({"top_k": 4, "strategy": "beam"}, "top_k: is of sampling, not of a beam search"),
    ],
)
def test_options_that_no_one_strategy_reads_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}; leave out either$"):
        with_strategy(changes)
