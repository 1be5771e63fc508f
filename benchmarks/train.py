"""Training speed of one Transformer, ours against other toolkits: same data, sizes and batches, by turns in one run.

    python benchmarks/train.py --updates 30 --repeats 3
    python benchmarks/train.py --contenders sightline-bf16,marian-bf16 --json
    python benchmarks/train.py --eole PATH_OF_THE_PROGRAM

eole takes part where its program is installed (pip install eole; it may have a virtual environment of its own).
A contender ending in "-allocator" runs with glibc told to keep big blocks, which Sightline does by itself.

Every run is a process of its own, so that nobody's allocator or threads help or hurt another. The figure is target
tokens (ends of sentences included, padding not) a second, without the first updates; medians over the repeats.
Multi30k English-German is read from the folder that SIGHTLINE_DATA names, or fetched.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Iterator

import contenders
import eole_command
import torch
import turns

WARM_UP = 5
EOLE = ("eole-fp32", "eole-bf16")


def batches(updates: int) -> Iterator[contenders.Batch]:
    """The batches every contender trains on: about 4,096 target tokens each, bucketed by length."""
    from sightline.data.batches import BatchOrder, DataPosition, collate, iterate
    from sightline.data.pairs import PairSource, encode_pairs, read_pairs
    from sightline.data.tokenizer import Tokenizer

    source = PairSource(source="multi30k:train.en.gz", target="multi30k:train.de.gz")
    lines = (text for pair in read_pairs(source) for text in pair)
    tokenizer = Tokenizer.train(lines, kind="bpe", vocab_size=contenders.VOCAB)
    pairs = encode_pairs([source], tokenizer, tokenizer, max_source_tokens=100, max_target_tokens=100)
    order = BatchOrder(pairs.source_lengths, pairs.target_lengths, contenders.TOKENS, seed=1)
    for number, (_, indices) in enumerate(iterate(order, DataPosition(1))):
        if number == updates:
            return
        yield collate(pairs, indices)


def measure(name: str, updates: int, threads: int, eole: str) -> dict:
    """Trains one contender in this process; tokens a second and the loss of the last updates."""
    if name in EOLE:
        return eole_command.measure(eole, name.removeprefix("eole-"), updates, threads)
    torch.set_num_threads(threads)
    drawn = list(batches(updates + WARM_UP))
    step = contenders.CONTENDERS[name.removesuffix(turns.ALLOCATOR)](threads)
    losses, tokens, start = [], 0, 0.0
    for number, batch in enumerate(drawn):
        if number == WARM_UP:
            start = time.perf_counter()
        losses.append(step(batch) / batch.num_target_tokens)
        if number >= WARM_UP:
            tokens += batch.num_target_tokens
    return {"tokens_per_second": tokens / (time.perf_counter() - start), "loss": statistics.fmean(losses[-10:])}


def main() -> None:
    parser = turns.arguments(__doc__, updates=30)
    parser.add_argument("--eole", default=shutil.which("eole") or "", help="path of the eole program")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.updates, options.threads, options.eole)))
        return
    peers = [name for name in contenders.CONTENDERS if not name.startswith("sightline")]
    known = [*contenders.CONTENDERS, *(name + turns.ALLOCATOR for name in peers), *(EOLE if options.eole else ())]
    names = turns.chosen(options, known)
    if not options.eole:
        print("eole is not installed and takes no part; name its program with --eole", file=sys.stderr)
    turns.report(turns.run(__file__, names, options, ["--eole", options.eole]), options)


if __name__ == "__main__":
    main()
