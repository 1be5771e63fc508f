"""docs/extending.md as it is written: its files, its commands, and what they promise."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shlex
import sys
import time
from pathlib import Path

import httpx
import pytest

from support import processes

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
    program, *words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    assert program == "sightline", line
    return words, variables


def run(folder: Path, line: str, code: int = 0) -> tuple[str, str]:
    """What a line prints: (standard output, standard error)."""
    words, variables = command(line)
    done = processes.run(words, folder, variables)
    assert done.code == code, done.err
    return done.out, done.err


def run_pytest(folder: Path, printed: Path) -> None:
    """The page's own test, as a user would run it, in a process of its own."""
    os.chdir(folder)
    with open(printed, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_gated.py"]))


def test_a_model_in_one_file_is_used_by_every_verb(folder: Path) -> None:
    for line in (one for one in COMMANDS if "gated" in one):
        out, _ = run(folder, line)
        assert out.strip()
    kept = json.loads((folder / "runs/gated/plugins.json").read_text(encoding="utf-8"))["plugins"]
    assert [(one["name"], one["models"]) for one in kept] == [("gated.py", ["gated"])]
    assert (folder / "runs/gated/plugins/gated.py").read_bytes() == (folder / "gated.py").read_bytes()


def test_the_page_s_test_passes(folder: Path) -> None:
    printed = folder / "pytest.out"
    own = processes.fork(run_pytest, folder, printed)
    own.join(300)
    assert own.exitcode == 0, printed.read_text(encoding="utf-8")


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
    words, variables = command(train)
    told = folder / "killed.err"
    longer = [*words, "training.max_updates=400", "--run", "runs/killed"]
    slow = processes.start(longer, folder, variables, folder / "killed.out", told)
    end = time.monotonic() + 240
    while not list((folder / "runs/killed/checkpoints").glob("step-1*")) and time.monotonic() < end:
        time.sleep(0.02)
        assert slow.exitcode in (None, 0), told.read_text(encoding="utf-8")
    slow.kill()
    slow.join()
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
    words, variables = command(next(line for line in COMMANDS if "serve" in line))
    told = folder / "serve.err"
    server = processes.start([*words, "--port", "0"], folder, variables, folder / "serve.out", told)
    try:
        found, end = None, time.monotonic() + 120
        while not found and time.monotonic() < end:
            time.sleep(0.05)
            found = re.search(r"http://[\d.:]+", told.read_text(encoding="utf-8")) if told.exists() else None
        assert found, told.read_text(encoding="utf-8")
        address = found.group()
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
        server.join()


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
