"""Memory and time of training on a text far larger than what is held of it, with a vocabulary learned from it.

    python benchmarks/long_text.py --megabytes 1000

The text is made here: 200,000 words of Latin letters and Hangul, as frequent as Zipf's law has them, one sentence a
line. Printed are the seconds and the peak memory of `sightline train` (resident, mapped pages of files included).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WORDS, LINE = 200_000, 15

CONFIGURATION = """task = "language"
[data]
train = [{{ source = "{text}", part = [0.001, 1.0] }}]
validation = [{{ source = "{text}", part = [0.0, 0.001] }}]
block = 128
[tokenizer]
vocab_size = 8000
[model]
kind = "gpt"
d_model = 128
num_layers = 2
num_heads = 4
d_ff = 512
max_length = 128
[training]
max_updates = {updates}
tokens_per_batch = 4096
validate_every = {updates}
[validation]
tokens = 100000
"""


def words(random: np.random.Generator) -> np.ndarray:
    syllables = [a + b for a in "bdfghklmnprstvz" for b in "aeiou"] + [
        chr(0xAC00 + 588 * i + 28 * j) for i in range(19) for j in range(0, 21, 4)
    ]
    chosen = random.integers(0, len(syllables), (WORDS, 4))
    lengths = random.integers(1, 5, WORDS)
    return np.array(["".join(syllables[i] for i in row[:n]) for row, n in zip(chosen, lengths, strict=True)])


def write(path: Path, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    known = words(random)
    total = np.cumsum(1 / np.arange(1, WORDS + 1))
    with path.open("wb") as file:
        while file.tell() < size:
            drawn = known[np.searchsorted(total / total[-1], random.random((20_000, LINE)))]
            file.write("".join(" ".join(line) + "\n" for line in drawn).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "long.txt", options.megabytes * 1_000_000, options.seed)
        text = CONFIGURATION.format(text=folder / "long.txt", updates=options.updates)
        (folder / "long.toml").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "sightline", "train", str(folder / "long.toml"), "--run", str(folder / "run")]
        started = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")})
        seconds = time.perf_counter() - started
    # Linux counts kibibytes, macOS bytes
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{options.megabytes:,} MB of text: {seconds:,.0f} s, at most {peak / 1e9:.2f} GB of memory")


if __name__ == "__main__":
    main()
