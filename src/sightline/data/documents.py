"""Plain text as documents: read from what users have, tokenised once, kept and mapped into memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sightline.data import store
from sightline.data.encoded import EncodedSide
from sightline.data.readers import EMBEDDED, Column, PairSource, check_part, read_lines, read_pairs, resolve
from sightline.data.text import read_text_pieces
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, UsageError

_LAYOUT = 1  # To be raised when the files below change their meaning.
_CHUNK_PIECES = 4096
_CHUNK_CHARACTERS = 1 << 22
_TITLE = re.compile(r"\s*=\s*[^=\s](.*[^=\s])?\s*=\s*$")  # of an article in MediaWiki; a section has more signs
Piece = tuple[str, bool]  # some text, and whether a document ends after it


@dataclass(frozen=True)
class TextSource:
    """Where plain text comes from, and what a document of it is.

    - "line": every line; - "block": lines up to a blank one; - "article": lines up to the next title, which is written
      "= Title =", as in WikiText; - "file": every file, `source` being one file or a folder of them, taken in the
      order of their names; - "running": no documents, the text just goes on.
    - With `column` the file is TSV (columns counted from 0, or named by the first line), JSON Lines (a key) or the
      embedded corpus ("ko", "en"), and every record is a document.

    Any file may be compressed (.gz, .zst) or a catalogue's: "wikitext-2:train.txt.gz". `part` takes what lies between
    two fractions of the source: of its characters where it is running text, of its documents otherwise.
    """

    source: str
    documents: Literal["line", "block", "article", "file", "running"] = "line"
    column: Column | None = None
    part: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_part(self.source, self.part)
        if self.column is not None and self.documents != "line":
            raise UsageError(f'{self.source}: with a column every record is a document; leave documents = "line"')
        if self.column is None and self.source.startswith(EMBEDDED):
            raise UsageError(f'{self.source}: choose a column, "ko" or "en"')

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


def read_pieces(source: TextSource) -> Iterator[Piece]:
    """The text of one source, in order, empty documents included; a megabyte or so in memory at a time.

    Raises DataError where a file cannot be read or is not what the source says.
    """
    if source.part == (0.0, 1.0):
        return _all_pieces(source)
    running = source.documents == "running"
    # a document is a unit, whatever its length
    sizes = (len(text) if running else ended for text, ended in _all_pieces(source))
    total = sum(sizes)
    low, high = (int(total * fraction) for fraction in source.part)
    return (_characters if running else _documents)(_all_pieces(source), low, high)


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


def _all_pieces(source: TextSource) -> Iterator[Piece]:
    if source.column is not None:
        records = read_pairs(PairSource(source.source, None, source.column, source.column))
        yield from ((text, True) for text, _ in records)
    elif source.documents == "line":
        yield from ((line, True) for line in read_lines(source.source))
    elif source.documents in CUT:
        yield from ((text, True) for text in CUT[source.documents](read_lines(source.source)))
    else:
        for file in source.files():
            pieces = read_text_pieces(file)
            held = next(pieces)
            for piece in pieces:
                yield held, False
                held = piece
            yield held, source.documents == "file"


def blocks(lines: Iterable[str]) -> Iterator[str]:
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


def articles(lines: Iterable[str]) -> Iterator[str]:
    """Lines joined up to each title, the first of the next; blank ones stay."""
    held: list[str] = []
    for line in lines:
        if _TITLE.match(line) and any(map(str.strip, held)):
            yield "\n".join(held)
            held = []
        held.append(line)
    if any(map(str.strip, held)):
        yield "\n".join(held)


CUT = {"block": blocks, "article": articles}  # documents that are several lines


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
    skipped: dict[str, int] = field(default_factory=dict)

    def summary(self) -> str:
        """One line to print."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.items() if count)
        return (
            f"{self.documents:,} documents, {len(self.stream):,} tokens, {self.characters:,} characters; "
            f"skipped: {reasons or 'none'}"
        )


