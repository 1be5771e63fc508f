"""The small GPT on characters of Shakespeare, ours against nanoGPT: whole commands, by turns, start-up included.

    python benchmarks/shakespeare.py --nanogpt CHECKOUT

Both train 4 layers of width 128 on blocks of 64 characters, 12 at a time, for 2,000 updates, on the first nine tenths
of the text, nanoGPT with the settings that its README gives for a CPU. A third contender is ours with 1,150 of 2,000
updates, which are enough for the loss that nanoGPT ends with. Its validation loss is its own estimate from a few
random blocks; ours is of every character of the last tenth. The checkout is only read: what nanoGPT writes goes to a
temporary folder. The text is read from the folder that SIGHTLINE_DATA names, or fetched.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

TEXT = "tinyshakespeare:input.txt"
SETTINGS = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=100 --block_size=64 --batch_size=12 --n_layer=4 "
    "--n_head=4 --n_embd=128 --lr_decay_iters={updates} --max_iters={updates} --dropout=0.0"
)


def ours(updates: int, threads: int, checkout: Path | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "sightline", "train", "shakespeare-char", "--run", f"{folder}/run"]
        words += [f"training.threads={threads}", f"training.max_updates={updates}"]
        seconds, told = timed(words, Path(folder), threads)
    (loss,) = re.findall(r"validation loss ([\d.]+)", told)[-1:]
    return {"seconds": seconds, "loss": float(loss)}


def nanogpt(updates: int, threads: int, checkout: Path | None) -> dict[str, float]:
    from sightline.data.sources import resolve

    assert checkout is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkout"
        shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns(".git"))
        data = folder / "data" / "shakespeare_char"
        shutil.copyfile(resolve(TEXT), data / "input.txt")
        prepared, _ = timed([sys.executable, str(data / "prepare.py")], folder, threads)
        settings = SETTINGS.format(updates=updates).split()
        command = [sys.executable, "train.py", "config/train_shakespeare_char.py", *settings]
        seconds, told = timed(command, folder, threads)
    losses = re.findall(r"val loss ([\d.]+)", told)
    return {"seconds": seconds, "prepared": prepared, "loss": float(losses[-1])}


def timed(words: list[str], folder: Path, threads: int) -> tuple[float, str]:
    start = time.perf_counter()
    ran = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    if ran.returncode:
        sys.exit(f"{' '.join(words)}: {ran.stderr.strip().splitlines()[-1]}")
    return time.perf_counter() - start, ran.stdout + ran.stderr


def ours_shorter(updates: int, threads: int, checkout: Path | None) -> dict[str, float]:
    return ours(updates * 23 // 40, threads, checkout)


CONTENDERS = {"sightline": ours, "sightline, 23/40 of the updates": ours_shorter, "nanogpt": nanogpt}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT; without one only ours is timed")
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = [name for name in CONTENDERS if name != "nanogpt" or options.nanogpt]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for repeat in range(options.repeats):
        for name in names:
            found[name].append(CONTENDERS[name](options.updates, options.threads, options.nanogpt))
            print(f"{repeat + 1}/{options.repeats} {name}: {found[name][-1]}", file=sys.stderr)
    medians = {name: statistics.median(one["seconds"] for one in runs) for name, runs in found.items()}
    if options.json:
        print(json.dumps({"medians": medians, "runs": found, "torch": torch.__version__}, indent=2))
        return
    print(f"{options.updates} updates, {options.threads} threads, PyTorch {torch.__version__}")
    for name, seconds in medians.items():
        ratio = f"{medians['nanogpt'] / seconds:.2f}" if "nanogpt" in medians else ""
        losses = ", ".join(f"{one['loss']:.3f}" for one in found[name])
        print(f"{name:30} {seconds:7.1f} s   {ratio:>5} × nanoGPT's speed   validation loss {losses}")


if __name__ == "__main__":
    main()
