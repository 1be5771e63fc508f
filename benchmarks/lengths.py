"""BLEU by source length for several trained runs, as a table and a picture.

python benchmarks/lengths.py runs/multi30k-gru-fixed runs/multi30k-transformer --picture docs/pictures/lengths.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline.sight.pictures import curves_picture
from sightline.tasks.translation.evaluation import evaluate_pairs
from sightline.tasks.translation.predictor import Translator
from sightline.train.machine import setup


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--set", help="the test set's name; the first of the run by default")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    setup()
    curves, buckets = {}, []
    for path in options.runs:
        translator = Translator(path)
        sets = translator.settings.data.test
        name = options.set or next(iter(sets))
        found = evaluate_pairs(translator, name, sets[name], translator.settings.search)
        title = Path(path).name
        curves[title] = [score for _, _, score in found.buckets]
        buckets = [f"{words}\n({count})" for words, count, _ in found.buckets]
        print(
            f"{title:28}" + "".join(f" {score:6.1f}" for score in curves[title]) + f"  all {found.score('BLEU'):6.2f}"
        )
    print(f"{'source words (sentences)':28}" + "".join(f" {bucket.splitlines()[0]:>6}" for bucket in buckets))
    if options.picture:
        curves_picture(curves, buckets, options.picture, xlabel="source length in words (sentences)", ylabel="BLEU")


if __name__ == "__main__":
    main()
