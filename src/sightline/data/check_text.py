"""What may be wrong with one text: what a check of data looks for in each, and the scripts that it is written in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_BREAKS = re.compile("[\r\n\t]")
# A cell of CSV as it is written: all its quotes doubled between two, and one of them at least.
_AS_IN_CSV = re.compile(r'"[^"]*(?:""[^"]*)+"')
_INCHES = re.compile(r'(?<=\d)"')

# Ranges of letters, by the script that a reader would name.
_SCRIPTS = {
    "Latin": "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ",
    "Hangul": "가-힣ᄀ-ᇿㄱ-ㆎ",
    "Han": "一-鿿㐀-䶿",
    "kana": "ぁ-ヿ",
    "Cyrillic": "Ѐ-ԯ",
    "Greek": "Ͱ-Ͽἀ-῿",
    "Arabic": "\u0600-\u06ff\u0750-\u077f",
    "Hebrew": "\u0590-\u05ff",
    "Devanagari": "\u0900-\u097f",
    "Thai": "\u0e00-\u0e7f",
}
_LETTERS = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}


@cache
def _script_of(char: str) -> str:
    """The script of a letter, and of anything else none."""
    return next((name for name, letters in _LETTERS.items() if letters.match(char)), "")


_LATIN = re.compile("[A-Za-z]")
_NOT_WORDS, _DIGITS = re.compile(r"[\W_]+"), re.compile(r"\d+")


def _mojibake_pattern() -> re.Pattern[str]:
    """UTF-8 read as Latin-1 or Windows-1252: a lead byte, then continuation bytes, each shown as a character.

    Of the two-byte leads only those of Latin, Greek and Cyrillic letters count: others end ordinary words before a
    closing quotation mark.
    """
    latin1 = "".join(map(chr, range(0x80, 0xC0)))
    windows = bytes(range(0x80, 0xA0)).decode("cp1252", errors="ignore")
    continuation = f"[{re.escape(latin1 + windows)}]"
    return re.compile(f"[\xc2\xc3\xce\xcf\xd0\xd1]{continuation}|[\xe0-\xef]{continuation}{{2}}")


_MOJIBAKE = _mojibake_pattern()


def faults(text: str, *, breaks: bool = False) -> Iterator[str]:
    """What is wrong with a text, in words.

    Args:
        breaks: whether line breaks and tabs are no control characters there, as in documents of many lines.
    """
    if not text.isprintable() and _CONTROL.search(_BREAKS.sub(" ", text) if breaks else text):
        yield "control characters"
    if "\ufffd" in text:
        yield "U+FFFD, left by a failed decoding"
    if not text.isascii() and _MOJIBAKE.search(text):
        yield "looks like UTF-8 read in another encoding"
    if '"' in text:
        if _AS_IN_CSV.fullmatch(text):
            yield "quoted and with doubled quotes, as only a .csv has them"
        elif text.count('"') % 2 and not _INCHES.search(text):
            yield "unbalanced quotes"
    if ("“" in text or "”" in text) and sum(map(text.count, "“”„‟")) % 2:
        yield "unbalanced quotes"


def scripts_of(text: str) -> frozenset[str]:
    """The scripts of a text's letters; Japanese is both Han and kana."""
    if text.isascii():
        return frozenset(["Latin"] if _LATIN.search(text) else [])
    return frozenset(map(_script_of, set(text))) - {""}


def normalized(text: str) -> str:
    """A text as near-duplicates share it: without case, white space, punctuation and forms of digits and letters, all
    numbers alike. Of a text without letters or digits, itself."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _DIGITS.sub("0", _NOT_WORDS.sub("", plain.casefold())) or text


def likely_longer(text: str, tokens: int) -> bool:
    """Whether a text is likely to have more tokens than that: it has as many words, or eight characters for each."""
    return len(text) > tokens and (len(text) > 8 * tokens or len(text.split()) > tokens)
