"""Questions with answers in a text: files of them, the windows a long text is read in, and how answers are compared.

The layout and the comparison are SQuAD's (Rajpurkar et al. 2016, 2018), which KorQuAD took over (Lim et al. 2019).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from sightline.data.json_records import read_whole
from sightline.data.parquet import parquet_values
from sightline.data.records import first_row, is_parquet, read_records
from sightline.data.sources import Outline, Source, format_suffix
from sightline.data.splits import take_split
from sightline.data.text import BadRecord, LongLineError, read_numbered_lines, read_text_lines, refuse
from sightline.errors import DataError
from sightline.jsonio import Json, as_object, parse_json, unique_keys

Units = Literal["words", "characters"]
_ANSWER_NAMES = ("answer", "answers", "answer_text")
_LAYOUTS = "check that it has SQuAD's layout, or an object a line"
Window = tuple[int, int]  # first token of a text, token after the last


@dataclass(frozen=True)
class Question:
    """A question about a text.

    Attributes:
        answers: right ones, each with the character of `context` where it begins; none where there is no answer.
    """

    question: str
    context: str
    answers: tuple[tuple[str, int], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The right answers; an empty one where there is none."""
        return tuple(text for text, _ in self.answers) or ("",)


class QuestionSource(Source):
    """Where questions come from: a file of SQuAD's layout (.json); JSON Lines or Parquet with question, context and
    answers; or a table with columns of these names, whose answer_start may be missing."""

    source: str = Field(
        description="a file of SQuAD's layout, or JSON Lines, Parquet or CSV with question, context and answers"
    )

    def outlines(self, bad: BadRecord = refuse) -> Iterator[Outline]:
        """The questions, by their texts."""
        found = read_numbered_questions(self, bad)
        return (Outline(one.context, (one.question, one.context)) for _, one in found)


def read_questions(source: QuestionSource, bad: BadRecord = refuse) -> Iterator[Question]:
    """The questions of a file, in order. Those on one text are on one side of a split.

    In JSON Lines and Parquet the answers are {"text": [...], "answer_start": [...]} or SQuAD's list of objects; in a
    table the answer is one, and none where it is empty.

    Raises DataError (file:line or file, and the question's number) for what is no question, or tells `bad`.
    """
    questions = (question for _, question in read_numbered_questions(source, bad))
    return take_split(questions, source.split, lambda question: question.context)


def read_numbered_questions(source: QuestionSource, bad: BadRecord = refuse) -> Iterator[tuple[int, Question]]:
    """All questions of a file, whatever the source's split, each with the number of its line, or in SQuAD's layout its
    own; `bad` is told of what is no question."""
    path = source.files()[0]
    suffix = format_suffix(path)
    if is_parquet(path):
        values = parquet_values(path, ("question", "context", "answers"))
        records = ((number, as_object(one, ""), f"{path}:{number}") for number, one in values)
    elif suffix in (".csv", ".tsv"):
        records = _tabled(path, bad)
    elif _is_a_question(path):
        records = _lined(path, bad)
    else:
        squad = enumerate(_squad(path), 1)
        records = (
            (number, {**as_object(one, str(path)), "context": text}, f"{path}, question {number}")
            for number, (one, text) in squad
        )
    empty = True
    for number, record, where in records:
        empty = False
        try:
            question = _question(record, record.get("context"), where)
        except DataError as error:
            bad(error)
        else:
            yield number, question
    if empty:
        raise DataError(f"{path}: no questions; check the file")


_Numbered = tuple[int, dict[str, Json], str]  # the number of a question, what is said of it, where


def _lined(path: Path, bad: BadRecord) -> Iterator[_Numbered]:
    for number, line in read_numbered_lines(path, bad):
        if line.strip():
            where = f"{path}:{number}"
            try:
                record = as_object(parse_json(line, where, hint=_LAYOUTS, pairs=unique_keys), where, hint=_LAYOUTS)
            except DataError as error:
                bad(error)
            else:
                yield number, record, where


def _tabled(path: Path, bad: BadRecord) -> Iterator[_Numbered]:
    names = first_row(path)
    answer = next((name for name in _ANSWER_NAMES if name in names), _ANSWER_NAMES[0])
    columns = ["question", "context", answer, *(["answer_start"] if "answer_start" in names else [])]
    for number, (question, context, text, *starts) in read_records(path, columns, bad=bad):
        if not any((question, context, text)):
            continue
        # where it is not said, the first place is meant
        start = starts[0].strip() if starts and starts[0].strip() else str(max(context.find(text), 0))
        where = f"{path}:{number}"
        if not start.isdecimal():
            bad(DataError(f"{where}: answer_start {start[:20]!r} is not a whole number; mend the line"))
            continue
        answers: list[Json] = [{"text": text, "answer_start": int(start)}] if text.strip() else []
        yield number, {"question": question, "context": context, "answers": answers}, where


def _is_a_question(path: Path) -> bool:
    """Whether the first line of a file is a question, and so every other; SQuAD's whole file may be one line."""
    try:
        found = parse_json(next((line for line in read_text_lines(path) if line.strip()), ""), "", error=_NoJsonError)
    except (LongLineError, _NoJsonError):
        return False
    return isinstance(found, dict) and "question" in found


