"""Where sentences end, and texts taken apart into sentences and put together again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sightline.data.text import is_blank

# Marks that may end a sentence with closing quotes and brackets after them; or a blank line, which does.
_END = re.compile(r"[.!?…。！？]+[\"'”’)\]}»」』]*|\n\s*\n")
_UNSPACED = frozenset("。！？")  # marks that need no white space after them
_NEXT = re.compile(r"\s*(\S?)")
# English words that end in a full stop inside a sentence.
# fmt: off
_ABBREVIATIONS = frozenset([
    "mr", "mrs", "ms", "dr", "prof", "rev", "hon", "gen", "col", "lt", "sgt", "capt", "st", "jr", "sr", "vs", "vol",
    "fig", "eq", "pp", "ed", "cf", "al", "approx", "inc", "ltd", "co", "corp", "dept", "est", "jan", "feb",
    "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "e.g", "i.e", "u.s", "u.k", "a.m", "p.m",
])
# A German ordinal is a number and a full stop. These words stand before one,
_ORDINAL = re.compile(
    r"\b(?:d(?:er|ie|as|en|em|es)|(?<!\bi )am|im|vom|zu[mr]|beim|ins|ans"
    r"|(?:[mdsk]?ein|dies|jed|ihr|unser|euer|eur)(?:e[mnrs]?)?)\s+"
    r"(?:\d{1,3}\.?,?\s+(?:(?:und|oder|bis)\s+)?){0,2}\d{1,3}$",
    re.IGNORECASE,
)
# and these after one, whatever stands before it.
_ORDERED = frozenset([
    "januar", "jänner", "februar", "märz", "april", "mai", "juni", "juli", "august", "september", "oktober", "november",
    "dezember", "jahrhundert", "jahrhunderts", "weltkrieg", "weltkriegs", "weltkrieges",
])
# Words that no ordinal counts: where one follows, the sentence has ended ("Heute ist der 3. Wir gehen.").
_UNCOUNTED = frozenset([
    "ich", "du", "er", "sie", "es", "wir", "ihr", "man", "mein", "meine", "dein", "sein", "seine", "ihre", "unser",
    "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "dies", "diese", "dieser", "dieses", "jeder",
    "in", "im", "an", "am", "auf", "aus", "bei", "mit", "nach", "vor", "von", "zu", "zum", "für", "um", "seit", "bis",
    "und", "oder", "aber", "doch", "denn", "dann", "danach", "da", "dort", "hier", "so", "also", "auch", "nur", "nun",
    "jetzt", "heute", "morgen", "gestern", "später", "als", "wenn", "weil", "was", "wer", "wie", "wo", "warum", "bitte",
    "ja", "nein", "nicht", "kein", "keine", "alle", "viele",
])
# fmt: on
_WORD = re.compile(r"\s+([^\W\d_]{1,30})")
_BEFORE = 60  # characters before a full stop in which the words before an ordinal are looked for


def split_sentences(text: str) -> list[str]:
    """The sentences of a text in Korean, English or another language that ends them with . ! ? or …

    A sentence ends at such marks (and closing quotes or brackets after them) before white space; at 。！？ without any,
    too; and at a blank line. A single full stop is no end after an English abbreviation ("Dr."), after "no" before a
    digit, after an initial ("J. Smith"), after a number that begins the sentence ("2. Methods"), after a German ordinal
    ("am 3. Oktober", "der 2. Weltkrieg"), or before a small Latin letter. Text without such marks is one sentence.

    What language a text is in is not asked, so that it is cut alike wherever it comes in: German ordinals are told from
    the words around them.
    """
    return [text[start:stop] for start, stop in _sentence_spans(text)]


def _sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a text begin and end, without the white space around them."""
    start = 0
    for end in _sentence_ends(text):
        if sentence := text[start:end].strip():
            # the first character of a sentence is no white space, so that this finds it where it begins
            begin = text.index(sentence[0], start)
            yield begin, begin + len(sentence)
        start = end


def _sentence_ends(text: str) -> Iterator[int]:
    start = 0
    for match in _END.finditer(text):
        end, marks = match.end(), match.group()
        if not (end == len(text) or text[end].isspace() or marks.isspace() or not _UNSPACED.isdisjoint(marks)):
            continue
        if marks == "." and _goes_on(text, start, match.start()):
            continue
        yield end
        start = end
    yield len(text)


def _goes_on(text: str, start: int, stop: int) -> bool:
    """Whether the full stop at `stop` is no end of the sentence that begins at `start`."""
    match = _NEXT.match(text, stop + 1)
    following = match.group(1) if match else ""
    if following.islower():
        return True
    # only the last word is looked at: a text may hold many such full stops and no end
    begin = stop
    while begin > start and not text[begin - 1].isspace():
        begin -= 1
    last = text[begin:stop].lstrip("(\"'“‘[")
    name = last.lower()
    initial = len(last) == 1 and last.isascii() and last.isupper()
    numbered = last.isdigit() and not text[start:begin].strip()
    if name in _ABBREVIATIONS or (name == "no" and following.isdigit()) or initial or numbered:
        return True
    return last.isdigit() and following.isupper() and _is_ordinal(text, start, stop)


def _is_ordinal(text: str, start: int, stop: int) -> bool:
    """Whether the number before `stop` is a German ordinal: of at most three digits, so that years end sentences."""
    word = _WORD.match(text, stop + 1)
    counted = word.group(1).lower() if word else ""
    if counted in _UNCOUNTED:
        return False
    before = text[max(start, stop - _BEFORE) : stop]
    short = re.search(r"(?<!\d)\d{1,2}$", before) is not None
    return (short and counted in _ORDERED) or _ORDINAL.search(before) is not None


@dataclass(frozen=True)
class Passage:
    """A text taken apart into sentences that are translated each on its own; there is one at least.

    Attributes:
        sentences: without the white space around them.
        around: what stands before, between and after them: one more than there are sentences.
    """

    sentences: tuple[str, ...]
    around: tuple[str, ...]

    @classmethod
    def of(cls, text: str, *, split: bool = True) -> Passage:
        """A text line by line, and of each line what `split_sentences` finds; a text of one line and one sentence as
        it is, and any text where it is not to be split."""
        spans = list(_spans_by_line(text)) if split else []
        if not spans or (len(spans) == 1 and "\n" not in text):
            return cls((text,), ("", ""))
        ends = [0, *(place for span in spans for place in span), len(text)]
        around = tuple(text[begin:end] for begin, end in zip(ends[::2], ends[1::2], strict=True))
        return cls(tuple(text[begin:end] for begin, end in spans), around)

    def joined(self, texts: Sequence[str]) -> str:
        """Other texts in the place of the sentences, of the first ones where there are fewer.

        Where nothing stood between two sentences there is a space, unless the first ends with a mark that needs none.
        """
        parts: list[str] = []
        for number, text in enumerate(texts):
            between = self.around[number]
            if number and not between and texts[number - 1][-1:] not in _UNSPACED:
                between = " "
            parts += [between, text]
        return "".join([*parts, *self.around[-1:]] if len(texts) == len(self.sentences) else parts)


def _spans_by_line(text: str) -> Iterator[tuple[int, int]]:
    """Where sentences that show something begin and end; none goes on beyond a line."""
    start = 0
    for line in text.split("\n"):
        for begin, end in _sentence_spans(line):
            if not is_blank(line[begin:end]):
                yield start + begin, start + end
        start += len(line) + 1
