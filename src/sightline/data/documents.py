"""Plain text as documents: read from what users have, tokenised once, cached and mapped into memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sightline.config import Frozen
from sightline.data import prepared
from sightline.data.pairs import PairSource, read_pairs
from sightline.data.prepared import SequenceNotes, SequenceWriter, read_sequences
from sightline.data.progress import ENCODING, ProgressReporter, Report, silent
from sightline.data.records import TableSource, column_names, is_keyed, is_parquet
from sightline.data.sources import EMBEDDED, WHOLE, Column, Outline, Part, format_suffix, read_lines, resolve
from sightline.data.splits import Fractions, place, within
from sightline.data.text import BadRecord, is_blank, read_numbered_lines, read_text_pieces, refuse
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, UsageError
from sightline.jsonio import Json
from sightline.special_tokens import EOS_ID

_TITLE = re.compile(r"\s*=\s*[^=\s](.*[^=\s])?\s*=\s*$")  # of an article in MediaWiki; a section has more signs
DocumentKind = Literal["line", "block", "article", "file", "running"]
Piece = tuple[str, bool]  # some text, and whether a document ends after it


class TextSource(TableSource):
    """Where plain text comes from, and what a document of it is.

    - "line": every line; - "block": lines up to a blank one; - "article": lines up to the next title, which is written
      "= Title =", as in WikiText; - "file": every file, `source` being one file or a folder of them, taken in the
      order of their names; - "running": no documents, the text just goes on.
    - With `column` the file is TSV or CSV (columns counted from 0, or named by the first line), JSON Lines (a key) or
      the embedded corpus ("ko", "en"), and every record is a document.

    Any file may be compressed (.gz, .zst) or a catalogue's: "wikitext-2:train.txt.gz".
    """

    source: str = Field(description="a file of text, with documents = file also a folder of them")
    documents: DocumentKind = Field(default="line", description="what a document is")
    column: Column | None = Field(default=None, description="of a table: number (from 0), name or key of the text")
    part: Part = WHOLE  # of the characters of running text, of the documents of other text

    @model_validator(mode="after")
    def _fits(self) -> TextSource:
        if self.column is not None and self.documents != "line":
            raise ValueError(f'{self.source}: with a column every record is a document; leave documents = "line"')
        if self.column is None and self.source.startswith(EMBEDDED):
            raise ValueError(f'{self.source}: choose a column, "ko" or "en"')
        if self.split is not None and self.documents == "running":
            raise ValueError(f"{self.source}: running text has no documents to split; part = [from, to] cuts it")
        return self

    def files(self) -> list[Path]:
        """The files to be read, none for the embedded corpus; of a folder those that hold anything.

        Raises DataError for a folder without such files.
        """
        if self.source.startswith(EMBEDDED):
            return []
        path = resolve(self.source)
        if self.documents != "file" or not path.is_dir():
            return [path]
        inside = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        files = sorted(file for file in inside if file.stat().st_size)
        if not files:
            raise DataError(f"{path}: a folder without files that hold anything; name one with text in it")
        return files

    def columns(self) -> tuple[Column, ...]:
        """That of the text, where the source is a table."""
        return () if self.column is None or self.source.startswith(EMBEDDED) else (self.column,)

    def content_id(self) -> Json:
        """What the text depends on; of the embedded corpus its pairs, which the package's version decides."""
        embedded = self.source.startswith(EMBEDDED)
        if not embedded:
            return super().content_id()
        return [self._embedded().content_id(), list(self.part), *([list(self.split)] if self.split else [])]

    def _embedded(self) -> PairSource:
        return PairSource(source=self.source, source_column=self.column, target_column=self.column)

    def texts(self, bad: BadRecord = refuse) -> Iterator[str]:
        """The text of every record of a table or of the embedded corpus."""
        if self.source.startswith(EMBEDDED):
            return (text for text, _ in read_pairs(self._embedded()))
        return (values[0] for _, values in self.records(bad))

    def outlines(self, bad: BadRecord = refuse) -> Iterator[Outline]:
        """The documents, or pieces of a megabyte of those that are longer."""
        return (Outline(text, (text,)) for text, _ in _all_pieces(self, bad))


def read_pieces(source: TextSource) -> Iterator[Piece]:
    """The text of one source, in order, empty documents included; a megabyte or so in memory at a time.

    Documents that begin alike, by their first megabyte where they are longer, are on one side of a split.

    Raises DataError where a file cannot be read or is not what the source says.
    """
    pieces = _of_part(source)
    return pieces if source.split is None else _of_split(pieces, source.split)


