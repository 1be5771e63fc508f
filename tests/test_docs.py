"""The docs are true: every command in them runs, every path in them exists, both READMEs show the same commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sightline import config
from support.commands import sightline
from support.configs import LANGUAGE_MODELS, MODELS
from support.data import write_pairs
from support.serving import serving
from test_layout import FLOORS

ROOT = Path(__file__).parent.parent
DOCS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
# Small enough for a test: what a command trains is made tiny, the command stays as it stands.
TINY = ("training.max_updates=2", "training.tokens_per_batch=512", "training.threads=1")
# A model that has learned nothing writes as much as it may.
SHORT = ("search.beam=1", "search.max_length_factor=0", "search.max_length_offset=8")
TINY_TRANSLATION = (*TINY, *SHORT, "validation.sentences=2")
TINY_MODEL = ("model.d_model=16", "model.num_heads=2", "model.num_layers=1")


def commands(file: Path, language: str) -> list[str]:
    blocks = re.findall(rf"```{language}\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_both_readmes_show_the_same_commands_and_figures() -> None:
    for language in ("sh", "python"):
        english, korean = (commands(ROOT / name, language) for name in ("README.md", "README.ko.md"))
        assert english == korean
    tables = [
        re.findall(r"^│.*│$", (ROOT / name).read_text(encoding="utf-8"), re.M) for name in ("README.md", "README.ko.md")
    ]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 2


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.name)
def test_links_and_named_files_exist(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (file.parent / target).exists(), target
    for name in re.findall(r"`([\w/]+\.(?:py|toml|md|lock))`", text):
        places = (ROOT, ROOT / "src/sightline", ROOT / "docs")
        generated = {"config.toml", "my.toml", "compare.toml", "README.md"}
        assert name in generated or any((place / name).exists() for place in places), name


def test_the_map_shows_the_floors_and_names_every_file() -> None:
    text, source = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), ROOT / "src" / "sightline"
    assert [*re.findall(r"^│ (\w+) +│", text, re.M)][::-1] == [floor for floor in FLOORS if floor != "__main__"]
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    # the files of a task's folder stand for those of all tasks
    roles = {name.rsplit("/", 1)[1] for name in named if name.count("/") == 2 and name.startswith("tasks/")}
    for file in source.rglob("*.py"):
        name = file.relative_to(source).as_posix()
        in_task = name.startswith("tasks/") and name.count("/") == 2
        if not file.name.startswith("__"):
            assert name in named or (in_task and file.name in roles), name


def test_names_that_the_map_gives_are_in_the_code() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    files = (file.read_text(encoding="utf-8") for file in (ROOT / "src" / "sightline").rglob("*.py"))
    words = set(re.findall(r"\w+", "\n".join(files)))
    where = re.findall(r"`[\w/]+\.py`: ((?:`\w+`(?:, )?)+)", text)
    now = re.findall(r"^\| .* \| (.*) \|$", text[text.index("## Names of version") :], re.M)
    for name in re.findall(r"`([\w.]+)`", " ".join([*where, *now])):
        parts = [part for part in name.split(".") if part and part != "py"]
        assert name.endswith(".py") or set(parts) <= words | {"ctx", "_ID"}, name


def test_make_targets_in_the_docs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for file in DOCS:
        for target in re.findall(r"^make ([a-z-]+)", file.read_text(encoding="utf-8"), re.M):
            assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_script_that_calls_make_test_can_be_read_by_bash() -> None:
    found = subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_readme_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder with a user's own files, every `sightline` line of the README, in order."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("train", "test")):
        write_pairs(tmp_path, name, 60, seed)
        (tmp_path / f"{name}.de").rename(tmp_path / f"{name}.ko")
    lines = (tmp_path / "train.en").read_text(encoding="utf-8").splitlines()
    paragraphs = (f"{one}! {other}.\n" for one, other in zip(lines[::2], lines[1::2], strict=True))
    (tmp_path / "novels.txt").write_text("".join(paragraphs), encoding="utf-8")
    labelled = "".join(f"{line}\t{'dog' in line}\n" for line in lines)
    (tmp_path / "reviews.tsv").write_text(labelled, encoding="utf-8")
    for line in commands(ROOT / "README.md", "sh"):
        words = shlex.split(line)
        assert words[0] == "sightline", line
        if words[1] == "serve":
            served(words)
            continue
        if words[1] == "compare":
            words += ["--no-speed", "--resamples", "100"]
        if words[1] == "train" and "--dry-run" not in words:
            words += TINY if words[2] in ("novels.toml", "reviews.toml", "bert.toml") else TINY_TRANSLATION
            if words[2] in ("my.toml", "novels.toml", "bert.toml"):
                # the file says that validation needs text of its own
                written = (tmp_path / words[2]).read_text(encoding="utf-8")
                (tmp_path / words[2]).write_text(written.replace("vocab_size = 8000", "vocab_size = 300"), "utf-8")
                words += TINY_MODEL
        assert sightline(*words[1:]) == 0, (line, capsys.readouterr().err)


def served(words: list[str], folder: Path | None = None) -> None:
    """Starts a server as the docs say, on a free port, asks for its health and ends it."""
    set_before = dict(word.split("=", 1) for word in words[: words.index("sightline")])
    words = words[words.index("sightline") + 1 :]
    command = [sys.executable, "-m", "sightline", *words, "--port", "0"]
    environment = {**os.environ, **set_before}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment) as process:
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        assert httpx.get(f"{found.group()}/health", trust_env=False).json()["status"] == "ok"
        process.terminate()


def test_all_of_serving(kinds, classifiers, config_file: Path, tmp_path: Path, capsys) -> None:
    """docs/serve.md: every server starts, every curl line is answered, other makes' clients work as they stand."""
    languages = ["data.source_language=Korean", "data.target_language=English", *MODELS["transformer"]]
    assert sightline("train", config_file, "--run", tmp_path / "runs" / "transformer-ko-en", *languages) == 0
    for name, run in {"gru-ko-en": kinds["seq2seq"], "novels": kinds["gpt"]}.items():
        (tmp_path / "runs" / name).symlink_to(run)
    lines = commands(ROOT / "docs" / "serve.md", "sh")
    for line in lines:
        if "sightline serve" in line:
            served(shlex.split(line), tmp_path)
    runs = [tmp_path / "runs" / "transformer-ko-en", tmp_path / "runs" / "novels", kinds["bert"], classifiers["single"]]
    with serving(runs) as server, server.client() as client:
        asked = [shlex.split(line) for line in lines if line.startswith("curl")]
        assert len(asked) >= 10
        for words in asked:
            path = words[1].removeprefix("localhost:8000")
            body = words[words.index("-d") + 1] if "-d" in words else None
            kind = {"content-type": "application/json"}
            answer = client.post(path, content=body, headers=kind) if body else client.get(path)
            assert answer.status_code == 200, (words, answer.text)
        capsys.readouterr()
        for code in commands_of_python(ROOT / "docs" / "serve.md"):
            exec(compile(code.replace("http://localhost:8000", server.url), "serve.md", "exec"), {})
            assert capsys.readouterr().out.strip()


