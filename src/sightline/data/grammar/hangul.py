"""Arithmetic on Hangul syllables: their vowels and final consonants (Unicode 15, section 3.12)."""

from __future__ import annotations

_BASE, _VOWELS, _FINALS = 0xAC00, 21, 28
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")


def vowel(word: str) -> str:
    """The vowel of the last syllable."""
    return VOWELS[(ord(word[-1]) - _BASE) // _FINALS % _VOWELS]


def final(word: str) -> str:
    """The final consonant of the last syllable; "" where it is open."""
    return FINALS[(ord(word[-1]) - _BASE) % _FINALS]


def with_final(word: str, consonant: str) -> str:
    """The word with another final consonant, or none, in its last syllable."""
    code = ord(word[-1])
    return word[:-1] + chr(code - (code - _BASE) % _FINALS + FINALS.index(consonant))


def with_vowel(word: str, new: str) -> str:
    """The word with another vowel in its last syllable, which must be open."""
    code = ord(word[-1]) - _BASE
    lead = code // (_VOWELS * _FINALS)
    return word[:-1] + chr(_BASE + (lead * _VOWELS + VOWELS.index(new)) * _FINALS)