def _of_split(pieces: Iterator[Piece], split: Fractions) -> Iterator[Piece]:
    taken: bool | None = None  # the document that is being read; None before its first piece
    for text, ended in pieces:
        if taken is None:
            taken = within(place(text), split)
        if taken:
            yield text, ended
        if ended:
            taken = None


def _of_part(source: TextSource) -> Iterator[Piece]:
    if source.part == WHOLE:
        return _all_pieces(source)
    running = source.documents == "running"
    # a document is a unit, whatever its length
    sizes = (len(text) if running else ended for text, ended in _all_pieces(source))
    total = sum(sizes)
    low, high = (int(total * fraction) for fraction in source.part)
    return (_characters if running else _documents)(_all_pieces(source), low, high)


def read_documents(source: TextSource) -> Iterator[str]:
    """The documents of one source, whole, empty ones included; running text is one."""
    held: list[str] = []
    for text, ended in read_pieces(source):
        held.append(text)
        if ended:
            yield "".join(held)
            held = []
    if held:
        yield "".join(held)


def _characters(pieces: Iterator[Piece], low: int, high: int) -> Iterator[Piece]:
    start = 0
    for text, ended in pieces:
        cut = text[max(low - start, 0) : max(high - start, 0)]
        start += len(text)
        if cut:
            yield cut, ended


def _documents(pieces: Iterator[Piece], low: int, high: int) -> Iterator[Piece]:
    number = 0
    for text, ended in pieces:
        if low <= number < high:
            yield text, ended
        number += ended


def _all_pieces(source: TextSource, bad: BadRecord = refuse) -> Iterator[Piece]:
    if source.column is not None:
        yield from ((text, True) for text in source.texts(bad))
    elif source.documents == "line":
        require_no_table(source.source)
        yield from ((line, True) for _, line in read_numbered_lines(resolve(source.source), bad))
    elif source.documents in DOCUMENT_SPLITTERS:
        yield from ((text, True) for text in DOCUMENT_SPLITTERS[source.documents](read_lines(source.source)))
    else:
        for file in source.files():
            pieces = read_text_pieces(file)
            held = next(pieces)
            for piece in pieces:
                yield held, False
                held = piece
            yield held, source.documents == "file"


def require_no_table(source: str) -> None:
    """Raises UsageError where a file that is to be read line by line is a table, whose cells would come with them."""
    path = resolve(source)
    if not (is_keyed(path) or format_suffix(path) in (".csv", ".tsv")) or not path.is_file():
        return
    names = column_names(path)
    if is_parquet(path) or len(names) > 1:
        raise UsageError(
            f"{source}: is a table ({', '.join(names)[:80]}); say which column holds the text with column (--columns), "
            "or name the file .txt to read its lines as they are"
        )


def split_blocks(lines: Iterable[str]) -> Iterator[str]:
    """Lines joined up to each blank one."""
    held: list[str] = []
    for line in lines:
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def split_articles(lines: Iterable[str]) -> Iterator[str]:
    """Lines joined up to each title, the first of the next; blank ones stay."""
    held: list[str] = []
    for line in lines:
        if _TITLE.match(line) and any(map(str.strip, held)):
            yield "\n".join(held)
            held = []
        held.append(line)
    if any(map(str.strip, held)):
        yield "\n".join(held)


DOCUMENT_SPLITTERS = {"block": split_blocks, "article": split_articles}  # documents that are several lines


