"""eole, where it is installed, on the same text, tokens, sizes and token budget: its own program, its own loop.

Its batches are drawn by itself (at most 4,096 tokens a side, padding included), so only its speed is compared, not its
loss. The speed is what its log tells: target tokens a second, without the first report.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import contenders

REPORT_EVERY = 5
PATIENCE_SECONDS = 1200


def write_inputs(folder: Path) -> None:
    """Multi30k as tokens of the same vocabulary that the other contenders train on, a sentence a line."""
    from sightline.data.pairs import PairSource, read_pairs
    from sightline.data.tokenizer import Tokenizer

    pairs = list(read_pairs(PairSource(source="multi30k:train.en.gz", target="multi30k:train.de.gz")))
    tokenizer = Tokenizer.train((text for pair in pairs for text in pair), kind="bpe", vocab_size=contenders.VOCAB)
    for side, name in enumerate(("source", "target")):
        encoded = tokenizer.encode_batch([pair[side] for pair in pairs])
        lines = (" ".join(f"t{token}" for token in ids) for ids in encoded)
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = (f"t{token}\t1" for token in range(4, contenders.VOCAB))
    (folder / "vocabulary").write_text("\n".join(names) + "\n", encoding="utf-8")


def configuration(folder: Path, precision: str, updates: int) -> dict:
    vocabulary = {"src_vocab": str(folder / "vocabulary"), "tgt_vocab": str(folder / "vocabulary")}
    sizes = {"src_vocab_size": contenders.VOCAB, "tgt_vocab_size": contenders.VOCAB, "share_vocab": True}
    texts = {"path_src": str(folder / "source"), "path_tgt": str(folder / "target")}
    return {
        **vocabulary,
        **sizes,
        "save_data": str(folder / "data"),
        "overwrite": True,
        "data": {"train": texts},
        "report_every": REPORT_EVERY,
        "model": {
            "architecture": "transformer",
            "hidden_size": contenders.WIDTH,
            "layers": contenders.LAYERS,
            "heads": contenders.HEADS,
            "transformer_ff": contenders.INNER,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "embeddings": {"word_vec_size": contenders.WIDTH, "position_encoding_type": "SinusoidalInterleaved"},
        },
        "training": {
            "model_path": str(folder / "model"),
            "world_size": 0,
            "batch_type": "tokens",
            "batch_size": contenders.TOKENS,
            "num_workers": 0,
            "bucket_size": 29_000,
            "train_steps": updates,
            "valid_steps": updates + 1,
            "save_checkpoint_steps": updates + 1,
            "optim": "adam",
            "adam_beta2": 0.98,
            "learning_rate": contenders.LEARNING_RATE,
            "max_grad_norm": 1.0,
            "label_smoothing": contenders.SMOOTHING,
            "dropout": [contenders.DROPOUT],
            "attention_dropout": [0.0],
            "dropout_steps": [0],
            "normalization": "tokens",
            "compute_dtype": precision,
        },
    }


def measure(program: str, precision: str, updates: int, threads: int) -> dict[str, float]:
    """Target tokens a second of `eole train`, its first report left out, and its loss there (nats a token)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        settings = configuration(folder, precision, updates + REPORT_EVERY)
        # JSON is YAML
        (folder / "settings.yaml").write_text(json.dumps(settings), encoding="utf-8")
        ran = subprocess.run(
            [program, "train", "-config", str(folder / "settings.yaml")],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
    told = re.findall(r"xent: ([0-9.]+);.*?[0-9]+/ *([0-9]+) tok/s", ran.stdout + ran.stderr)
    if ran.returncode or len(told) < 2:
        sys.exit(f"{program}: {(ran.stderr or ran.stdout).strip().splitlines()[-1]}")
    speeds = [float(speed) for _, speed in told[1:]]
    return {"tokens_per_second": statistics.harmonic_mean(speeds), "loss": float(told[-1][0])}
