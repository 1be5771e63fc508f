"""The processes that measure how fast models are know the files that `--plugin` named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone counts what the starting process held")
def test_memory_is_that_of_the_process_alone() -> None:
    """Not what the process that started it has held at most."""
    asked = "from sightline.comparison.speed import peak_memory; print(peak_memory())"
    starting = (
        "import subprocess, sys; held = b'x' * 1_500_000_000; "
        f"print(subprocess.run([sys.executable, '-c', {asked!r}], capture_output=True, text=True, check=True).stdout)"
    )
    done = subprocess.run([sys.executable, "-c", starting], capture_output=True, text=True, check=True)
    assert 10_000_000 < int(done.stdout) < 1_000_000_000


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
