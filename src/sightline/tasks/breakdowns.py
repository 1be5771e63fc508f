"""The answers of a classifier or tagger taken apart: by class, by confusion, by confidence.

Shapes: `N` records, `C` classes. Classes are numbers from 0; -1 is one that training never had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from sightline.predict.metrics import binned_error, reliability
from sightline.sight.scores import confusion_picture, reliability_picture
from sightline.tasks.details import Breakdown, Caution, Detail, Picture

FEW = 12  # classes whose tables are short
MOST_CONFUSIONS, MOST_MISTAKES, MOST_NAMES = 20, 10, 5
NEARLY_ALL = 0.95  # of the predictions
UNKNOWN = "(unknown)"


def class_details(
    unit: str,
    inputs: Sequence[str],
    classes: Sequence[str],
    true_N: np.ndarray,
    probabilities_NC: np.ndarray,
) -> list[Detail]:
    """What a classifier answered, taken apart.

    Args:
        unit: what a record is, in the plural. inputs: each record's. classes: their names.
        true_N: numbers of the right classes.
    """
    told_N, confidence_N = probabilities_NC.argmax(1), probabilities_NC.max(1)
    names = [*classes, *([UNKNOWN] if (true_N < 0).any() else [])]
    true_N = np.where(true_N < 0, len(classes), true_N)
    few = len(classes) <= FEW
    found: list[Detail] = [
        *_cautions(unit, names, true_N, told_N),
        _per_class(unit, names, true_N, told_N, few),
        _matrix(unit, names, true_N, told_N) if few else _confusions(unit, names, true_N, told_N),
        reliability_detail(unit, true_N == told_N, confidence_N),
    ]
    wrong = np.flatnonzero(true_N != told_N)
    surest = cast("list[int]", wrong[np.argsort(-confidence_N[wrong], kind="stable")][:MOST_MISTAKES].tolist())
    if surest:
        true, told = (cast("list[int]", each.tolist()) for each in (true_N, told_N))
        rows = tuple((inputs[i], names[true[i]], names[told[i]], float(confidence_N[i])) for i in surest)
        columns = ("input", "label", "prediction", "probability")
        found.append(
            Breakdown("confident_mistakes", "most confident mistakes", columns, rows, digits=4, texts=(0, 1, 2))
        )
    return found


def counted(name: str, title: str, what: str, counts: Mapping[str, Sequence[int]], *, short: bool = False) -> Breakdown:
    """Precision, recall and F1 in per cent, and support, by class or type.

    Args:
        what: what a row is. counts: for each, how many were right, how many were told, and how many there are.
    """
    rows = tuple(
        (one, _per_cent(right, told), _per_cent(right, true), _per_cent(2 * right, told + true), true, told)
        for one, (right, told, true) in counts.items()
    )
    return Breakdown(name, title, (what, "precision", "recall", "F1", "support", "predicted"), rows, short=short)


def never(what: str, counts: Mapping[str, Sequence[int]]) -> list[Caution]:
    """That classes or types that are there were never told, where that is so; `counts` as of `counted`."""
    missing = {one: true for one, (_, told, true) in counts.items() if true and not told and one != UNKNOWN}
    if not missing:
        return []
    largest = sorted(missing, key=lambda one: -missing[one])[:MOST_NAMES]
    shown = ", ".join(f'"{one}" ({missing[one]:,})' for one in largest)
    more = f" and {len(missing) - len(largest):,} more" if len(missing) > len(largest) else ""
    return [Caution("never_predicted", f"never predicted: {what} {shown}{more}; see how many training has of them")]


def _cautions(unit: str, names: Sequence[str], true_N: np.ndarray, told_N: np.ndarray) -> list[Caution]:
    found: list[Caution] = []
    most = int(np.bincount(told_N).argmax())
    told, true = (np.count_nonzero(one == most) / len(one) for one in (told_N, true_N))
    if told >= NEARLY_ALL and told > true:
        text = (
            f'{100 * told:.1f} % of predictions are "{names[most]}", which {100 * true:.1f} % of the {unit} are; see '
            "how many records each class has in training, and whether its loss fell (sightline show RUN)"
        )
        found.append(Caution("one_class", text))
    return found + never("class", _class_counts(names, true_N, told_N))


def _class_counts(names: Sequence[str], true_N: np.ndarray, told_N: np.ndarray) -> dict[str, tuple[int, int, int]]:
    right_C, told_C, true_C = (
        np.bincount(one, minlength=len(names)).tolist() for one in (true_N[true_N == told_N], told_N, true_N)
    )
    return dict(zip(names, zip(right_C, told_C, true_C, strict=True), strict=True))


def _per_class(unit: str, names: Sequence[str], true_N: np.ndarray, told_N: np.ndarray, few: bool) -> Breakdown:
    title = f"by class of the {unit}, in %"
    return counted("per_class", title, "class", _class_counts(names, true_N, told_N), short=few)


def _matrix(unit: str, names: Sequence[str], true_N: np.ndarray, told_N: np.ndarray) -> Breakdown:
    """Rows are labels, columns what was told."""
    matrix_CC = np.zeros((len(names), len(names)), np.int64)
    np.add.at(matrix_CC, (true_N, told_N), 1)
    rows = tuple((name, *counts) for name, counts in zip(names, matrix_CC.tolist(), strict=True))
    title = f"confusion matrix of the {unit}, a row a label"
    seen = [_row_seen(names, row, counts) for row, counts in enumerate(matrix_CC) if counts.any()]
    picture = Picture(f"{title}: {'; '.join(seen)}", lambda path: confusion_picture(matrix_CC, names, path))
    return Breakdown("confusion_matrix", title, ("label", *names), rows, picture=picture)


def _row_seen(names: Sequence[str], label: int, counts_C: np.ndarray) -> str:
    """What a row of the matrix shows: how much of a label is told rightly, and what it is most often taken for."""
    total, wrong_C = int(counts_C.sum()), counts_C.copy()
    wrong_C[label] = 0
    most = int(wrong_C.argmax())
    mistaken = f", {_per_cent(int(wrong_C[most]), total):.0f} % told {names[most]}" if wrong_C[most] else ""
    return f"{names[label]} {_per_cent(int(counts_C[label]), total):.0f} % right{mistaken}"


def _confusions(unit: str, names: Sequence[str], true_N: np.ndarray, told_N: np.ndarray) -> Breakdown:
    wrong = true_N != told_N
    true, told = (cast("list[int]", each[wrong].tolist()) for each in (true_N, told_N))
    pairs = Counter(zip(true, told, strict=True))
    support_C = np.bincount(true_N, minlength=len(names))
    rows = tuple(
        (names[label], names[prediction], count, _per_cent(count, int(support_C[label])))
        for (label, prediction), count in sorted(pairs.items(), key=lambda one: (-one[1], one[0]))[:MOST_CONFUSIONS]
    )
    columns = ("label", "prediction", unit, "% of the label")
    return Breakdown("confusions", "most frequent confusions", columns, rows, texts=(1,))


def reliability_detail(
    unit: str, right_N: np.ndarray, confidence_N: np.ndarray, what: str = "what is told", right: str = "right"
) -> Breakdown:
    """The reliability diagram of Guo et al. 2017, drawn and as a table, by the bins of the calibration error.

    Args:
        unit: what a record is, in the plural. what, right: what the probability is of, and of being what.
    """
    bins = reliability(confidence_N, right_N)
    rows = tuple((f"{one.low:.2f}–{one.high:.2f}", one.count, one.confidence, one.accuracy) for one in bins)
    columns = ("probability", unit, "mean confidence", "accuracy")
    sure, share = 100 * float(confidence_N.mean()), 100 * float(right_N.mean())
    leaning = "more" if sure > share else "less"
    about = (
        f"reliability diagram of {len(right_N):,} {unit}: expected calibration error {binned_error(bins):.1f} %; "
        f"{what} is {right} with a mean probability of {sure:.1f} %, and {share:.1f} % of it is: it is {leaning} sure "
        f"than {right} on the whole"
    )
    picture = Picture(about, lambda path: reliability_picture(bins, unit, path))
    title = f"how often {what} is {right}, by its probability, in %"
    return Breakdown("reliability", title, columns, rows, picture=picture)


def _per_cent(part: int, of: int) -> float:
    return 100 * part / of if of else 0.0
