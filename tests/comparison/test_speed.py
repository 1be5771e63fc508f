"""The processes that measure how fast models are know the files that `--plugin` named."""

from __future__ import annotations

import json
from pathlib import Path

from support import processes
from support.configs import LANGUAGE_MODELS

# A GPT by another name.
PLUGIN = """
from typing import Literal

from sightline.models import GPT, GPTSizes, LanguageModelSpec


class OwnSizes(GPTSizes, frozen=True, extra="forbid"):
    kind: Literal["own"] = "own"


LANGUAGE_MODELS = [LanguageModelSpec("own", OwnSizes, GPT)]
"""


def test_plug_ins_are_measured(language_file: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLUGIN, encoding="utf-8")
    sizes = ["model.kind=own", *LANGUAGE_MODELS["gpt"][1:], "training.max_updates=1", "training.threads=1"]
    for seed, name in enumerate(("first", "second")):
        words = ["train", language_file, *sizes, f"training.seed={seed}", "--run", name, "--plugin", "own.py"]
        trained = processes.run(words, tmp_path)
        assert trained.code == 0, trained.err
    words = ["compare", "first", "second", "--resamples", 100, "--threads", 1, "--json", "--name", "a", "--name", "b"]
    found = processes.run([*words, "--plugin", "own.py"], tmp_path)
    assert found.code == 0, found.err
    assert all(row["speed"]["per_second"] > 0 for row in json.loads(found.out)["rows"])
    without = processes.run(words, tmp_path)
    assert without.code == 1
    assert "made with the plug-in own.py, which is not loaded; give --plugin own.py" in without.err