def test_all_of_looking(
    kinds, config_file: Path, language_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """docs/sight.md: every command and every line of Python, on runs of the models that it names, made tiny."""
    heads = [*MODELS["transformer"], "model.num_layers=2", "model.num_heads=4"]
    luong = [*MODELS["seq2seq"], "model.cell=lstm", "model.attention=general"]
    korean = [*MODELS["seq2seq"], "data.source_language=Korean", "data.target_language=English"]
    trained = {"transformer-ko-en": heads, "multi30k-lstm-luong": luong, "gru-ko-en": korean}
    for name, overrides in trained.items():
        assert sightline("train", config_file, "--run", tmp_path / "runs" / name, *overrides) == 0
    gpt = [*LANGUAGE_MODELS["gpt"], "model.max_length=64"]
    assert sightline("train", language_file, "--run", tmp_path / "runs" / "nsmc-gpt", *gpt) == 0
    others = {
        "multi30k-transformer": tmp_path / "runs" / "transformer-ko-en",
        "korean-bert": kinds["bert"],
        "mnist-vit": kinds["vit"],
    }
    for name, run in others.items():
        (tmp_path / "runs" / name).symlink_to(run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    write_pairs(tmp_path, "captions", 60, 0)
    for line in commands(ROOT / "docs" / "sight.md", "sh"):
        words = shlex.split(line)
        assert sightline(*words[1:]) == 0, (line, capsys.readouterr().err)
        if "--picture" in words:
            committed = ROOT / "docs" / "pictures" / f"look-{words[-1]}"
            assert (tmp_path / words[-1]).exists()
            assert committed.stat().st_size < 50_000
    capsys.readouterr()
    for code in commands_of_python(ROOT / "docs" / "sight.md"):
        exec(compile(code, "sight.md", "exec"), {})
        assert capsys.readouterr().out.strip()


def test_all_of_python(
    language_runs, config_file: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """docs/python.md: every line, on a user's own configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text(config_file.read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("test.de", "test.en"):
        (tmp_path / name).symlink_to(texts / name)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "novels").symlink_to(language_runs["gpt"])
    names: dict[str, object] = {}
    for code in commands_of_python(ROOT / "docs" / "python.md"):
        exec(compile(code, "python.md", "exec"), names)
        assert capsys.readouterr().out.strip()
    assert (tmp_path / "attention.svg").exists()


def test_all_of_comparing(
    trained, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/compare.md: every command, the plan with other data and sizes in place of its own, and the Python."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    for name, run in trained(["seq2seq", "transformer"]).items():
        Path("runs", "demo-gru" if name == "seq2seq" else "demo-transformer").symlink_to(run)
    (plan,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "compare.md").read_text(encoding="utf-8"), re.DOTALL)
    for name, kind in (("gru-ko-en", "seq2seq"), ("transformer-ko-en", "transformer")):
        file = Path(f"{kind}.toml")
        keys = "".join(f"{key.removeprefix('model.')} = {value!r}\n" for key, value in
                       (one.split("=") for one in MODELS[kind] if not one.startswith("model.kind")))  # fmt: skip
        keys = re.sub(r"'(\d+)'", r"\1", keys)
        file.write_text(config_file.read_text(encoding="utf-8") + f'[model]\nkind = "{kind}"\n{keys}', "utf-8")
        plan = plan.replace(f'"{name}"', f'"{file}"')
    plan = plan.replace("updates = 300", "updates = 2").replace("seeds = 2", "seeds = 1")
    Path("compare.toml").write_text(plan, encoding="utf-8")
    for line in commands(ROOT / "docs" / "compare.md", "sh"):
        words = [*shlex.split(line)[1:], "--no-speed", "--resamples", "100"]
        assert sightline(*words) == 0, (line, capsys.readouterr().err)
        assert Path("comparison.html").stat().st_size > 10_000
    assert len(list(Path("runs/compare").rglob("model.safetensors"))) == 4
    capsys.readouterr()
    (code,) = commands_of_python(ROOT / "docs" / "compare.md")
    exec(compile(code, "compare.md", "exec"), {})
    assert "BLEU demo-gru" in capsys.readouterr().out


def commands_of_python(file: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL)


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sightline("train", "transformer-ko-en", *TINY_TRANSLATION) == 0
    for block in commands_of_python(ROOT / "README.md"):
        exec(compile(block, "README.md", "exec"), {})


def test_results_name_recipes_that_exist() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for name in re.findall(r"sightline train ([\w-]+)", text):
        assert name in config.recipes(), name
