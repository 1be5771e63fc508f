"""How long a run takes to load: `sightline.load` of this version and of another, by turns, in processes of their own.

    python benchmarks/load.py --old PATH/TO/OTHER/src [--rounds 5] [--d-model 768 --num-layers 12 --vocab 50257]

A run directory of the size of the smallest GPT-2 (124 million parameters, 498 MB) with random weights is made in a
temporary folder. The seconds are those of the call alone, after the modules are imported and the file was read once;
those of a processor do not grow where the machine does other things too.
Every load verifies the weights by SHA-256.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from sightline.train.machine import processor

HERE = Path(__file__).parents[1] / "src"
MAKE = """
import sys
import torch
from sightline.data.tokenizer import Tokenizer
from sightline.models.gpt import GPT, GPTSizes
from sightline.tasks.language.settings import LanguageSettings
from sightline.train.run_directory import Run

path, d_model, layers, vocab = sys.argv[1], *map(int, sys.argv[2:])
sizes = {"kind": "gpt", "d_model": d_model, "num_layers": layers, "num_heads": d_model // 64, "d_ff": 4 * d_model}
data = {"train": [], "validation": []}
run = Run(path)
run.save_tokenizers({"text": Tokenizer.train(map(str, range(10 * vocab)), kind="space", vocab_size=vocab)})
run.write_config(LanguageSettings.model_validate({"data": data, "model": sizes}))
size = run.load_tokenizers()["text"].vocab_size
run.save_weights({name: one.detach() for name, one in GPT(size, GPTSizes(**sizes)).named_parameters()})
"""
LOAD = """
import resource, sys, time
import sightline
import sightline.{loading}

start, busy = time.perf_counter(), time.process_time()
model = sightline.load(sys.argv[1])
seconds, busy = time.perf_counter() - start, time.process_time() - busy
print(seconds, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def call(code: str, source: Path, *words: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, help="the folder src of another version, to be compared with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--d-model", type=int, default=768)
    parser.add_argument("--num-layers", type=int, default=12)
    parser.add_argument("--vocab", type=int, default=50_257)
    options = parser.parse_args()
    versions = {"new": HERE, **({"old": options.old} if options.old else {})}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        call(MAKE, HERE, run, options.d_model, options.num_layers, options.vocab)
        if options.old:  # which knows neither the version of a configuration nor all its keys
            config, manifest = run / "config.toml", run / "manifest.json"
            forget = "import json, sys, pathlib, hashlib; " + FORGET
            call(forget, HERE, config, manifest)
        print(f"{processor()}; {(run / 'model.safetensors').stat().st_size / 1e6:.0f} MB of weights")
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in versions}
        for number in range(options.rounds + 1):
            for name, source in versions.items():
                loading = "runs.loading" if (source / "sightline" / "runs").is_dir() else "loading"
                figures = call(LOAD.format(loading=loading), source, run).split()
                if number:  # the first reads the file
                    found[name].append(tuple(map(float, figures)))
    medians = {name: [statistics.median(one) for one in zip(*times, strict=True)] for name, times in found.items()}
    for name, (seconds, busy, memory) in medians.items():
        print(f"{name}: {seconds:.2f} s, {busy:.2f} s of a processor (medians of {options.rounds}), {memory:,.0f} MiB")
    if options.old:
        ratios = [old / new for old, new in zip(medians["old"], medians["new"], strict=True)]
        print("old / new: {:.1f} in time, {:.1f} in processor time, {:.1f} in peak memory".format(*ratios))


FORGET = """
import tomllib
config, manifest = map(pathlib.Path, sys.argv[1:])
model = tomllib.loads(config.read_text())["model"]
sizes = "".join(f"{key} = {model[key]}\\n" for key in ("d_model", "num_layers", "num_heads", "d_ff"))
config.write_text(f'task = "language"\\ndata = {{ train = [], validation = [] }}\\n[model]\\nkind = "gpt"\\n{sizes}')
listed = json.loads(manifest.read_text())
content = config.read_bytes()
listed["files"]["config.toml"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
manifest.write_text(json.dumps({"files": listed["files"]}))
"""

if __name__ == "__main__":
    main()
