"""Bytes of files and streams, unpacked where gzip or zstd packed them: a bounded number at a time, bombs refused."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from sightline.errors import DataError

BLOCK = 1 << 16
_MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
# Text packs to a twentieth. What grows beyond this ratio, and beyond a size that does no harm, was made to fill memory.
MAX_RATIO = 200
HARMLESS_BYTES = 1 << 24
# A zstd block of 4 bytes can stand for 128 kB: so few bytes at once unpack to 16 MB at most.
_ZSTD_INPUT = 512


class _Count(threading.local):
    """How many bytes a thread has read."""

    read = 0


_COUNT = _Count()


def bytes_read() -> int:
    """Bytes of files, as they lie there, that this thread has read here so far: what tells how far a reading is."""
    return _COUNT.read


def _counted(file: BinaryIO) -> Iterator[bytes]:
    # of a device or a pipe that never ends only a block is asked for at a time
    while block := file.read(BLOCK):
        _COUNT.read += len(block)
        yield block


def file_blocks(path: Path) -> Iterator[bytes]:
    """The unpacked bytes of a file, at most 64 kB at a time; whether it is packed is read from its first bytes.

    Raises DataError for a file that is missing, a directory, cannot be read, is damaged, is not what its suffix says,
    or unpacks to more than `MAX_RATIO` times its size.
    """
    try:
        with path.open("rb") as file:
            yield from unpacked(_counted(file), str(path), path.suffix)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a directory; name a file in it") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error


def unpacked(blocks: Iterator[bytes], where: str, suffix: str = "") -> Iterator[bytes]:
    """The bytes that `blocks` hold, unpacked where they begin as gzip or zstd does; raises as `file_blocks` does.

    No more input is waited for than is needed to know what it is. With the `suffix` of a packed file it must be packed.
    """
    head, kind = b"", None
    for block in blocks:
        head += block
        kind = next((name for name, magic in _MAGIC.items() if head.startswith(magic)), None)
        if kind is not None or not any(magic.startswith(head) for magic in _MAGIC.values()):
            break
    if kind is None:
        if head and suffix in _MAGIC:
            raise DataError(f"{where}: not {suffix} data, as its name says; rename or fetch it again")
        yield from _sliced(head)
        for block in blocks:
            yield from _sliced(block)
        return
    try:
        yield from _bounded(_gzip(head, blocks) if kind == ".gz" else _zstd(head, blocks), where)
    except (EOFError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{where}: the compressed file is damaged or cut short ({error}); fetch it again") from error


def _sliced(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]


def _bounded(steps: Iterator[tuple[int, bytes]], where: str) -> Iterator[bytes]:
    """The unpacked bytes of (packed bytes read so far, unpacked bytes), while their ratio is that of data."""
    total = 0
    for read, data in steps:
        total += len(data)
        if total > HARMLESS_BYTES and total > MAX_RATIO * read:
            raise DataError(
                f"{where}: unpacks to more than {MAX_RATIO} times its size, which no text does; unpack it yourself if "
                "it is what you want to read"
            )
        yield from _sliced(data)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def _gzip(head: bytes, blocks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    member, read = zlib.decompressobj(wbits=31), 0
    for block in _chained(head, blocks):
        read += len(block)
        while block:
            if member.eof:
                block = block.lstrip(b"\0")  # members may be padded
                if not block:
                    break
                member = zlib.decompressobj(wbits=31)
            yield read, member.decompress(block, BLOCK)
            block = member.unused_data if member.eof else member.unconsumed_tail
    while not member.eof and (rest := member.decompress(b"", BLOCK)):
        yield read, rest
    _require_end(member, "gzip member")


def _zstd(head: bytes, blocks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    # The library's stream reader takes a frame that was cut short for its end; frames read one by one tell.
    frame, read = zstandard.ZstdDecompressor().decompressobj(write_size=1 << 14), 0
    for whole in _chained(head, blocks):
        for start in range(0, len(whole), _ZSTD_INPUT):
            block = whole[start : start + _ZSTD_INPUT]
            read += len(block)
            while block:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj(write_size=1 << 14)
                yield read, frame.decompress(block)
                block = frame.unused_data if frame.eof else b""
    _require_end(frame, "zstd frame")


def _chained(head: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from blocks


def _require_end(part: _Decompressor, what: str) -> None:
    if not part.eof:
        raise EOFError(f"a {what} ends early")
