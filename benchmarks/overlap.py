"""How far counting alone gets on pairs of texts: Spearman's correlation of labelled scores with shared characters.

    python benchmarks/overlap.py korsts:sts-dev.tsv --texts sentence1 sentence2 --label score

For runs of N characters it takes the share that both texts have of all that either has (Jaccard's index): what a model
that is to compare texts should beat.
"""

from __future__ import annotations

import argparse

import numpy as np

from sightline.data.labelled import LabelledSource, read_labelled
from sightline.predict.metrics import correlations


def runs(text: str, length: int) -> set[str]:
    """All runs of `length` characters."""
    return {text[at : at + length] for at in range(len(text) - length + 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--texts", nargs=2, required=True, metavar="COLUMN")
    parser.add_argument("--label", required=True, metavar="COLUMN")
    options = parser.parse_args()
    records = list(
        read_labelled(LabelledSource(source=options.source, texts=tuple(options.texts), label=options.label))
    )
    labels = np.array([float(label) for _, label in records])
    for length in (1, 2, 3):
        pairs = [[runs(text, length) for text in texts] for texts, _ in records]
        shared = [len(one & other) / max(len(one | other), 1) for one, other in pairs]
        found = correlations(np.array(shared), labels)["spearman"]
        print(f"runs of {length}: Spearman {found:.3f} on {len(labels):,} pairs")


if __name__ == "__main__":
    main()
