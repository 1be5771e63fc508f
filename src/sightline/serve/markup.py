"""HTML as text to be translated between tags that stay as they are."""

from __future__ import annotations

import html
from collections.abc import Sequence
from html.parser import HTMLParser

# what stands in these is no text of the document
UNTRANSLATED = ("script", "style", "code", "pre", "textarea")


class Markup(HTMLParser):
    """A document taken apart: `texts` are the stretches between tags, without the spaces around them."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=False)
        self._lines = [0]  # where each begins
        for line in document.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._starts: list[tuple[int, bool]] = []  # of each construct, and whether it is text to be translated
        self._skipped = 0  # elements whose text stays that are open
        self.feed(document)
        self.close()
        # (translated, stretch): what is not translated is kept to the letter
        self._parts = list(self._split(document))
        self.texts = [html.unescape(part).strip() for translated, part in self._parts if translated]

    def joined(self, translations: Sequence[str]) -> str:
        """The document with a translation in place of each of its texts."""
        given = iter(translations)
        return "".join(_replaced(part, next(given)) if translated else part for translated, part in self._parts)

    def _split(self, document: str) -> list[tuple[bool, str]]:
        # constructs of text that follow each other, such as letters and entities, are one stretch
        starts: list[tuple[int, bool]] = [(0, False)]
        starts += [one for n, one in enumerate(self._starts) if not one[1] or n == 0 or not self._starts[n - 1][1]]
        stops = [*(start for start, _ in starts[1:]), len(document)]
        parts = [(is_text, document[start:stop]) for (start, is_text), stop in zip(starts, stops, strict=True)]
        return [(is_text and bool(html.unescape(part).strip()), part) for is_text, part in parts if part]

    def _note(self, is_text: bool) -> None:
        line, column = self.getpos()
        self._starts.append((self._lines[line - 1] + column, is_text and not self._skipped))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(False)
        self._skipped += tag in UNTRANSLATED

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(False)

    def handle_endtag(self, tag: str) -> None:
        self._note(False)
        self._skipped = max(0, self._skipped - (tag in UNTRANSLATED))

    def handle_data(self, data: str) -> None:
        self._note(True)

    def handle_entityref(self, name: str) -> None:
        self._note(True)

    def handle_charref(self, name: str) -> None:
        self._note(True)

    def handle_comment(self, data: str) -> None:
        self._note(False)

    def handle_decl(self, decl: str) -> None:
        self._note(False)

    def handle_pi(self, data: str) -> None:
        self._note(False)

    def unknown_decl(self, data: str) -> None:
        self._note(False)


def _replaced(part: str, text: str) -> str:
    """A stretch with another text between the spaces that surround it."""
    before = part[: len(part) - len(part.lstrip())]
    after = part[len(part.rstrip()) :]
    return before + html.escape(text, quote=False) + after
