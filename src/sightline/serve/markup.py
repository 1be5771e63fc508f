"""HTML as text to be translated between tags that stay as they are.

Python's own parser takes time that grows with the square of a document on purpose made so, and raises on some; this
one reads a document once, and keeps to the letter whatever it does not understand.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

VERBATIM = ("script", "style", "textarea")  # what stands in these is no markup
KEPT = ("code", "pre")  # text of these stays as it is
NAME = re.compile(r"/?([a-z][a-z0-9-]*)", re.IGNORECASE)
# from the name of a tag to its end, which does not lie between quotes
REST = re.compile(r"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
# spaces at the ends of a stretch, as characters or as entities; and the same read backwards, which takes linear time
SPACE = re.compile(r"(?:\s|&(?:nbsp|#160|#xa0);)*", re.IGNORECASE)
SPACE_BACKWARDS = re.compile(r"(?:\s|;(?:psbn|061#|0ax#)&)*", re.IGNORECASE)


class Markup:
    """A document taken apart: `texts` are the stretches between tags, without the spaces around them."""

    def __init__(self, document: str) -> None:
        # (whether it is translated, stretch)
        self._parts = [(is_text and bool(html.unescape(part).strip()), part) for is_text, part in _parts(document)]
        self.texts = [html.unescape(part).strip() for translated, part in self._parts if translated]

    def joined(self, translations: Sequence[str]) -> str:
        """The document with a translation in place of each of its texts."""
        given = iter(translations)
        return "".join(_replaced(part, next(given)) if translated else part for translated, part in self._parts)


def _parts(document: str) -> Iterator[tuple[bool, str]]:
    """The document as (whether it is text to be translated, stretch)."""
    begin = 0  # of the stretch of text that has not been given yet
    kept = 0  # elements whose text stays that are open
    for start, stop, name in _Scanner(document).tags():
        if begin < start:
            yield kept == 0, document[begin:start]
        yield False, document[start:stop]
        if name.lstrip("/") in KEPT:
            kept = max(0, kept + (-1 if name.startswith("/") else 1))
        begin = stop
    if begin < len(document):
        yield kept == 0, document[begin:]


class _Scanner:
    """Finds what is no text in a document, each part of which it reads once."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._heeds_quotes = True

    def tags(self) -> Iterator[tuple[int, int, str]]:
        """Whatever is no text, as (start, stop, name of the tag with "/" where it ends an element, or "")."""
        document = self._document
        last = document.rfind(">")
        position = document.find("<")
        while 0 <= position < last or document.startswith("<!--", position):
            stop, name = self._end(position)
            if stop > position:
                yield position, stop, name
            position = document.find("<", max(stop, position + 1))

    def _end(self, start: int) -> tuple[int, str]:
        """Where what begins with "<" ends, and the name of the tag; `start` where it is nothing but that character."""
        document = self._document
        if document.startswith("<!--", start):
            end = document.find("-->", start + 4)
            return (len(document) if end < 0 else end + 3), ""
        if document.startswith(("<!", "<?"), start):
            return document.find(">", start) + 1, ""
        named = NAME.match(document, start + 1)
        if named is None:
            return start, ""
        name = named.group().lower()
        stop = self._tag_end(start, named.end())
        if name in VERBATIM:
            closing = re.compile(f"</{name}", re.IGNORECASE).search(document, stop)
            stop = closing.start() if closing else len(document)
        return stop, name

    def _tag_end(self, start: int, named: int) -> int:
        """Where a tag ends whose name ends at `named`.

        Of one that has no end outside of quotes, quotes are none, nor are those of later tags then: to look for the end
        of each would read the rest of the document as often as it has tags.
        """
        if self._heeds_quotes:
            if rest := REST.match(self._document, named):
                return rest.end()
            self._heeds_quotes = False
        return self._document.find(">", start) + 1


def _replaced(part: str, text: str) -> str:
    """A stretch with another text between the spaces that surround it."""
    start, stop = _length(SPACE, part), len(part) - _length(SPACE_BACKWARDS, part[::-1])
    return part[:start] + html.escape(text, quote=False) + part[stop:]


def _length(pattern: re.Pattern[str], text: str) -> int:
    """Of what a pattern matches at the beginning of a text."""
    found = pattern.match(text)
    return found.end() if found else 0
