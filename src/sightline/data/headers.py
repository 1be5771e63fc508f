"""Whether the first line of a table names its columns, or is a record, or only its owner can tell."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from sightline.data.delimited import Row
from sightline.data.sources import Column
from sightline.errors import DataError

# Rows that a first line is compared with; and how many of them make its difference from all others worth a question.
COMPARED_ROWS, _TELLING_ROWS = 1000, 8
_RARE = 0.1  # the share of rows whose label may come once, where labels repeat
# What columns of texts and of labels are called, and languages.
# fmt: off
TEXT_NAMES = (
    "text", "sentence", "document", "review", "comment", "content", "message", "tweet", "utterance", "question",
    "query", "title", "body", "텍스트", "문장", "본문", "내용", "리뷰", "문서", "질문", "제목",
)
LABEL_NAMES = (
    "label", "labels", "gold_label", "class", "category", "sentiment", "emotion", "intent", "topic", "polarity",
    "rating", "score", "stars", "target", "tag", "y", "라벨", "레이블", "분류", "감정", "점수",
)
_COLUMN_NAMES = frozenset([
    *TEXT_NAMES, *LABEL_NAMES,
    "id", "idx", "index", "no", "source", "src", "tgt", "trg", "texts", "sentences", "premise", "hypothesis", "answer",
    "context", "doc", "passage", "translation", "original", "gold", "원문", "번역", "번역문", "답변",
    "ar", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hu", "it", "ja", "ko", "lt", "lv",
    "nl", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh", "arabic", "chinese", "czech", "dutch", "english",
    "french", "german", "hindi", "italian", "japanese", "korean", "polish", "portuguese", "russian", "spanish",
    "turkish", "vietnamese", "deutsch", "français", "español", "한국어", "영어", "일본어", "중국어",
    "input", "output", "instruction", "response", "prompt", "answers", "word", "token", "tags",
])
# Words that stand beside such names: "ko_KR", "text_a", "source_lang".
_WITH_NAMES = frozenset([
    "a", "b", "kr", "us", "gb", "cn", "jp", "kor", "eng", "lang", "language", "raw", "clean", "name", "value", "column",
    "side", "orig", "number", "type", "str", "start",
])
# fmt: on
_NAME = re.compile(r"[^\W\d_][\w ./()-]*")
_CHOICE = (
    "say header = true (--header) if this line names the columns, or header = false (--no-header) if it is a record"
)


def names_columns(where: str, rows: Iterable[Row], columns: Sequence[Column], label: Column | None = None) -> bool:
    """Whether the first of these rows of a table, whose columns are given by number, names them instead of being a
    record.

    Texts: where all chosen cells are what columns are called by, such as "source" or "ko_text". With the column of a
    `label`: where its first value comes in no other row, and is such a name among short cells, or no number where all
    others are numbers.

    Raises DataError where the first row is unlike all of many others, which are alike, in that its label comes once, or
    that all of its texts could be names: then only the user can tell.
    """
    rows = iter(rows)
    _, first = next(rows, (1, []))
    places = [column for column in columns if isinstance(column, int)]
    if not places or not 0 <= min(places) <= max(places) < len(first):
        return False
    others = [cells for _, cells in rows if len(cells) > max(places)]
    cells = [first[place].strip() for place in places]
    known = all(map(is_known_name, cells)) and len(set(cells)) == len(set(places))
    if known:  # the line may come again, where tables were put together
        others = [row for row in others if clean_names(row) != clean_names(first)]
    if not isinstance(label, int):
        return known or (label is None and _must_ask(where, cells, [[row[i] for i in places] for row in others]))
    labels = Counter(row[label].strip() for row in others)
    named = first[label].strip()
    if not labels:
        return known
    if named in labels:
        return False
    if is_known_name(named) and all(map(_short, first)):
        return True
    if all(map(_is_number, labels)):
        return not _is_number(named)
    once = sum(count == 1 for count in labels.values())
    if labels.total() >= _TELLING_ROWS and (
        not once or (once <= _RARE * labels.total() and all(map(_could_name, cells)))
    ):
        raise DataError(f'{where}:1: no other row has the label "{named[:40]}"; {_CHOICE}')
    return False


def _must_ask(where: str, cells: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Raises DataError where these cells could be names of columns, and those of no other of many rows could."""
    alone = len(set(cells)) == len(cells) and not any(all(map(_could_name, row)) for row in others)
    if alone and len(others) >= _TELLING_ROWS and all(map(_could_name, cells)):
        raise DataError(f'{where}:1: "{", ".join(cells)[:60]}" could be names of columns; {_CHOICE}')
    return False


def clean_names(cells: Sequence[str]) -> list[str]:
    """Names of columns as they are looked for: without white space around them or a byte order mark."""
    return [unicodedata.normalize("NFC", cell).strip().strip("\ufeff").strip() for cell in cells]


def is_known_name(cell: str) -> bool:
    """Whether columns are called so, or by several such words: "text", "Sentence 1", "ko_text", "labelId"."""
    name = re.sub(r"[\s_-]*\d*$", "", cell.strip().lower()).replace(" ", "_")
    if name in _COLUMN_NAMES:
        return True
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cell.strip())
    parts = [part for part in re.split(r"[\s_.()\[\]/-]+|(?<=[a-z])(?=\d)", spaced.lower()) if part]
    return 1 < len(parts) <= 3 and all(part in _COLUMN_NAMES or part in _WITH_NAMES for part in parts)


def _could_name(cell: str) -> bool:
    """Whether a cell is spelled as names of columns are: a few words, of letters and digits alone."""
    return bool(_NAME.fullmatch(cell.strip())) and _short(cell)


def _short(cell: str) -> bool:
    return len(cell) <= 40 and len(cell.split()) <= 3 and not re.search(r"[.!?。！？]", cell)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
