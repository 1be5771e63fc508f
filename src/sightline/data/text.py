"""Lines of text from a file or a stream, plain or compressed, checked and normalised, in flat memory."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

from sightline.data.compression import BLOCK, file_blocks, unpacked
from sightline.errors import DataError, UsageError

# The longest line, and so the longest record, in bytes: hundreds of novels' pages, and a bound on memory.
MAX_LINE_BYTES = 1 << 25
PIECE_SIZE = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Up to the last space after a byte that ends no white space of Unicode.
_BEFORE_SPACE = re.compile(rb".*[!-~\x8b-\x9e\xa1-\xa7\xaa-\xae\xb0-\xbf](?= )", re.DOTALL)
# Letters and marks that show nothing: fillers of Hangul, the empty Braille cell, joiners and variation selectors.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(0xFE00 + n) for n in range(16)}
_EMPTY_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})

# How files begin that are no text, whatever they are called.
_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Office document (.xlsx); unpack it, or save the sheet as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Office document (.xls, .doc); save it as CSV or text in UTF-8",
    b"\xff\xfe": "UTF-16; convert the file to UTF-8",
    b"\xfe\xff": "UTF-16; convert the file to UTF-8",
    b"PAR1": "Parquet; name it .parquet",
    b"%PDF-": "a PDF; extract its text",
    b"BZh": "packed by bzip2; unpack it, or pack it with gzip or zstd",
    b"\xfd7zXZ\0": "packed by xz; unpack it, or pack it with gzip or zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"SQLite format 3\0": "an SQLite database; export the table as CSV",
    b"\x89PNG": "an image",
    b"version https://git-lfs.github.com/spec/": "a pointer of Git LFS, and not the data; run git lfs pull",
}

Line = tuple[bytes, bool]  # without its end, and whether a line feed ended it
BadRecord = Callable[[DataError], None]  # is told of a line that is no record, and goes on to the next unless it raises


def refuse(error: DataError) -> None:
    """Raises what is wrong with the first line that is no record."""
    raise error


class LongLineError(DataError):
    """A line of more than `MAX_LINE_BYTES`."""


class ByteStream(Protocol):
    """An open stream of bytes, such as `sys.stdin.buffer`."""

    def read1(self, size: int = -1, /) -> bytes:
        """What is there, at most `size` bytes; waits for something, and gives nothing at the end."""
        ...


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it is empty, or all white space, control, format or filler characters of Unicode.

    U+3000 (ideographic space), U+200B (zero width space), U+FEFF and U+3164 (Hangul filler) are among them.
    """
    return all(char.isspace() or char in _INVISIBLE or unicodedata.category(char) in _EMPTY_CATEGORIES for char in text)


