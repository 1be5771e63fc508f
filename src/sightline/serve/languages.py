"""Which of the languages that are served a text is probably in."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice

# first words of the Unicode names of a language's letters, where they are not Latin
SCRIPTS = {
    "ar": ("ARABIC",), "he": ("HEBREW",), "hi": ("DEVANAGARI",), "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "ko": ("HANGUL",), "ru": ("CYRILLIC",), "zh": ("CJK",),
}  # fmt: skip
MAX_LETTERS = 1000  # of a text, which are enough


def detect(text: str, codes: Iterable[str], pieces: Callable[[str, str], int]) -> list[tuple[str, float]]:
    """(code, confidence in percent) of each language that a text may be in, the likeliest first.

    Confidence is the share of the text's letters that are of the language's script; languages of one script are told
    apart by how few pieces their vocabulary needs, and share the confidence.

    Args:
        codes: of the languages in question.
        pieces: (code, text) → into how many tokens that language's tokenizer cuts the text.
    """
    letters = islice(filter(str.isalpha, text), MAX_LETTERS)
    names = [unicodedata.name(one, "").partition(" ")[0] for one in letters]
    scripts = Counter(names)
    share = {
        code: sum(scripts[name] for name in SCRIPTS.get(code, ("LATIN",))) / max(len(names), 1)
        for code in dict.fromkeys(codes)
    }
    likely = [code for code in share if share[code] > 0]
    rivals = Counter(round(share[code], 6) for code in likely)
    ranked = sorted(likely, key=lambda code: (-share[code], pieces(code, text[:MAX_LETTERS])))
    return [(code, round(100 * share[code] / rivals[round(share[code], 6)], 1)) for code in ranked]
