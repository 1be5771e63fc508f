"""The types of the package reach those who install it: the wheel says that it has them, and the README's Python fits."""

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
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "docs/sight.md"]


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


def problems(python: Path, folder: Path, code: str) -> list[dict[str, Any]]:
    """What pyright says of a program of somebody who has installed the package."""
    # the command is a package of Python that may have to fetch what it runs
    version = subprocess.run([sys.executable, "-m", "pyright", "--version"], capture_output=True, text=True)
    if version.returncode:
        pytest.skip("pyright is not installed, or cannot be run without a network")
    (folder / "program.py").write_text(code, encoding="utf-8")
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--pythonpath", python, "--outputjson", "-p", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, done.stdout
    return [one for one in report["generalDiagnostics"] if one["severity"] == "error"]


def test_the_wheel_has_all_files_of_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "sightline/py.typed" in names
    source = ROOT / "src"
    files = {one.relative_to(source).as_posix() for one in source.glob("sightline/**/*") if one.is_file()}
    assert {one for one in files if "__pycache__" not in one} <= names


@pytest.mark.parametrize("page", PAGES)
def test_python_of_the_docs_has_the_types_it_needs(page: str, python: Path, tmp_path: Path) -> None:
    programs = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert programs
    for code in programs:
        assert problems(python, tmp_path, code) == []


def test_what_does_not_fit_is_told(python: Path, tmp_path: Path) -> None:
    code = 'import sightline\n\nsightline.Translator("runs/gru-ko-en").translate(1)\n'
    found = problems(python, tmp_path, code)
    assert len(found) == 1
    assert "translate" in found[0]["message"]