def normalize_text(text: str) -> str:
    """A text that came as an argument, in NFC as the text of files is. Raises UsageError for one that is no Unicode."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        shown = text.encode("utf-8", "backslashreplace").decode()
        raise UsageError(f'text: "{shown[:60]}" holds bytes that are not UTF-8; give it in UTF-8')
    return unicodedata.normalize("NFC", text)


def read_text_lines(path: Path) -> Iterator[str]:
    """The sentences of a UTF-8 file: one per line feed, in NFC, without line ends.

    A carriage return before a line feed is part of the line end; no other character ends a line. A byte order mark
    at the start is dropped. Files compressed with gzip or zstd are unpacked, whatever they are called.

    Raises DataError, with the line where there is one, for a file that is missing, a directory, empty, damaged, not
    UTF-8, holds a NUL or a line of more than `MAX_LINE_BYTES`.
    """
    return (line for _, line in read_numbered_lines(path))


def read_numbered_lines(path: Path, bad: BadRecord = refuse) -> Iterator[tuple[int, str]]:
    """`read_text_lines` with the number of each line, from 1; `bad` is told of a line that is no text."""
    empty = True

    def told(error: DataError) -> None:
        nonlocal empty
        empty = False
        bad(error)

    for numbered in _numbered(chain.from_iterable(_split_blocks(file_blocks(path), str(path))), str(path), told):
        empty = False
        yield numbered
    if empty:
        raise DataError(f"{path}: the file is empty; give one with text in it")


def read_text(path: Path, max_bytes: int, hint: str) -> str:
    """A whole text whose lines may be of any length, in NFC, without a byte order mark.

    Raises DataError where it has more than `max_bytes` (`hint` says what to do then), and as `read_text_lines` does.
    """
    blocks: list[bytes] = []
    held = 0
    for block in file_blocks(path):
        held += len(block)
        if held > max_bytes:
            raise DataError(f"{path}: more than {max_bytes:,} bytes in one value; {hint}")
        blocks.append(block)
    whole = b"".join(blocks).removeprefix(_BYTE_ORDER_MARK)
    _refuse_foreign(whole, str(path))
    if not whole:
        raise DataError(f"{path}: the file is empty; give one with text in it")
    start = held - len(whole)
    try:
        return _decoded(whole, str(path), 1, start)
    except DataError:
        # told by its line, as of other texts
        for number, line in enumerate(whole.split(b"\n"), 1):
            _decoded(line, str(path), number, start)
            start += len(line) + 1
        raise


def first_character(path: Path) -> str:
    """The first character of a text that is no white space, as far as its first bytes tell; empty where there is none.

    Raises DataError where the file cannot be read.
    """
    head = next(file_blocks(path), b"").removeprefix(_BYTE_ORDER_MARK)
    return head.decode("utf-8", errors="replace").lstrip()[:1]


class StreamLines:
    """The lines of an open stream as `read_text_lines` gives those of a file; it may be empty.

    `ready` says whether the next line is there already; otherwise it is waited for. `name` is the stream's in errors.
    """

    def __init__(self, stream: ByteStream, name: str) -> None:
        blocks = unpacked(iter(lambda: stream.read1(BLOCK), b""), name)
        self._lines: deque[Line] = deque()
        self._texts = _texts(self._split(blocks, name), name)

    def _split(self, blocks: Iterator[bytes], name: str) -> Iterator[Line]:
        for lines in _split_blocks(blocks, name):
            self._lines.extend(lines)
            while self._lines:
                yield self._lines.popleft()

    @property
    def ready(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._texts)


def read_text_pieces(path: Path, size: int = PIECE_SIZE) -> Iterator[str]:
    """A whole text, line ends and all, in pieces of about `size` characters; joined, they are the text.

    A piece ends before a line feed, or in a line longer than that before a space, that follows no white space. There
    byte-level and character tokenizers cut as well, so the tokens of the pieces are those of the text. Raises as
    `read_text_lines` does; a line without such a space is the longest that is held.
    """
    piece: list[str] = []
    length, start, number = 0, 0, 1
    for line, ended in chain.from_iterable(_split_blocks(file_blocks(path), str(path), piece_size=size)):
        if start == 0:
            _refuse_foreign(line, str(path))
        marked = start == 0 and line.startswith(_BYTE_ORDER_MARK)
        text = _decoded(line[3:] if marked else line.removesuffix(b"\r") if ended else line, str(path), number, start)
        start += len(line) + ended
        number += ended
        piece.append(text)
        length += len(text) + ended
        if length >= size and text and not text[-1].isspace():
            yield "".join(piece)
            piece, length = [], 0
        if ended:
            piece.append("\n")
    if not start:
        raise DataError(f"{path}: the file is empty; give a file with text")
    yield "".join(piece)


def _texts(lines: Iterator[Line], where: str) -> Iterator[str]:
    return (text for _, text in _numbered(lines, where))


def _numbered(lines: Iterator[Line], where: str, bad: BadRecord = refuse) -> Iterator[tuple[int, str]]:
    start = 0
    for number, (line, ended) in enumerate(lines, start=1):
        length = len(line) + ended
        text_start = start
        if number == 1:
            _refuse_foreign(line, where)
            if line.startswith(_BYTE_ORDER_MARK):
                line, text_start = line[3:], 3
        if not line and not ended:
            break  # A byte order mark and nothing else.
        try:
            text = _decoded(line.removesuffix(b"\r") if ended else line, where, number, text_start)
        except DataError as error:
            bad(error)
        else:
            yield number, text
        start += length


def _refuse_foreign(head: bytes, where: str) -> None:
    """Raises DataError where a file begins as one does that is no text."""
    what = next((what for signature, what in _FOREIGN.items() if head.startswith(signature)), None)
    if what is not None:
        raise DataError(f"{where}: is {what}")


def _decoded(line: bytes, where: str, number: int, start: int) -> str:
    if b"\0" in line:
        utf16 = line.count(b"\0") > len(line) // 4
        what = "looks like UTF-16; convert the file to UTF-8" if utf16 else "remove it: no text holds it"
        raise DataError(f"{where}:{number}: NUL character at byte {start + line.index(0)} of the text; {what}")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}:{number}: not UTF-8: byte 0x{line[error.start]:02x} at byte {start + error.start} of the text; "
            f"{_likely_encoding(line)}convert the file to UTF-8"
        ) from error
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _likely_encoding(line: bytes) -> str:
    """What a line that is not UTF-8 may be, in words; empty where it may be anything."""
    try:
        korean = sum("\uac00" <= char <= "\ud7a3" for char in line.decode("cp949"))
    except UnicodeDecodeError:
        return ""
    # each syllable is two bytes, and they are most of those beyond ASCII
    likely = 4 * korean > sum(byte > 127 for byte in line)
    return "it looks like CP949, which Korean spreadsheets write; " if likely else ""


def _split_blocks(blocks: Iterator[bytes], where: str, piece_size: int | None = None) -> Iterator[list[Line]]:
    """The lines that end in each block; what is left comes last.

    A line over many blocks is joined once, not block by block. With `piece_size` a line longer than that comes in
    parts, where it can be cut. Raises DataError for a line, or such a part, of more than `MAX_LINE_BYTES`.
    """
    pending: list[bytes] = []
    held, number, try_at = 0, 1, piece_size or MAX_LINE_BYTES + 1
    for block in blocks:
        first, *others = block.split(b"\n")
        pending.append(first)
        held += len(first)
        if others:
            yield [(b"".join(pending), True), *((other, True) for other in others[:-1])]
            number += len(others)
            pending, held, try_at = [others[-1]], len(others[-1]), piece_size or try_at
        elif held > MAX_LINE_BYTES:
            raise LongLineError(
                f"{where}:{number}: a line of more than {MAX_LINE_BYTES:,} bytes; break it, or check that it is text"
            )
        elif held >= try_at:
            pending = [b"".join(pending)]
            try_at = 2 * held
            if cut := _BEFORE_SPACE.match(pending[0]):
                yield [(cut.group(), False)]
                pending = [pending[0][cut.end() :]]
                held, try_at = len(pending[0]), piece_size or try_at
    last = b"".join(pending)
    if last:
        yield [(last, False)]
