"""Names of languages and their codes."""

from __future__ import annotations

CODES = {
    "arabic": "ar", "chinese": "zh", "english": "en", "french": "fr", "german": "de", "hebrew": "he", "hindi": "hi",
    "italian": "it", "japanese": "ja", "korean": "ko", "portuguese": "pt", "russian": "ru", "spanish": "es",
    "turkish": "tr", "vietnamese": "vi",
}  # fmt: skip


def code_of(language: str) -> str:
    """The ISO 639-1 code of a language's English name; the name itself, in small letters, where it is not known."""
    return CODES.get(language.lower(), language.lower())


def name_of(language: str) -> str | None:
    """The English name of a language, as German, that is named so or by its code, in any case; None of any other."""
    wanted = language.strip().lower()
    return next((name.capitalize() for name, code in CODES.items() if wanted in (name, code)), None)
