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

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import contenders
import eole_command
import torch

WARM_UP = 5
EOLE = ("eole-fp32", "eole-bf16")
ALLOCATOR = "-allocator"
# glibc's way to have its thresholds set from outside; the values Sightline sets from inside
KEEP_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


def batches(updates: int) -> Iterator[contenders.Batch]:
    """The batches every contender trains on: about 4,096 target tokens each, bucketed by length."""
    from sightline.data.batches import BatchOrder, DataPosition, collate, iterate
    from sightline.data.cache import encode_pairs
    from sightline.data.readers import PairSource, read_pairs
    from sightline.data.tokenizer import Tokenizer

    source = PairSource("multi30k:train.en.gz", "multi30k:train.de.gz")
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
    step = contenders.CONTENDERS[name.removesuffix(ALLOCATOR)](threads)
    losses, tokens, start = [], 0, 0.0
    for number, batch in enumerate(drawn):
        if number == WARM_UP:
            start = time.perf_counter()
        losses.append(step(batch) / batch.num_target_tokens)
        if number >= WARM_UP:
            tokens += batch.num_target_tokens
    return {"tokens_per_second": tokens / (time.perf_counter() - start), "loss": statistics.fmean(losses[-10:])}


def main() -> None:
    options = arguments()
    if options.one:
        print(json.dumps(measure(options.one, options.updates, options.threads, options.eole)))
        return
    peers = [name for name in contenders.CONTENDERS if not name.startswith("sightline")]
    known = [*contenders.CONTENDERS, *(name + ALLOCATOR for name in peers), *(EOLE if options.eole else ())]
    names = options.contenders.split(",") if options.contenders else known
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"--contenders: no {unknown[0]}; known: {', '.join(known)}")
    if not options.eole:
        print("eole is not installed and takes no part; name its program with --eole", file=sys.stderr)
    found: dict[str, list[dict]] = {name: [] for name in names}
    for repeat in range(options.repeats):
        for name in names:
            words = [sys.executable, Path(__file__), "--one", name, "--updates", options.updates]
            words += ["--threads", options.threads, "--eole", options.eole]
            environment = {**os.environ, **(KEEP_BLOCKS if name.endswith(ALLOCATOR) else {})}
            ran = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, env=environment)
            if ran.returncode:
                sys.exit(f"{name}: {ran.stderr.strip().splitlines()[-1]}")
            found[name].append(json.loads(ran.stdout.splitlines()[-1]))
            print(f"{repeat + 1}/{options.repeats} {name}: {found[name][-1]}", file=sys.stderr)
    report(found, options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", default="", help="some of them, joined by commas; all by default")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--eole", default=shutil.which("eole") or "", help="path of the eole program")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def report(found: dict[str, list[dict]], options: argparse.Namespace) -> None:
    medians = {name: statistics.median(one["tokens_per_second"] for one in runs) for name, runs in found.items()}
    peers = [value for name, value in medians.items() if not name.startswith("sightline")]
    if options.json:
        print(json.dumps({"medians": medians, "runs": found, "torch": torch.__version__}, indent=2))
        return
    print(f"{platform.processor() or platform.machine()}, {options.threads} threads, PyTorch {torch.__version__}")
    print(f"{'contender':36} {'tokens/s':>9} {'range':>17} {'× fastest peer':>15} {'loss':>7}")
    for name, median in sorted(medians.items(), key=lambda item: -item[1]):
        speeds = [one["tokens_per_second"] for one in found[name]]
        ratio = f"{median / max(peers):.2f}" if peers else ""
        loss = statistics.fmean(one["loss"] for one in found[name])
        print(f"{name:36} {median:9,.0f} {min(speeds):8,.0f}-{max(speeds):8,.0f} {ratio:>15} {loss:7.3f}")


if __name__ == "__main__":
    main()
