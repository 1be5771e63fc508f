"""Lines of text from a file, plain or compressed, checked and normalised, in flat memory."""

from __future__ import annotations

import gzip
import unicodedata
import zlib
from collections import deque
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import zstandard

from sightline.errors import DataError, UsageError

_BLOCK = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}


def read_text_lines(path: Path) -> Iterator[str]:
    """The sentences of a UTF-8 file: one per line feed, in NFC, without line ends.

    A carriage return before a line feed is part of the line end; no other character ends a line. A byte order mark
    at the start is dropped. Files compressed with gzip or zstd are unpacked, whatever they are called.

    Raises DataError, with the line where there is one, for a file that is missing, a directory, empty, damaged, not
    UTF-8, or holds a NUL.
    """
    empty = True
    for line in _texts(_split_lines(_blocks(path)), path):
        empty = False
        yield line
    if empty:
        raise DataError(f"{path}: the file is empty; give one with text in it")


def given(text: str) -> str:
    """A text that came as an argument, in NFC as the text of files is. Raises UsageError for one that is no Unicode."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        shown = text.encode("utf-8", "backslashreplace").decode()
        raise UsageError(f'text: "{shown[:60]}" holds bytes that are not UTF-8; give it in UTF-8')
    return unicodedata.normalize("NFC", text)


class StreamLines:
    """The lines of an open stream as `read_text_lines` gives those of a file; uncompressed, and it may be empty.

    `ready` says whether the next line is there already; otherwise it is waited for. `name` is the stream's in errors.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        blocks = iter(lambda: stream.read1(_BLOCK), b"")  # pyright: ignore[reportAttributeAccessIssue]
        self._lines: deque[tuple[bytes, bool]] = deque()
        self._texts = _texts(self._split(blocks), Path(name))

    def _split(self, blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
        for lines in _split_blocks(blocks):
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


def read_text_pieces(path: Path, size: int = 1 << 20) -> Iterator[str]:
    """A whole text, line ends and all, in pieces of about `size` characters; joined, they are the text.

    A piece ends before a line feed that follows no white space. There byte-level and character tokenizers cut as well,
    so the tokens of the pieces are those of the text. Raises as `read_text_lines` does.
    """
    piece: list[str] = []
    length, start = 0, 0
    for number, (line, ended) in enumerate(_split_lines(_blocks(path)), start=1):
        marked = number == 1 and line.startswith(_BYTE_ORDER_MARK)
        text = _decoded(line[3:] if marked else line.removesuffix(b"\r") if ended else line, path, number, start)
        start += len(line) + ended
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


def _texts(lines: Iterator[tuple[bytes, bool]], path: Path) -> Iterator[str]:
    start = 0
    for number, (line, ended) in enumerate(lines, start=1):
        length = len(line) + ended
        text_start = start
        if number == 1 and line.startswith(_BYTE_ORDER_MARK):
            line, text_start = line[3:], 3
        if not line and not ended:
            break  # A byte order mark and nothing else.
        yield _decoded(line.removesuffix(b"\r") if ended else line, path, number, text_start)
        start += length


def _decoded(line: bytes, path: Path, number: int, start: int) -> str:
    if b"\0" in line:
        utf16 = line.count(b"\0") > len(line) // 4
        what = "looks like UTF-16; convert the file to UTF-8" if utf16 else "remove it: no text holds it"
        raise DataError(f"{path}:{number}: NUL character at byte {start + line.index(0)} of the text; {what}")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        utf16 = number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff")
        guess = "it looks like UTF-16; " if utf16 else ""
        raise DataError(
            f"{path}:{number}: not UTF-8: byte 0x{line[error.start]:02x} at byte {start + error.start} of the text; "
            f"{guess}convert the file to UTF-8"
        ) from error
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _split_lines(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    return chain.from_iterable(_split_blocks(blocks))


def _split_blocks(blocks: Iterator[bytes]) -> Iterator[list[tuple[bytes, bool]]]:
    """The lines that end in each block, and whether a line feed ended them; what is left last.

    A line over many blocks is joined once, not block by block.
    """
    pending: list[bytes] = []
    for block in blocks:
        first, *others = block.split(b"\n")
        pending.append(first)
        if others:
            yield [(b"".join(pending), True), *((other, True) for other in others[:-1])]
            pending = [others[-1]]
    last = b"".join(pending)
    if last:
        yield [(last, False)]


def _blocks(path: Path) -> Iterator[bytes]:
    """The unpacked bytes of a file, a block at a time."""
    try:
        with path.open("rb") as file:
            magic = file.peek(4)[:4]
            packed = next((suffix for suffix, mark in _MAGIC.items() if magic.startswith(mark)), None)
            if packed is None and magic and path.suffix in _MAGIC:
                raise DataError(f"{path}: not {path.suffix} data, as its name says; rename or fetch it again")
            yield from (_UNPACK[packed] if packed else _plain)(file)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a directory; name a file in it") from error
    except (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{path}: the compressed file is damaged or cut short ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error


def _plain(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        while block := unpacked.read(_BLOCK):
            yield block


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    # The library's stream reader takes a frame that was cut short for its end; frames read one by one tell.
    frame = zstandard.ZstdDecompressor().decompressobj()
    while block := file.read(_BLOCK // 4):
        while block:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            unpacked = frame.decompress(block)
            if unpacked:
                yield unpacked
            block = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("a zstd frame ends early")


_UNPACK = {".gz": _gzip, ".zst": _zstd}
