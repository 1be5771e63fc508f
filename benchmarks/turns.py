"""Contenders measured by turns: every run a process of its own, medians of the repeats, ratios to the fastest peer."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from sightline.train.machine import processor

Runs = dict[str, list[dict[str, float]]]
ALLOCATOR = "-allocator"
# glibc's way to have its thresholds set from outside; much as Sightline sets them from inside
KEEP_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


def arguments(about: str | None, updates: int) -> argparse.ArgumentParser:
    """What every such benchmark can be told."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", default="", help="some of them, joined by commas; all by default")
    parser.add_argument("--updates", type=int, default=updates)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser


def chosen(options: argparse.Namespace, known: Sequence[str]) -> list[str]:
    """The contenders that were asked for."""
    names = options.contenders.split(",") if options.contenders else list(known)
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"--contenders: no {unknown[0]}; known: {', '.join(known)}")
    return names


def run(program: str, names: Sequence[str], options: argparse.Namespace, more: Sequence[str] = ()) -> Runs:
    """Calls `program` with --one NAME for every contender, again and again; each prints its figures as JSON.

    A contender ending in "-allocator" runs with glibc told to keep big blocks, which Sightline does by itself.
    """
    found: Runs = {name: [] for name in names}
    for repeat in range(options.repeats):
        for name in names:
            words = [sys.executable, Path(program), "--one", name, "--updates", options.updates]
            words += ["--threads", options.threads, *more]
            environment = {**os.environ, **(KEEP_BLOCKS if name.endswith(ALLOCATOR) else {})}
            ran = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, env=environment)
            if ran.returncode:
                sys.exit(f"{name}: {ran.stderr.strip().splitlines()[-1]}")
            found[name].append(json.loads(ran.stdout.splitlines()[-1]))
            print(f"{repeat + 1}/{options.repeats} {name}: {found[name][-1]}", file=sys.stderr)
    return found


def report(found: Mapping[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    """A table of medians, the fastest first, or JSON."""
    medians = {name: statistics.median(one["tokens_per_second"] for one in runs) for name, runs in found.items()}
    peers = [value for name, value in medians.items() if not name.startswith("sightline")]
    if options.json:
        print(json.dumps({"medians": medians, "runs": found, "torch": torch.__version__}, indent=2))
        return
    print(f"{processor()}, {options.threads} threads, PyTorch {torch.__version__}")
    print(f"{'contender':36} {'tokens/s':>9} {'range':>17} {'× fastest peer':>15} {'loss':>7}")
    for name, median in sorted(medians.items(), key=lambda item: -item[1]):
        speeds = [one["tokens_per_second"] for one in found[name]]
        ratio = f"{median / max(peers):.2f}" if peers else ""
        loss = statistics.fmean(one["loss"] for one in found[name])
        print(f"{name:36} {median:9,.0f} {min(speeds):8,.0f}-{max(speeds):8,.0f} {ratio:>15} {loss:7.3f}")
