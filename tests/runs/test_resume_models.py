"""`sightline train` on real text, killed again and again, ends with the bits of a run that never was."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sightline.cli import main
from support.configs import LANGUAGE_MODELS, MODELS
from support.processes import fork

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

KILLS = 10
UPDATES = 40
# Two workers, bf16, micro-batches, a moving average, several epochs, a save every few updates.
SETTINGS = (
    f"training.max_updates={UPDATES}", "training.threads=2", "training.precision=bf16", "training.accumulate=2",
    "training.ema=0.9", "training.save_every=3", "training.validate_every=15", "model.dropout=0.2",
)  # fmt: skip
TRANSLATION = (
    "validation.sentences=2", "search.max_length_factor=0", "search.max_length_offset=5", "search.beam=1",
)  # fmt: skip
# Every model that is trained, with its keys. A recurrent one carries its state from batch to batch.
KINDS = {
    **{kind: (*keys, *TRANSLATION, "tokenizer.merge_dropout=0.2") for kind, keys in MODELS.items()},
    "gpt": (*LANGUAGE_MODELS["gpt"], "data.separate=true"),
    "recurrent": (*LANGUAGE_MODELS["recurrent"], "model.weight_dropout=0.1"),
    "bert": ("masking.whole_words=true",),
    "classification": (),
    "bert-classification": (),
    "tagging": (),
    "question_answering": (),
    "vit": ("augmentation.shift=1", "training.tokens_per_batch=128"),
    "lora": ("tuning.weights=lora",),
}


def start(config_file: Path, run: Path, kind: str) -> Any:
    return fork(main, ["train", str(config_file), "--run", str(run), *KINDS[kind], *SETTINGS])


def saved(run: Path) -> int:
    return max((int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*")), default=0)


@pytest.fixture
def configurations(
    config_file,
    language_file,
    masked_file,
    labelled_files,
    tagged_file,
    question_file,
    image_file,
    language_runs,
    bert,
    tmp_path: Path,
) -> dict[str, Path]:
    """The configuration of each kind; two of them go on from a pretrained run."""
    text = labelled_files["single"].read_text(encoding="utf-8")
    begin, end = text.index("[tokenizer]"), text.index("[training]")
    text = text[:begin].replace("max_tokens = 32", "max_tokens = 16") + text[end:]
    fine_tuned = {}
    for name, pretrained in (("lora", language_runs["gpt"]), ("bert-classification", bert)):
        fine_tuned[name] = tmp_path / f"{name}.toml"
        fine_tuned[name].write_text(f'pretrained = "{pretrained}"\n' + text, encoding="utf-8")
    language = dict.fromkeys(LANGUAGE_MODELS, language_file)
    labelled = {"classification": labelled_files["single"], **fine_tuned}
    return {
        **dict.fromkeys(MODELS, config_file),
        **language,
        "bert": masked_file,
        "tagging": tagged_file,
        "question_answering": question_file,
        "vit": image_file,
        **labelled,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_ten_kills_at_random_instants(kind: str, configurations: dict[str, Path], tmp_path: Path) -> None:
    config_file = configurations[kind]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(config_file, whole, kind)
    process.join(120)
    assert process.exitcode == 0

    draw = random.Random(kind)
    for kill in range(KILLS):
        process = start(config_file, killed, kind)
        goal = UPDATES * kill // (KILLS + 2)  # so that there is always something left to do
        while saved(killed) < goal and process.is_alive():
            time.sleep(0.005)
        end = time.monotonic() + draw.uniform(0, 0.2)
        while time.monotonic() < end and saved(killed) < UPDATES - 10:  # or it would be done before it is killed
            time.sleep(0.002)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    process = start(config_file, killed, kind)
    process.join(120)
    assert process.exitcode == 0
    names = ["average", "generators", "optimizer", "weights", *["carried"] * (kind == "recurrent")]
    last = [whole / "checkpoints" / f"step-{UPDATES}" / f"{name}.safetensors" for name in names]
    for file in (*last, whole / "model.safetensors"):
        assert (killed / file.relative_to(whole)).read_bytes() == file.read_bytes(), file.name
    unit = "images" if kind == "vit" else "tokens"
    told = [json.loads((run / "metrics.jsonl").read_bytes().splitlines()[-2]) for run in (whole, killed)]
    assert told[0][unit] == told[1][unit]
    assert told[0][f"{unit}_per_second"] > 0