@dataclass(frozen=True)
class EncodedText:
    """Text ready for batching.

    Attributes:
        stream: token ids one after the other. Where there are documents, end-of-sentence stands before the first and
            after each; the text of running sources just goes on.
        documents: how many ended. characters, utf8_bytes, words: of the text that was kept; the end of a document
            counts as one character, one byte (the line feed that it stands for) and no word.
        read, skipped: documents found, and those left out, by reason.
    """

    stream: np.ndarray
    documents: int
    characters: int
    utf8_bytes: int
    words: int
    read: int
    skipped: dict[str, int] = field(default_factory=dict[str, int])

    def summary(self) -> str:
        """One line to print."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.items() if count)
        return (
            f"{self.documents:,} documents, {len(self.stream):,} tokens, {self.characters:,} characters; "
            f"skipped: {reasons or 'none'}"
        )


def split_documents(stream: np.ndarray, eos_id: int = EOS_ID) -> tuple[np.ndarray, np.ndarray]:
    """(the tokens of a stream without ends, int64 offsets): document i is tokens[offsets[i]:offsets[i + 1]].

    Running text is one document.
    """
    ends = np.flatnonzero(stream == eos_id)
    if not len(ends):
        return np.asarray(stream), np.array([0, len(stream)], np.int64)
    # the n-th end (from 0) has n ends before it
    return np.asarray(stream)[stream != eos_id], ends.astype(np.int64) - np.arange(len(ends))


class _TextNotes(Frozen):
    """What is in a cached folder of text; see `EncodedText`."""

    stream: SequenceNotes
    documents: int
    characters: int
    utf8_bytes: int
    words: int
    read: int
    skipped: dict[str, int]


def encode_text(
    sources: Sequence[TextSource],
    tokenizer: Tokenizer,
    *,
    keep_empty: bool = False,
    cache_dir: str | Path | None = None,
    report: Report = silent,
) -> EncodedText:
    """All text of `sources` as token ids, from the cache where the same work was done before.

    Blank documents are left out and counted unless `keep_empty`. The cache is keyed by the content of the files, what
    documents are, and the tokenizer. Memory does not grow with the text. `report` is told how far it is, and of what
    the user should see.

    Raises:
        DataError: where a source cannot be read, nothing is left, or the cache cannot be written.
        UsageError: for a long text and a tokenizer that cannot read it in pieces.
    """
    for line in (line for source in sources for line in source.notices()):
        report(line)

    def read(home: Path, notes: _TextNotes) -> EncodedText:
        stream = read_sequences(home, "text", notes.stream).tokens
        return EncodedText(stream, **notes.model_dump(exclude={"stream"}))

    encoded = prepared.cached(
        "text",
        {
            "sources": [source.content_id() for source in sources],
            "tokenizer": tokenizer.fingerprint,
            "keep_empty": keep_empty,
        },
        _TextNotes,
        lambda folder: _write(
            folder, sources, tokenizer, keep_empty, ProgressReporter(report, ENCODING, sources=sources)
        ),
        read,
        cache_dir=cache_dir,
        report=report,
    )
    if len(encoded.stream) < 2:
        names = ", ".join(source.source for source in sources) or "data"
        raise DataError(f"{names}: no text is left to use: {encoded.summary()}; check the files")
    return encoded


def _write(
    folder: Path, sources: Sequence[TextSource], tokenizer: Tokenizer, keep_empty: bool, progress: ProgressReporter
) -> _TextNotes:
    counts = dict.fromkeys(["characters", "utf8_bytes", "words", "documents", "read"], 0)
    skipped = {"empty": 0}
    with SequenceWriter(folder, "text", tokenizer.vocab_size, whole=True) as writer:
        for source in sources:
            in_document = False  # whether the pieces so far leave one open
            if source.documents != "running":
                writer.write([[tokenizer.eos_id]] if not writer.tokens else [])
            for chunk in prepared.chunked(read_pieces(source), lambda piece: len(piece[0])):
                kept: list[Piece] = []
                for text, ended in chunk:
                    counts["read"] += ended
                    if ended and not in_document and not keep_empty and is_blank(text):
                        skipped["empty"] += 1
                    else:
                        _refuse_cutting(source, tokenizer, in_document or not ended)
                        kept.append((text, ended))
                        in_document = not ended
                encoded = tokenizer.encode_batch([text for text, _ in kept])
                writer.write([ids + [tokenizer.eos_id] * ended for ids, (_, ended) in zip(encoded, kept, strict=True)])
                counts["documents"] += sum(ended for _, ended in kept)
                counts["characters"] += sum(len(text) + ended for text, ended in kept)
                counts["utf8_bytes"] += sum(len(text.encode()) + ended for text, ended in kept)
                counts["words"] += sum(len(text.split()) for text, _ in kept)
                progress(counts["characters"])
    return _TextNotes(stream=writer.notes, skipped=skipped, **counts)


def _refuse_cutting(source: TextSource, tokenizer: Tokenizer, cut: bool) -> None:
    if cut and not tokenizer.can_encode_in_pieces:
        raise UsageError(
            f"{source.source}: a text this long is read in pieces, which this kind of tokenizer would tell from the "
            'whole; choose kind = "bpe", "byte", "char" or "space", or documents = "line" or "block"'
        )
