"""What a check sees of each kind of data: records with their texts and labels, however they are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sightline.data.check_report import NEARLY
from sightline.data.check_sample import Sample, looks_asked, looks_labelled, looks_paired, looks_plain, looks_tagged
from sightline.data.documents import TextSource, read_pieces, require_no_table
from sightline.data.images import ImageSource, read_numbered_images
from sightline.data.labelled import LabelledSource, read_numbered_labelled
from sightline.data.pairs import PairSource, read_numbered_pairs
from sightline.data.questions import QuestionSource, read_numbered_questions
from sightline.data.sentences import SentenceSource
from sightline.data.sources import EMBEDDED, Source, read_lines, resolve
from sightline.data.tagged import TaggedSource, read_numbered_tagged
from sightline.data.text import BadRecord, read_numbered_lines
from sightline.jsonio import Json

Values = Mapping[str, Json]


@dataclass(frozen=True)
class CheckedRecord:
    """One record.

    Attributes:
        texts: those that a model reads or writes, one for each side; of an image none.
        labels: its class, or a tag for each unit.
        values: what is written where the record is kept, by name. unusable: why training leaves it out; empty where it
        does not.
        content: what the same record has again, where that is no text. size: of an image, across and down.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    values: Values
    unusable: str = ""
    content: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Limit:
    """The most tokens of a side that a task's defaults allow, and what training does with more ("cuts")."""

    tokens: int
    what: str


@dataclass(frozen=True)
class CheckedData:
    """How a kind of data is checked.

    Attributes:
        unit: what a record is called, in plural. what: what its labels are of. source: where it comes from.
        sides: the names of a record's texts, given the source.
        read: every record of a source with its number; the callback is told of what is none.
        parallel: whether the two sides say the same, and so should be alike long. breaks: whether texts have lines.
        labels: what a label is called, in plural; empty where records have none. limits: by side.
        lines: a record as lines of plain text; None where only a table holds it. listed: whether its values are lists,
        so that a .tsv has such lines, too. writable: whether a table can hold them.
        places: of a source what says where a record is, by its number. near: how what is nearly the same differs.
        recognises: why a file looks as if it held this kind of data; empty where it does not.
    """

    unit: str
    source: type[Source]
    sides: Callable[[Any], tuple[str, ...]]
    read: Callable[[Any, BadRecord], Iterator[tuple[int, CheckedRecord]]]
    parallel: bool = False
    breaks: bool = False
    labels: str = ""
    limits: Mapping[str, Limit] = field(default_factory=dict[str, Limit])
    lines: Callable[[Values], str] | None = None
    listed: bool = False
    writable: bool = True
    what: str = "text"
    places: Callable[[Any], Callable[[int], str]] = lambda source: lambda number: f"{source.source}:{number}"
    near: str = NEARLY
    recognises: Callable[[Sample], str] = lambda sample: ""


def _read_images(source: ImageSource, bad: BadRecord) -> Iterator[tuple[int, CheckedRecord]]:
    for number, (image, name) in read_numbered_images(source, bad):
        shape = f"{image.dtype} {image.shape} ".encode()
        content = hashlib.blake2b(shape + np.ascontiguousarray(image).tobytes(), digest_size=16).hexdigest()
        yield number, CheckedRecord((), (name,), {}, content=content, size=(image.shape[1], image.shape[0]))


def _image_places(source: ImageSource) -> Callable[[int], str]:
    """The files of a folder; of a file of many images its name and their numbers."""
    if not resolve(source.source).is_dir():
        return lambda number: f"{source.source}:{number}"
    files = source.files()
    return lambda number: str(files[number - 1])


IMAGES = CheckedData(
    unit="images",
    what="image",
    source=ImageSource,
    sides=lambda source: (),
    read=_read_images,
    labels="classes",
    writable=False,
    places=_image_places,
    near="with another class",
)


def _read_pairs(source: PairSource, bad: BadRecord) -> Iterator[tuple[int, CheckedRecord]]:
    for number, (one, other) in read_numbered_pairs(source, bad):
        yield number, CheckedRecord((one, other), (), {"source": one, "target": other})


PAIRS = CheckedData(
    unit="pairs",
    source=PairSource,
    sides=lambda source: ("source", "target"),
    read=_read_pairs,
    parallel=True,
    recognises=looks_paired,
)


