"""How much longer a tokenizer can make a text: one from elsewhere could turn ten letters into gigabytes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import JsonValue

from sightline.errors import DataError

MOST = 64  # times as long; normal forms make at most 18 letters of one, and those who spell in bytes need 4


def require_bounded(parts: Mapping[str, JsonValue], where: str) -> None:
    """Raises DataError where a part of a tokenizer.json makes text over ``MOST`` times as long, or cannot be used.

    Args:
        parts: the content of the file.
        where: what to call it in the error.
    """
    _require_usable(dict(parts), where)
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        if _growth(parts.get(name)) > MOST:
            raise DataError(f"{where}: its {name} makes text over {MOST} times as long; use another tokenizer")


def _require_usable(part: JsonValue, where: str) -> None:
    """Raises DataError for parts that the `tokenizers` library fails at: no table of characters, pieces of nothing."""
    if isinstance(part, list):
        for one in part:
            _require_usable(one, where)
    if not isinstance(part, dict):
        return
    kind, length = part.get("type"), part.get("length")
    if kind == "Precompiled" and not part.get("precompiled_charsmap"):
        raise DataError(f"{where}: a Precompiled normalizer without precompiled_charsmap; use another tokenizer")
    if kind == "FixedLength" and not (isinstance(length, int) and 0 < length < 1 << 32):
        raise DataError(f"{where}: FixedLength pieces of {length!r} characters; use another tokenizer")
    for name in ("normalizer", "normalizers", "pre_tokenizer", "pretokenizers", "decoder", "decoders"):
        _require_usable(part.get(name), where)


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
