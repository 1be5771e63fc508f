"""docs/extending.md as it is written: its files, its commands, and what they promise."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.S)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
NOVELS = """
task = "language"
[data]
train = [{ source = "novels.txt" }]
validation = [{ source = "novels.txt" }]
test.test = { source = "novels.txt" }
block = 16
[tokenizer]
kind = "char"
[training]
max_updates = 30
tokens_per_batch = 128
warmup = 2
validate_every = 30
precision = "fp32"
threads = 1
"""


def write_sums(path: Path, count: int, seed: int) -> None:
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        values = [draw.randint(-3, 3) for _ in range(draw.randint(1, 6))]
        lines.append(f"{' '.join(map(str, values))}\t{sum(values)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files and the data that its commands read."""
    folder = tmp_path_factory.mktemp("extending")
    for kind, text in BLOCKS:
        if kind in ("python", "toml"):
            name = text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(text, encoding="utf-8")
    (folder / "novels.toml").write_text(NOVELS, encoding="utf-8")
    (folder / "novels.txt").write_text("The cat sat on the mat.\nThe dog saw the cat.\n" * 40, encoding="utf-8")
    for seed, (name, count) in enumerate((("train", 800), ("validation", 100), ("test", 100))):
        write_sums(folder / f"{name}.tsv", count, seed)
    return folder


def command(line: str) -> tuple[list[str], dict[str, str]]:
    """The words of a line of the page, and the variables before them."""
    words = shlex.split(line)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    return [sys.executable, "-m", *words], {**os.environ, "OMP_NUM_THREADS": "1", **variables}


def run(folder: Path, line: str, code: int = 0) -> tuple[str, str]:
    """What a line prints: (standard output, standard error)."""
    words, environment = command(line)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_a_model_in_one_file_is_used_by_every_verb(folder: Path) -> None:
    for line in (one for one in COMMANDS if "gated" in one):
        out, _ = run(folder, line)
        assert out.strip()
    kept = json.loads((folder / "runs/gated/plugins.json").read_text(encoding="utf-8"))["plugins"]
    assert [(one["name"], one["models"]) for one in kept] == [("gated.py", ["gated"])]
    assert (folder / "runs/gated/plugins/gated.py").read_bytes() == (folder / "gated.py").read_bytes()


def test_the_page_s_test_passes(folder: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_gated.py"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


def test_a_run_asks_for_its_plug_in_and_never_loads_it_by_itself(folder: Path) -> None:
    if not (folder / "runs/gated").exists():
        run(folder, next(line for line in COMMANDS if "train novels.toml" in line))
    marker = folder / "was-run"
    # what lies in the run directory is not executed, whatever it says
    (folder / "runs/gated/plugins/gated.py").write_text(f"open({str(marker)!r}, 'w').close()", encoding="utf-8")
    for verb in (
        "evaluate runs/gated",
        "generate runs/gated",
        "look runs/gated x",
        "train novels.toml model.kind=gated",
    ):
        _, told = run(folder, f"sightline {verb}", 2 if "train" in verb else 1)
        assert len(told.splitlines()) == 1
        if "train" not in verb:
            assert "gated.py" in told
            assert "--plugin" in told
    assert not marker.exists()


def test_a_task_in_one_file_trains_goes_on_after_a_kill_and_learns(folder: Path) -> None:
    train, *others = [line for line in COMMANDS if "sums" in line and "serve" not in line]
    words, environment = command(train)
    slow = subprocess.Popen(
        [*words, "training.max_updates=400", "--run", "runs/killed"], cwd=folder, env=environment,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 240
    while not list((folder / "runs/killed/checkpoints").glob("step-1*")) and time.monotonic() < end:
        time.sleep(0.02)
        assert slow.poll() in (None, 0)
    slow.send_signal(signal.SIGKILL)
    slow.communicate()
    run(folder, f"{train} training.max_updates=400 --run runs/killed")
    run(folder, train)
    once, killed = ((folder / "runs" / name / "model.safetensors").read_bytes() for name in ("sums", "killed"))
    assert once == killed
    for line in others:
        run(folder, line)
    out, _ = run(folder, "sightline evaluate runs/sums --json --plugin sums.py")
    (report,) = json.loads(out)
    assert report["scores"]["mean_error"] < 1.0  # the mean distance of such sums from their mean is about 3
    out, _ = run(folder, 'sightline predict runs/sums --text "1 2 3" --plugin sums.py')
    assert float(out) == pytest.approx(6, abs=1.5)


def test_a_task_in_one_file_is_served(folder: Path) -> None:
    if not (folder / "runs/sums/model.safetensors").exists():
        run(folder, next(line for line in COMMANDS if "train sums.toml" in line))
    words, environment = command(next(line for line in COMMANDS if "serve" in line))
    server = subprocess.Popen([*words, "--port", "0"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = None
        for line in server.stderr:
            if found := re.search(r"http://[\d.:]+", line):
                address = found.group()
                break
        assert address is not None
        with httpx.Client(base_url=address, timeout=60) as client:
            (model,) = client.get("/v1/models").json()["data"]
            assert model["page"]["answer"] == "text"
            body = {"model": model["id"], "inputs": ["1 2", "3 4"]}
            found = client.post("/v1/predict", json=body).json()["predictions"]
            assert [one["input"] for one in found] == ["1 2", "3 4"]
            wrong = client.post("/v1/predict", json={"inputs": ["one"]})
            assert wrong.status_code == 400
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "adds nothing"),
        ("1 / 0", "ZeroDivisionError"),
        ("TASKS = [3]", "no TaskSpec"),
        ("def", "SyntaxError"),
    ],
)
def test_a_plug_in_that_is_none_is_one_line(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "mine.py").write_text(content, encoding="utf-8")
    _, told = run(tmp_path, "sightline recipes --plugin mine.py", 2)
    assert expected in told
    assert len(told.splitlines()) == 1
    assert "missing.py" in run(tmp_path, "sightline recipes --plugin missing.py", 2)[1]