def _text_sides(source: LabelledSource) -> tuple[str, ...]:
    count = len(source.texts)
    return ("text",) if count == 1 else tuple(f"text{number}" for number in range(1, count + 1))


def _read_labelled(source: LabelledSource, bad: BadRecord) -> Iterator[tuple[int, CheckedRecord]]:
    sides = _text_sides(source)
    for number, (texts, label) in read_numbered_labelled(source, bad):
        yield number, CheckedRecord(texts, (label,), {**dict(zip(sides, texts, strict=True)), "label": label})


LABELLED = CheckedData(
    unit="records",
    source=LabelledSource,
    sides=_text_sides,
    read=_read_labelled,
    breaks=True,
    labels="labels",
    recognises=looks_labelled,
)


def _read_tagged(source: TaggedSource, bad: BadRecord) -> Iterator[tuple[int, CheckedRecord]]:
    for number, (units, tags) in read_numbered_tagged(source, bad):
        yield number, CheckedRecord((source.joined_by.join(units),), tags, {"tokens": [*units], "tags": [*tags]})


def _tagged_lines(values: Values) -> str:
    units, tags = values["tokens"], values["tags"]
    assert isinstance(units, list)
    assert isinstance(tags, list)
    return "".join(f"{unit}\t{tag}\n" for unit, tag in zip(units, tags, strict=True)) + "\n"


TAGGED = CheckedData(
    unit="records",
    source=TaggedSource,
    sides=lambda source: ("text",),
    read=_read_tagged,
    labels="tags",
    lines=_tagged_lines,
    listed=True,
    recognises=looks_tagged,
)


def _read_questions(source: QuestionSource, bad: BadRecord) -> Iterator[tuple[int, CheckedRecord]]:
    for number, one in read_numbered_questions(source, bad):
        answers: Json = {"text": [text for text, _ in one.answers], "answer_start": [at for _, at in one.answers]}
        values: Values = {"question": one.question, "context": one.context, "answers": answers}
        stands = not one.answers or any(text.strip() and text in one.context for text, _ in one.answers)
        unusable = "" if stands else "the answer does not stand in the text, so training leaves it out"
        yield number, CheckedRecord((one.question, one.context), (), values, unusable)


QUESTIONS = CheckedData(
    unit="questions",
    source=QuestionSource,
    sides=lambda source: ("question", "context"),
    read=_read_questions,
    breaks=True,
    recognises=looks_asked,
)


def _record(text: str) -> CheckedRecord:
    return CheckedRecord((text,), (), {"text": text})


def _read_texts(source: TextSource, bad: BadRecord) -> Iterator[tuple[int, CheckedRecord]]:
    if source.source.startswith(EMBEDDED):
        yield from ((number, _record(text)) for number, text in enumerate(source.texts(), 1))
    elif source.column is not None:
        yield from ((number, _record(text)) for number, (text,) in source.records(bad))
    elif source.documents == "line":
        require_no_table(source.source)
        lines = read_numbered_lines(resolve(source.source), bad)
        yield from ((number, _record(text)) for number, text in lines)
    else:
        held: list[str] = []
        number = 1
        for piece, ended in read_pieces(source):
            held.append(piece)
            if ended:
                yield number, _record("".join(held))
                number, held = number + 1, []
        if held:
            yield number, _record("".join(held))


TEXTS = CheckedData(
    unit="documents",
    source=TextSource,
    sides=lambda source: ("text",),
    read=_read_texts,
    breaks=True,
    lines=lambda values: f"{values['text']}\n",
    recognises=looks_plain,
)


def _read_sentences(source: SentenceSource, bad: BadRecord) -> Iterator[tuple[int, CheckedRecord]]:
    if source.documents == "group":
        lines: Sequence[str] | Iterator[str] = read_lines(source.source)
        return ((number, _record(line)) for number, line in enumerate(lines, 1))
    return _read_texts(source.as_texts(), bad)


SENTENCES = CheckedData(
    unit="documents",
    source=SentenceSource,
    sides=lambda source: ("text",),
    read=_read_sentences,
    breaks=True,
    lines=lambda values: f"{values['text']}\n",
    recognises=looks_plain,
)
