"""Training throughput of the LSTM language model on WikiText-2, ours against PyTorch's word_language_model example.

    python benchmarks/lstm.py --examples CHECKOUT

Both train two tied layers of 650 units with dropout 0.5 on 20 streams of 35 words, the whole vocabulary in the softmax,
and tell their speed every few updates; the medians of these figures are compared, by turns. A third one of ours has an
adaptive softmax, as the recipes do. The checkout of pytorch/examples is only read. The text comes from the folder that
SIGHTLINE_DATA names, or is fetched.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

STREAMS, LENGTH, WIDTH = 20, 35, 650
EVERY = 10  # updates between two figures


def ours(options: argparse.Namespace, precision: str, cutoffs: str = "[]") -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "sightline", "train", "wikitext2-lstm", "--run", f"{folder}/run"]
        words += [f"model.{name}={WIDTH}" for name in ("width", "embedding_width")]
        words += [
            "model.num_layers=2",
            "model.dropout=0.5",
            "model.input_dropout=0.5",
            "training.ema=0",
            f"model.cutoffs={cutoffs}",
        ]
        words += [f"data.block={LENGTH}", f"training.tokens_per_batch={STREAMS * LENGTH}"]
        words += [f"training.precision={precision}", f"training.threads={options.threads}"]
        words += [f"training.log_every={EVERY}"]
        lines = run(words, Path(folder), options.threads, options.figures + 1, r"tokens per second ([\d,.]+)")
    return [float(line.replace(",", "")) for line in lines[1:]]


def adaptive(options: argparse.Namespace, precision: str) -> list[float]:
    """Ours with another output than the example's, which the recipes have."""
    return ours(options, precision, "[4000, 12000]")


def example(options: argparse.Namespace, precision: str) -> list[float]:
    from sightline.data.sources import resolve

    with tempfile.TemporaryDirectory() as folder:
        for name, source in (("train", "train"), ("valid", "valid"), ("test", "valid")):
            text = gzip.decompress(resolve(f"wikitext-2:{source}.txt.gz").read_bytes())
            (Path(folder) / f"{name}.txt").write_bytes(text)
        words = [sys.executable, "-u", str(options.examples.resolve() / "word_language_model" / "main.py"), "--tied"]
        words += ["--data", folder, "--model", "LSTM", "--emsize", str(WIDTH), "--nhid", str(WIDTH), "--dropout", "0.5"]
        words += ["--batch_size", str(STREAMS), "--bptt", str(LENGTH), "--log-interval", str(EVERY)]
        lines = run(words, Path(folder), options.threads, options.figures + 1, r"ms/batch +([\d.]+)")
    return [1000 * STREAMS * LENGTH / float(line) for line in lines[1:]]


def run(words: list[str], folder: Path, threads: int, count: int, pattern: str) -> list[str]:
    """The first `count` matches in what a program prints, which is then ended."""
    process = subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    told: list[str] = []

    def found() -> Iterator[str]:
        for line in process.stdout or ():
            told.append(line)
            if match := re.search(pattern, line):
                yield match.group(1)

    try:
        matches = [match for match, _ in zip(found(), range(count), strict=False)]
    finally:
        process.kill()
        process.wait()
    if len(matches) < count:
        sys.exit(f"{' '.join(words)}: {''.join(told[-3:]).strip()}")
    return matches


CONTENDERS = {
    "sightline bf16": (ours, "bf16"),
    "sightline fp32": (ours, "fp32"),
    "sightline bf16, adaptive softmax": (adaptive, "bf16"),
    "pytorch example fp32": (example, "fp32"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=Path, help="a checkout of pytorch/examples; without one only ours is timed")
    parser.add_argument("--figures", type=int, default=5, help=f"figures of each run, one every {EVERY} updates")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = [name for name in CONTENDERS if "example" not in name or options.examples]
    found: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(options.repeats):
        for name in names:
            function, precision = CONTENDERS[name]
            figures = function(options, precision)
            found[name].append(statistics.median(figures))
            print(f"{repeat + 1}/{options.repeats} {name}: {found[name][-1]:,.0f} tokens/s", file=sys.stderr)
    medians = {name: statistics.median(speeds) for name, speeds in found.items()}
    if options.json:
        print(json.dumps({"medians": medians, "runs": found, "torch": torch.__version__}, indent=2))
        return
    print(f"{STREAMS} × {LENGTH} tokens, {options.threads} threads, PyTorch {torch.__version__}")
    for name, speed in medians.items():
        ratio = f"{speed / medians[peer]:5.2f} × the example" if (peer := "pytorch example fp32") in medians else ""
        print(f"{name:34} {speed:8,.0f} tokens/s  {ratio}")


if __name__ == "__main__":
    main()
