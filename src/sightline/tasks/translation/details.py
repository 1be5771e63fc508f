"""What is wrong with translations: none, copies of the source, words said over and over; and the worst sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from sightline.predict.metrics import sentence_scores
from sightline.tasks.details import Breakdown, Caution, Detail
from sightline.tasks.translation.settings import METRICS

MOST = 10  # sentences of a table
MANY = 0.05  # of the sentences


@dataclass(frozen=True)
class Fault:
    """A fault that shows without knowing the language: what is said of translations that have it, and what may help.

    `is_in`: of (source, reference, translation), whether the translation has it and the reference has not.
    """

    name: str
    what: str
    advice: str
    is_in: Callable[[str, str, str], bool]


def is_empty(source: str, reference: str, told: str) -> bool:
    """Whether there is no translation where there should be one."""
    return bool(source.strip() and reference.strip()) and not told.strip()


def is_copy(source: str, reference: str, told: str) -> bool:
    """Whether a translation is its source, without regard to case and spaces."""
    source, reference, told = (" ".join(one.split()).casefold() for one in (source, reference, told))
    return bool(told) and told == source != reference


def repeats(source: str, reference: str, told: str) -> bool:
    """Whether the same n-gram stands in a translation twice, or one unit again and again, more often than in the
    reference: four words, or one thrice in a row; of what has no spaces eight characters, or one five times in a row.
    """
    if " " in told.strip():
        return bool(_repetitions(told.split(), 4, 3) - _repetitions(reference.split(), 4, 3))
    return bool(_repetitions(told, 8, 5) - _repetitions(reference, 8, 5))


def _repetitions(units: Sequence[str], size: int, in_a_row: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram of this size stands where it does more than once, and each unit so often in a row."""
    grams, rows = (
        Counter(tuple(units[low : low + length]) for low in range(len(units) - length + 1))
        for length in (size, in_a_row)
    )
    twice = Counter({gram: count for gram, count in grams.items() if count > 1})
    return twice + Counter({row: count for row, count in rows.items() if len(set(row)) == 1})


FAULTS = (
    Fault("empty", "are empty", "see whether their sources are like those of training", is_empty),
    Fault(
        "copies", "copy their source", "see whether training has pairs of equal sides: sightline data check", is_copy
    ),
    Fault("repetitions", "repeat themselves", "train longer, or search with a wider beam", repeats),
)


def translation_details(sources: Sequence[str], references: Sequence[str], hypotheses: Sequence[str]) -> list[Detail]:
    """The faults of translations, with a caution of each kind that is frequent, and the worst ones by chrF2."""
    triples = list(zip(sources, references, hypotheses, strict=True))
    with_fault = [[i for i, one in enumerate(triples) if fault.is_in(*one)] for fault in FAULTS]
    rows = tuple(
        (f"that {fault.what}", len(found), 100 * len(found) / len(triples))
        for fault, found in zip(FAULTS, with_fault, strict=True)
    )
    cautions: list[Detail] = []
    examples: list[Detail] = []
    for fault, found in zip(FAULTS, with_fault, strict=True):
        if found:
            shown = tuple((f"{i + 1:,}", sources[i], hypotheses[i]) for i in found[:MOST])
            columns = ("number", "source", "translation")
            examples.append(Breakdown(fault.name, f"translations that {fault.what}", columns, shown, texts=(1, 2)))
        if found and len(found) >= MANY * len(triples):
            text = f"{len(found):,} of {len(triples):,} translations {fault.what}; {fault.advice}"
            cautions.append(Caution(f"many_{fault.name}", text))
    faults = Breakdown("faults", "what is wrong with translations as such", ("translations", "sentences", "%"), rows)
    return [*cautions, faults, *examples, _worst(sources, references, hypotheses)]


def _worst(sources: Sequence[str], references: Sequence[str], hypotheses: Sequence[str]) -> Breakdown:
    label = METRICS["chrf"].label
    scores_N, _ = sentence_scores(label, hypotheses, references)
    order = cast("list[int]", np.argsort(scores_N, kind="stable").tolist())
    rows = tuple((f"{i + 1:,}", float(scores_N[i]), sources[i], references[i], hypotheses[i]) for i in order[:MOST])
    columns = ("number", label, "source", "reference", "translation")
    return Breakdown("worst", f"the worst translations by {label}", columns, rows, texts=(2, 3, 4))
