"""Training, translating and memory of this version beside another's, by turns, every run a process of its own.

    python benchmarks/versions.py --old PATH/TO/OTHER/src [--rounds 5] [--updates 40] [--only transformer,gpt]

Both read the same configurations and the embedded Korean-English corpus, and train on one thread. The figures are
medians over the rounds: tokens a second of the last three quarters of the updates, sentences a second of a search with
a beam of 5 (by the run that was just trained: both versions write the same), and the most memory that the process held.
Losses are compared too: where they differ, both do not do the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from load import HERE, call

from sightline.train.machine import processor

TRANSLATION = """
task = "translation"
data.train = [{ source = "embedded:ko-en/train" }]
data.validation = { source = "embedded:ko-en/validation" }
tokenizer.vocab_size = 3000
training.tokens_per_batch = 2048
"""
LANGUAGE = """
task = "language"
data.train = [{ source = "train.txt" }]
data.validation = [{ source = "validation.txt" }]
data.block = 64
tokenizer.vocab_size = 2000
training.tokens_per_batch = 2048
"""
KINDS = {
    "seq2seq": TRANSLATION + '[model]\nkind = "seq2seq"\nattention = "additive"\nembedding_width = 128\nwidth = 256\n',
    "transformer": TRANSLATION
    + '[model]\nkind = "transformer"\nd_model = 128\nnum_layers = 3\nnum_heads = 4\nd_ff = 512\n',
    "gpt": LANGUAGE
    + '[model]\nkind = "gpt"\nd_model = 128\nnum_layers = 4\nnum_heads = 4\nd_ff = 512\nmax_length = 64\n',
    "recurrent": LANGUAGE + '[model]\nkind = "recurrent"\ncell = "gru"\nembedding_width = 128\nwidth = 256\n',
    "bert": LANGUAGE.replace("language", "masked_language").replace("data.block = 64", "data.max_tokens = 64")
    + "next_sentence = false\n"
    + "[model]\nd_model = 128\nnum_layers = 4\nnum_heads = 4\nd_ff = 512\nmax_length = 64\n",
}
TRANSLATES = ("seq2seq", "transformer")
SENTENCES = 200
WRITE = """
import sys
from sightline.data.pairs import PairSource, read_pairs

for name in ("train", "validation"):
    pairs = read_pairs(PairSource(source=f"embedded:ko-en/{name}"))
    with open(f"{sys.argv[1]}/{name}.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{target}\\n" for _, target in pairs)
with open(f"{sys.argv[1]}/sources.txt", "w", encoding="utf-8") as file:
    pairs = read_pairs(PairSource(source="embedded:ko-en/test"))
    file.writelines(f"{source}\\n" for source, _ in pairs)
"""
TRAIN = """
import json, os, resource, sys

import torch

folder, config, updates, sentences = sys.argv[1:]
torch.set_num_threads(1)
os.chdir(folder)
from sightline.cli import main

quarter = int(updates) // 4
try:
    main(["train", config, "--run", "run", "--fresh", "training.threads=1", f"training.max_updates={updates}",
          "training.warmup=10", "training.precision=fp32", f"training.log_every={quarter}",
          f"training.validate_every={updates}", f"training.save_every={updates}"])
except SystemExit as ended:
    assert not ended.code, ended.code
with open("run/metrics.jsonl", encoding="utf-8") as file:
    lines = [line for line in map(json.loads, file) if "tokens_per_second" in line]
found = {"loss": lines[-1]["loss"]}
seconds = sum(1 / line["tokens_per_second"] for line in lines[1:])
found["tokens_per_second"] = len(lines[1:]) / seconds
if int(sentences):
    import time

    import sightline

    with open("sources.txt", encoding="utf-8") as file:
        texts = file.read().splitlines()[: int(sentences)]
    translator = sightline.load("run")
    translator.translate(texts[:4], beam=5)
    start = time.perf_counter()
    translator.translate(texts, beam=5)
    found["sentences_per_second"] = len(texts) / (time.perf_counter() - start)
found["MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, required=True, help="the folder src of the other version")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--only", default=",".join(KINDS), help="some of: %(default)s")
    options = parser.parse_args()
    kinds = options.only.split(",")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        sys.exit(f"--only: no {unknown[0]}; known: {', '.join(KINDS)}")
    found: dict[str, dict[str, list[dict[str, float]]]] = {kind: {"old": [], "new": []} for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        call(WRITE, HERE, folder)
        for kind in kinds:
            (Path(folder) / f"{kind}.toml").write_text(KINDS[kind], encoding="utf-8")
        for number in range(options.rounds):
            for kind in kinds:
                versions = (("old", options.old.resolve()), ("new", HERE))
                for name, source in versions if number % 2 else versions[::-1]:
                    sentences = SENTENCES if kind in TRANSLATES else 0
                    out = call(TRAIN, source, folder, f"{kind}.toml", options.updates, sentences)
                    found[kind][name].append(json.loads(out.splitlines()[-1]))
                    print(f"{number + 1}/{options.rounds} {kind} {name}: {found[kind][name][-1]}", file=sys.stderr)
    print(f"{processor()}; one thread, {options.updates} updates, medians of {options.rounds}")
    print(f"{'model':12} {'figure':22} {'old':>10} {'new':>10} {'new / old':>10}")
    for kind, versions in found.items():
        for figure in versions["new"][0]:
            old, new = (statistics.median(one[figure] for one in versions[name]) for name in ("old", "new"))
            print(f"{kind:12} {figure:22} {old:10,.4g} {new:10,.4g} {new / old:10.3f}")


if __name__ == "__main__":
    main()
