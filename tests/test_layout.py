"""The floors of the package, and that a task is known to its folder alone, as the code itself says."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sightline
from sightline.tasks.registry import TASKS

SOURCE = Path(sightline.__file__).parent
# Each imports from those before it, and from no other. The modules at the top are what every room may use.
FLOORS = [
    "errors",
    "special_tokens",
    "jsonio",
    "config",
    "nn",
    "models",
    "data",
    "decode",
    "train",
    "predict",
    "sight",
    "tasks",
    "runs",
    "comparison",
    "interop",
    "serve",
    "cli",
    "__main__",
]
FILES = sorted(SOURCE.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of this package that a file imports, wherever in it it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = node.module == "sightline"
            yield from ((f"sightline.{alias.name}" for alias in node.names) if inside else [node.module])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_a_room_imports_from_the_floors_below_it(file: Path) -> None:
    room = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":
        return  # the names that users import stand for what is in all rooms
    assert room in FLOORS, "a new room needs its place among the floors, and a row in docs/architecture.md"
    for module in imported(ast.parse(file.read_text(encoding="utf-8"))):
        if not module.startswith("sightline.") or module == "sightline.__version__":
            continue
        other = module.split(".")[1]
        assert other == room or FLOORS.index(other) < FLOORS.index(room), f"{room} is below {other} ({module})"


@pytest.mark.parametrize("file", sorted((SOURCE.parent.parent / "benchmarks").glob("*.py")), ids=lambda file: file.name)
def test_benchmarks_import_what_there_is(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sightline"):
            module = importlib.import_module(str(node.module))
            assert [one.name for one in node.names if not hasattr(module, one.name)] == [], node.module


def test_the_rooms_are_all_there_is_at_the_top() -> None:
    found = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__pycache__", "__init__", "recipes", "py.typed"} == set(FLOORS)


def test_the_name_of_a_task_stands_in_its_folder_alone() -> None:
    names = re.compile("|".join(rf"[\"']{name}[\"']" for name in TASKS))
    # Words that are the names of some tasks too: what a public data set is about, and how columns are headed.
    elsewhere = [SOURCE / "data" / "public_sets.py", SOURCE / "data" / "headers.py"]
    for file in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.js"), *SOURCE.rglob("*.html")]:
        if file in elsewhere or file.is_relative_to(SOURCE / "tasks"):
            continue
        for line in file.read_text(encoding="utf-8").splitlines():
            found = [name for name in names.findall(line) if f"{name}:" not in line and f"[{name}]" not in line]
            assert not found, f"{file}: {line.strip()}"


def test_folders_of_tasks_are_imported_by_two_files_alone() -> None:
    """Where users find predictors by name, and what shows one task."""
    folders = tuple(f"sightline.tasks.{name}." for name in TASKS)
    found = {
        file.relative_to(SOURCE).as_posix()
        for file in FILES
        if not file.is_relative_to(SOURCE / "tasks")
        and any(module.startswith(folders) for module in imported(ast.parse(file.read_text(encoding="utf-8"))))
    }
    assert found == {"__init__.py", "runs/loading.py", "cli/demo.py"}


def test_a_file_reads_in_one_sitting() -> None:
    long = {file.relative_to(SOURCE).as_posix(): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_every_package_is_pinned_by_version_and_hash() -> None:
    root = Path(__file__).parents[1]
    locked = (root / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    assert len(locked) > 50
    for line in locked:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==\S+( +--hash=sha256:[0-9a-f]{64})+", line), line
    torch_lines = (root / "torch.lock").read_text(encoding="utf-8").splitlines()
    assert [line for line in torch_lines if not line.startswith("#")] == ["torch==2.13.0"]
