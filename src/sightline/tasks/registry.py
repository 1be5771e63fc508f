"""The one list of tasks, and what users add to it: their own files by request, installed packages by entry points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, cast

from sightline.errors import SightlineError, UsageError
from sightline.tasks.classification.spec import SPEC as CLASSIFICATION
from sightline.tasks.image_classification.spec import SPEC as IMAGE_CLASSIFICATION
from sightline.tasks.language.spec import SPEC as LANGUAGE
from sightline.tasks.masked_language.spec import SPEC as MASKED_LANGUAGE
from sightline.tasks.question_answering.spec import SPEC as QUESTION_ANSWERING
from sightline.tasks.spec import TaskSpec
from sightline.tasks.tagging.spec import SPEC as TAGGING
from sightline.tasks.translation.spec import SPEC as TRANSLATION

DEFAULT = TRANSLATION.name  # what a configuration without `task` is
GROUP = "sightline.tasks"  # of entry points; each gives a TaskSpec


class Registry(Mapping[str, TaskSpec[Any]]):
    """Task specifications by name. Installed packages are asked once, when a name is not known or all are listed."""

    def __init__(self, specs: Sequence[TaskSpec[Any]]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._installed = False

    def __getitem__(self, name: str) -> TaskSpec[Any]:
        if name not in self._specs:
            self._add_installed()
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        self._add_installed()
        return iter(self._specs)

    def __len__(self) -> int:
        self._add_installed()
        return len(self._specs)

    def add(self, spec: object, where: str) -> None:
        """Adds a user's task. Raises UsageError where it is no task, or its name is taken by another."""
        if not isinstance(spec, TaskSpec):
            raise UsageError(f"{where}: {spec!r} is no TaskSpec; see docs/extending.md")
        task = cast(TaskSpec[Any], spec)
        if self._specs.setdefault(task.name, task) is not task:
            raise UsageError(f'{where}: there is a task "{task.name}" already; choose another name')

    def _add_installed(self) -> None:
        if not self._installed:
            for where, spec in installed(GROUP):
                self.add(spec, where)
            self._installed = True  # a package that fails is named every time


def installed(group: str) -> Iterator[tuple[str, object]]:
    """(what to call it, object) of each entry point that installed packages have in a group.

    Raises UsageError naming the package where one cannot be imported.
    """
    for point in entry_points(group=group):
        package = f"package {point.dist.name}, " if point.dist else ""
        where = f"{package}entry point {point.name} of {group}"
        try:
            found: object = point.load()
        except SightlineError:
            raise
        except Exception as error:  # it is code of somebody else's
            reason = " ".join(str(error).split())
            raise UsageError(f"{where}: {type(error).__name__}: {reason}; mend it or uninstall the package") from error
        yield where, found


TASKS = Registry(
    (TRANSLATION, LANGUAGE, MASKED_LANGUAGE, CLASSIFICATION, TAGGING, QUESTION_ANSWERING, IMAGE_CLASSIFICATION)
)