class _NoJsonError(DataError):
    pass


def _squad(path: Path) -> Iterator[tuple[Json, Json]]:
    """(question, its context) in the order of the file."""
    whole = as_object(parse_json(read_whole(path), str(path), hint=_LAYOUTS), str(path), hint=_LAYOUTS)
    for article in _objects(whole, "data", path):
        for paragraph in _objects(article, "paragraphs", path):
            for record in _objects(paragraph, "qas", path):
                yield record, paragraph.get("context")


def _objects(parent: dict[str, Json], key: str, path: Path) -> Iterator[dict[str, Json]]:
    found = parent.get(key)
    if not isinstance(found, list):
        raise DataError(f'{path}: not SQuAD\'s layout (no list "{key}"); {_LAYOUTS}')
    for one in found:
        yield as_object(one, f"{path}: {key}", hint=_LAYOUTS)


def _question(record: Json, context: Json, where: str) -> Question:
    record = as_object(record, where)
    question = record.get("question")
    pairs = _answers(record.get("answers") or [], where)
    if not isinstance(question, str) or not isinstance(context, str):
        raise DataError(f"{where}: question, context and answers must be strings, answer_start a whole number")
    texts = [question, context, *(text for text, _ in pairs)]
    if any("\ud800" <= char <= "\udfff" for text in texts for char in text):
        raise DataError(f"{where}: holds half a surrogate pair, spelled as an escape; remove it")
    return Question(question, context, pairs)


def _answers(answers: Json, where: str) -> tuple[tuple[str, int], ...]:
    """The text of each answer, and where it begins."""
    pairs: list[tuple[Json, Json]] = []
    if isinstance(answers, dict):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            pairs = list(zip(texts, starts, strict=True))
        else:
            raise DataError(f"{where}: not a question with its answers (text and answer_start are lists alike long)")
    elif isinstance(answers, list):
        objects = [as_object(one, f"{where}: an answer") for one in answers]
        pairs = [(one.get("text"), one.get("answer_start")) for one in objects]
    found = [(text, start) for text, start in pairs if isinstance(text, str) and type(start) is int]
    if len(found) < len(pairs) or not isinstance(answers, (dict, list)):
        raise DataError(f"{where}: question, context and answers must be strings, answer_start a whole number")
    return tuple(found)


def find_answer(context: str, answer: str, start: int) -> int | None:
    """Where an answer begins in its text: the place nearest to `start`, or None where it does not stand there at all.

    Texts that were made into another normal form have moved a little.
    """
    before, after = context.rfind(answer, 0, start + len(answer)), context.find(answer, max(start, 0))
    return min((at for at in (before, after) if at >= 0), key=lambda at: abs(at - start), default=None)


def windows(length: int, room: int, step: int) -> list[Window]:
    """Stretches of at most `room` tokens that cover a text of `length`, each `step` after the one before."""
    found = [(0, min(room, length))]
    while found[-1][1] < length:
        start = found[-1][0] + min(step, room)
        found.append((start, min(start + room, length)))
    return found


def answer_tokens(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """The first and the last of the tokens that hold characters `start` … `end` - 1; None where none does.

    Args:
        spans: for every token the characters it stands for.
    """
    inside = [number for number, (low, high) in enumerate(spans) if low < end and high > start and high > low]
    return (inside[0], inside[-1]) if inside else None


QUOTES = "\"'《》<>〈〉()‘’"


def normalize_answer(answer: str, units: Units) -> str:
    """What of an answer is compared: lower case, without ASCII punctuation, single spaces.

    Words: SQuAD's, without the English articles. Characters: KorQuAD's, where quotes and brackets become spaces.
    """
    answer = answer.lower()
    if units == "characters":
        answer = "".join(" " if char in QUOTES else char for char in answer)
    answer = "".join(char for char in answer if char not in string.punctuation)
    if units == "words":
        answer = re.sub(r"\b(a|an|the)\b", " ", answer)
    return " ".join(answer.split())


def exact_match(predicted: str, right: Sequence[str], units: Units = "words") -> bool:
    """Whether an answer is one of the right ones."""
    return normalize_answer(predicted, units) in [normalize_answer(one, units) for one in right]


def overlap_f1(predicted: str, right: Sequence[str], units: Units = "words") -> float:
    """The harmonic mean of precision and recall of the units that an answer shares with the nearest right one."""
    return max(_f1(answer_pieces(predicted, units), answer_pieces(one, units)) for one in right)


def answer_pieces(answer: str, units: Units) -> list[str]:
    """The words or characters of an answer that are compared."""
    plain = normalize_answer(answer, units)
    return plain.split() if units == "words" else list(plain.replace(" ", ""))


def _f1(predicted: list[str], right: list[str]) -> float:
    if not predicted or not right:
        return float(predicted == right)
    shared = sum((Counter(predicted) & Counter(right)).values())
    return 2 * shared / (len(predicted) + len(right))
