"""Splits by content: which of the records between two fractions belong to a part, whatever order they come in.

A record's *key* is what no two sides of a split may share, such as the source of a translation. Its place is a number
from 0 to 1 that the key alone decides, so that equal ones are on one side, in whichever files they lie.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

T = TypeVar("T")
Fractions = tuple[float, float]


def rising(name: str) -> Callable[[Fractions], Fractions]:
    """What refuses fractions, so called, that are no stretch of 0 to 1, by a ValueError."""

    def check(fractions: Fractions) -> Fractions:
        if not 0 <= fractions[0] < fractions[1] <= 1:
            raise ValueError(f"{name} {list(fractions)} must be two rising fractions between 0 and 1")
        return fractions

    return check


Split = Annotated[
    Annotated[Fractions, AfterValidator(rising("split"))] | None,
    Field(
        description="[from, to]: only the records whose content, hashed, lies between these two fractions; equal ones "
        "are never on two sides"
    ),
]


def place(key: str | bytes) -> float:
    """Where a key lies, from 0 to 1 (not included); of a text case and white space do not count."""
    data = " ".join(key.casefold().split()).encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    return (int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 11) / 2**53


def within(number: float, split: Fractions) -> bool:
    """Whether a place belongs to a split."""
    return split[0] <= number < split[1]


def take_split(records: Iterable[T], split: Fractions | None, key: Callable[[T], str]) -> Iterator[T]:
    """The records of a split, in order; all of them where there is none."""
    return (one for one in records if split is None or within(place(key(one)), split))


def take_stratified(
    records: Iterable[T], split: Fractions | None, key: Callable[[T], str], stratum: Callable[[T], str]
) -> Iterable[T]:
    """The same, each stratum (class) having its share in every split; the records are held in memory."""
    if split is None:
        return records
    whole = list(records)
    places = stratify([place(key(one)) for one in whole], [stratum(one) for one in whole])
    return [one for one, number in zip(whole, places, strict=True) if within(number, split)]


def stratify(places: Sequence[float], strata: Sequence[str]) -> list[float]:
    """Places such that every stretch of them has its share of every stratum: (rank + 1/2) / number of different ones.

    What has one place beforehand has one afterwards, and is of the stratum that most of it is of, the first by name
    where several are.
    """
    counts: dict[float, Counter[str]] = {}
    for number, stratum in zip(places, strata, strict=True):
        counts.setdefault(number, Counter())[stratum] += 1
    own: dict[str, list[float]] = {}
    for number in sorted(counts):
        stratum = min(counts[number].items(), key=lambda item: (-item[1], item[0]))[0]
        own.setdefault(stratum, []).append(number)
    spread = sorted(((rank + 0.5) / len(one), number) for one in own.values() for rank, number in enumerate(one))
    final = {number: (rank + 0.5) / len(spread) for rank, (_, number) in enumerate(spread)}
    return [final[number] for number in places]
