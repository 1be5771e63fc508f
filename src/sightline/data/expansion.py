"""How much longer a tokenizer can make a text: one from elsewhere could turn ten letters into gigabytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from sightline.errors import DataError

MOST = 64  # letters that may become of one; normal forms make at most 18, and those who spell in bytes need 4


def require_bounded(parts: Mapping[str, JsonValue], where: str) -> None:
    """Raises DataError where the normalizer or the decoder of a tokenizer.json multiplies letters.

    Args:
        parts: the content of the file.
    """
    for name in ("normalizer", "decoder"):
        growth = 1
        for part in _flat(parts.get(name)):
            growth *= max(1, _growth(part))
            if growth > MOST:
                raise DataError(f"{where}: its {name} makes over {MOST} letters of one; do not use this tokenizer")


def _flat(part: JsonValue) -> Iterator[dict[str, JsonValue]]:
    """A part's own parts, where it is a sequence of some."""
    if isinstance(part, dict):
        inner = part.get("normalizers", part.get("decoders"))
        if isinstance(inner, list):
            for one in inner:
                yield from _flat(one)
        else:
            yield part


def _growth(part: Mapping[str, JsonValue]) -> int:
    """Letters that one becomes at most."""
    pattern, content = part.get("pattern"), part.get("content", part.get("prepend"))
    if not isinstance(content, str):
        return 1
    plain = pattern.get("String") if isinstance(pattern, dict) else None
    return -(-len(content) // max(1, len(plain))) if isinstance(plain, str) else len(content)
