"""How much longer a tokenizer can make a text: one from elsewhere could turn ten letters into gigabytes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import JsonValue

from sightline.errors import DataError

MOST = 64  # times as long; normal forms make at most 18 letters of one, and those who spell in bytes need 4


def require_bounded(parts: Mapping[str, JsonValue], where: str) -> None:
    """Raises DataError where a part of a tokenizer.json makes text over ``MOST`` times as long.

    Args:
        parts: the content of the file.
        where: what to call it in the error.
    """
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        if _growth(parts.get(name)) > MOST:
            raise DataError(f"{where}: its {name} makes text over {MOST} times as long; use another tokenizer")


def _growth(part: JsonValue) -> float:
    """How many times as long a text becomes at most, by all replacements and prefixes in a part of the JSON."""
    if isinstance(part, list):
        return math.prod(map(_growth, part))
    if not isinstance(part, dict):
        return 1.0
    inner = math.prod(map(_growth, part.values()))
    if part.get("type") == "Prepend":
        return inner * (1 + len(str(part.get("prepend", ""))))
    if part.get("type") != "Replace":
        return inner
    # a pattern may match a single character, and an empty one between all
    pattern = part.get("pattern")
    literal = pattern.get("String") if isinstance(pattern, dict) else pattern
    found = len(literal) if isinstance(literal, str) else 1
    return inner * max(1.0, len(str(part.get("content", ""))) / max(1, found))