def split_documents(stream: np.ndarray, eos_id: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(the tokens of a stream without ends, int64 offsets): document i is tokens[offsets[i]:offsets[i + 1]].

    Running text is one document.
    """
    ends = np.flatnonzero(stream == eos_id)
    if not len(ends):
        return np.asarray(stream), np.array([0, len(stream)], np.int64)
    # the n-th end (from 0) has n ends before it
    return np.asarray(stream)[stream != eos_id], ends.astype(np.int64) - np.arange(len(ends))


def encode_text(
    sources: Sequence[TextSource],
    tokenizer: Tokenizer,
    *,
    keep_empty: bool = False,
    cache_dir: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> EncodedText:
    """All text of `sources` as token ids, from the cache where the same work was done before.

    Empty documents are left out and counted unless `keep_empty`. The cache is keyed by the content of the files, what
    documents are, and the tokenizer. Memory does not grow with the text. `progress` is called with the number of
    characters read so far.

    Raises:
        DataError: where a source cannot be read, nothing is left, or the cache cannot be written.
        UsageError: for a long text and a tokenizer that cannot read it in pieces.
    """
    recipe = {
        "layout": _LAYOUT,
        "sources": [_identity(source) for source in sources],
        "tokenizer": tokenizer.fingerprint,
        "keep_empty": keep_empty,
    }

    def read(home: Path, notes: dict[str, Any]) -> EncodedText:
        encoded: EncodedSide = store.read_sequences(home, "text", notes.pop("dtype"), notes.pop("tokens"), 1)
        return EncodedText(encoded.tokens, **notes)

    encoded = store.keep(
        "text", recipe, lambda folder: _write(folder, sources, tokenizer, keep_empty, progress), read, cache_dir
    )
    if len(encoded.stream) < 2:
        names = ", ".join(source.source for source in sources) or "data"
        raise DataError(f"{names}: no text is left to use: {encoded.summary()}; check the files")
    return encoded


def _identity(source: TextSource) -> list[Any]:
    """What the text of a source depends on: content, not names or times."""
    digests = [store.file_digest(path) for path in source.files()] or [source.source]
    # the suffix chooses the reader of records
    suffixes = [path.suffixes[-2:] for path in source.files()] if source.column is not None else []
    return [digests, suffixes, source.documents, source.column, list(source.part)]


def _write(
    folder: Path,
    sources: Sequence[TextSource],
    tokenizer: Tokenizer,
    keep_empty: bool,
    progress: Callable[[int], None] | None,
) -> dict[str, Any]:
    counts = dict.fromkeys(["characters", "utf8_bytes", "words", "documents", "read"], 0)
    skipped = {"empty": 0}
    with store.SequenceWriter(folder, "text", tokenizer.vocab_size, whole=True) as writer:
        for source in sources:
            in_document = False  # whether the pieces so far leave one open
            if source.documents != "running":
                writer.write([[tokenizer.eos_id]] if not writer.written else [])
            for chunk in _chunks(read_pieces(source)):
                kept: list[Piece] = []
                for text, ended in chunk:
                    counts["read"] += ended
                    if ended and not in_document and not text.strip() and not keep_empty:
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
                if progress is not None:
                    progress(counts["characters"])
    return {**counts, "skipped": skipped, "dtype": writer.dtype, "tokens": writer.written}


def _refuse_cutting(source: TextSource, tokenizer: Tokenizer, cut: bool) -> None:
    if cut and not tokenizer.reads_pieces:
        raise UsageError(
            f"{source.source}: a text this long is read in pieces, which this kind of tokenizer would tell from the "
            'whole; choose kind = "bpe", "byte", "char" or "space", or documents = "line" or "block"'
        )


def _chunks(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    chunk: list[Piece] = []
    characters = 0
    for piece in pieces:
        chunk.append(piece)
        characters += len(piece[0])
        if len(chunk) >= _CHUNK_PIECES or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
