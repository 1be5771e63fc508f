"""One recipe in several variants over several seeds: the mean of a test figure with its confidence interval.

    python benchmarks/seeds.py nsmc-1000 --figure accuracy --seeds 3 --variant pretrained --variant scratch:scratch=true

A variant is a name and, after a colon, what differs from the recipe (key.path=value, separated by commas). Each is
trained once for every seed, in runs/RECIPE-VARIANT-SEED, or gone on with; the figure is that of the run's test set
(--set where it has several). The intervals are Student's at 95 %; that of the difference to the first variant pairs the
seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from scipy.stats import t as student


def trained(options: argparse.Namespace, name: str, overrides: list[str], seed: int) -> float:
    """The test figure of one variant with one seed."""
    run = Path(options.runs) / f"{Path(options.recipe).stem}-{name}-{seed}"
    command = [sys.executable, "-m", "sightline"]
    words = ["train", options.recipe, "--run", str(run), f"training.seed={seed}", *options.keys, *overrides]
    ran = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{run}: {(ran.stderr.strip() or 'was stopped').splitlines()[-1]}")
    told = subprocess.run([*command, "evaluate", str(run), "--json"], capture_output=True, text=True, check=True).stdout
    reports = {report["name"]: report["scores"] for report in json.loads(told)}
    scores = reports[options.set] if options.set else next(iter(reports.values()))
    print(f"{run}: {options.figure} {scores[options.figure]:.3f}", file=sys.stderr)
    return scores[options.figure]


def interval(values: list[float]) -> str:
    """mean ± half the width of Student's interval at 95 %."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:8.3f}"
    half = float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:8.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("keys", nargs="*", help="key.path=value for all of them")
    parser.add_argument("--variant", action="append", default=[], help="NAME or NAME:key=value,key=value")
    parser.add_argument("--figure", required=True, help="as `sightline evaluate --json` names it")
    parser.add_argument("--set", help="which test set, where there are several")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_intermixed_args()
    variants: dict[str, list[str]] = {}
    for one in options.variant or ["plain"]:
        name, _, keys = one.partition(":")
        variants[name] = keys.split(",") if keys else []
    found: dict[str, list[float]] = {name: [] for name in variants}
    for seed in range(1, options.seeds + 1):
        for name, overrides in variants.items():
            found[name].append(trained(options, name, overrides, seed))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    first = next(iter(found))
    print(f"{options.recipe}, {options.figure}, {options.seeds} seeds")
    for name, values in found.items():
        gaps = [value - other for value, other in zip(values, found[first], strict=True)]
        versus = "" if name == first else f"   minus {first}: {interval(gaps)}"
        shown = ", ".join(f"{value:.3f}" for value in values)
        print(f"{name:20} {interval(values)}   ({shown}){versus}")


if __name__ == "__main__":
    main()
