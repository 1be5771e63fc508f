"""The files that a comparison can be written to, by their suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sightline import jsonio
from sightline.comparison import page, words
from sightline.comparison.comparison import Comparison
from sightline.errors import UsageError
from sightline.train import storage


def _markdown(comparison: Comparison, path: Path) -> None:
    storage.replace_file(path, [words.markdown(comparison).encode()])


def _json(comparison: Comparison, path: Path) -> None:
    storage.replace_file(path, [jsonio.dumps(comparison.as_dict(), indent=2).encode()])


def writer_of(path: str | Path) -> Callable[[Comparison, Path], None]:
    """What writes such a file. Raises UsageError for another kind."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise UsageError(f"output: {path}: a report is {', '.join(WRITERS)}")
    return WRITERS[suffix]


WRITERS: Mapping[str, Callable[[Comparison, Path], None]] = {
    ".html": page.write_page,
    ".md": _markdown,
    ".json": _json,
}
