"""The types of the package reach those who install it: the wheel says that it has them, and the docs' Python fits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WRONG = "wrong.py"
PROGRAMS = {
    f"{Path(page).stem.lower()}_{number}.py": code
    for page in ("README.md", "docs/sight.md")
    for number, code in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    )
} | {WRONG: 'import sightline\n\nsightline.Translator("runs/gru-ko-en").translate(1)\n'}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the package, built without a network from a copy of its source."""
    pytest.importorskip("setuptools", minversion="77", reason="a wheel is built with setuptools 77 or newer")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--wheel-dir", built, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which the wheel is installed, before what this environment has."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def problems(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What pyright says of programs of somebody who has installed the package: errors by the program's name."""
    folder = tmp_path_factory.mktemp("programs")
    for name, code in PROGRAMS.items():
        (folder / name).write_text(code, encoding="utf-8")
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--pythonpath", python, "--outputjson", "-p", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout.startswith("{"):
        # the command is a package of Python that fetches what it runs
        pytest.skip(f"pyright is not installed, or cannot be fetched: {(done.stderr or done.stdout).strip()[-200:]}")
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(PROGRAMS), done.stdout
    found: dict[str, list[str]] = {name: [] for name in PROGRAMS}
    for one in report["generalDiagnostics"]:
        if one["severity"] == "error":
            where = f"line {one['range']['start']['line'] + 1}"
            found[Path(one["file"]).name].append(f"{where}: {one['message']}")
    return found


def test_the_wheel_has_all_files_of_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "sightline/py.typed" in names
    source = ROOT / "src"
    files = {one.relative_to(source).as_posix() for one in source.glob("sightline/**/*") if one.is_file()}
    assert {one for one in files if "__pycache__" not in one} <= names


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != WRONG])
def test_python_of_the_docs_has_the_types_it_needs(name: str, problems: dict[str, list[str]]) -> None:
    assert problems[name] == []


def test_what_does_not_fit_is_told(problems: dict[str, list[str]]) -> None:
    """So the types are there: of a package without them nothing would be wrong."""
    assert problems[WRONG]
    assert all(one.startswith("line 3: ") for one in problems[WRONG])
    assert '"translate"' in problems[WRONG][0]
