"""The files that a comparison can be written to, by their suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sightline import jsonio
from sightline.comparison import page, words
from sightline.comparison.comparison import Comparison
from sightline.train import storage


def _markdown(comparison: Comparison, path: Path) -> None:
    storage.replace_file(path, [words.markdown(comparison).encode()])


def _json(comparison: Comparison, path: Path) -> None:
    storage.replace_file(path, [jsonio.dumps(comparison.as_dict(), indent=2).encode()])


WRITERS: Mapping[str, Callable[[Comparison, Path], None]] = {
    ".html": page.write_page,
    ".md": _markdown,
    ".json": _json,
}
