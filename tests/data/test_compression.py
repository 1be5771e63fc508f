"""Packed files and streams: bombs are refused in little memory, and what is read goes in bounded steps."""

from __future__ import annotations

import gzip
import io
import itertools
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from sightline.data import compression, text
from sightline.data.images import ImageSource, read_images
from sightline.data.sources import read_lines
from sightline.data.text import StreamLines, read_text_pieces
from sightline.errors import DataError
from support.commands import sightline

PACKED = [gzip.compress, zstandard.compress]


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """The most bytes that Python held since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def bomb(path: Path, content: bytes, times: int) -> Path:
    """A file of a few kilobytes that unpacks to `content` so many times."""
    packer = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        for _ in range(times):
            file.write(packer.compress(content))
        file.write(packer.flush())
    return path


def test_a_line_without_end_is_refused(
    tmp_path: Path, peak: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "MAX_LINE_BYTES", 1 << 20)
    path = bomb(tmp_path / "x.zst", b"a" * (1 << 20), 8)
    with pytest.raises(DataError, match=r"x\.zst:1: a line of more than 1,048,576 bytes; break it"):
        list(read_lines(path))
    (tmp_path / "plain").write_bytes(b"short\n" + b"a" * (1 << 21))
    for read in (read_lines, read_text_pieces):
        with pytest.raises(DataError, match=r"plain:2: a line of more than 1,048,576 bytes"):
            list(read(tmp_path / "plain"))
    with pytest.raises(DataError, match="stdin:1: a line of more than"):
        list(StreamLines(io.BytesIO(path.read_bytes()), "stdin"))
    assert peak() < 40_000_000


def test_lines_of_ordinary_length_and_ratios_of_text_are_within_the_bounds() -> None:
    assert (text.MAX_LINE_BYTES, compression.HARMLESS_BYTES, compression.MAX_RATIO) == (1 << 25, 1 << 24, 200)


@pytest.mark.parametrize("content", [b"\n", b"short line\n"])
def test_what_unpacks_to_far_more_than_text_does_is_refused(
    tmp_path: Path, peak: Callable[[], int], monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(compression, "HARMLESS_BYTES", 1 << 20)
    path = bomb(tmp_path / "x.zst", content * (1 << 20), 16)
    assert path.stat().st_size < 20_000
    count = itertools.count()
    with pytest.raises(DataError, match=r"x\.zst: unpacks to more than 200 times its size, which no text does"):
        deque(zip(read_lines(path), count, strict=False), 0)
    assert next(count) * len(content) <= 1 << 20
    assert peak() < 40_000_000


def test_a_packed_array_of_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "HARMLESS_BYTES", 1 << 20)
    head = bytes([0, 0, 8, 3]) + (2000).to_bytes(4, "big") + (28).to_bytes(4, "big") * 2
    (tmp_path / "x-idx3.gz").write_bytes(gzip.compress(head + bytes(2000 * 784)))
    (tmp_path / "y-idx1").write_bytes(bytes([0, 0, 8, 1]) + (1).to_bytes(4, "big") + b"\0")
    source = ImageSource(source=str(tmp_path / "x-idx3.gz"), labels=str(tmp_path / "y-idx1"))
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        read_images(source, 28, 1, cache_dir=tmp_path)


@pytest.mark.parametrize("packed", PACKED)
def test_streams_are_unpacked_as_files_are(packed: Callable[[bytes], bytes]) -> None:
    lines = "나는 학생입니다.\n(zweite\n"
    assert list(StreamLines(io.BytesIO(packed(lines.encode())), "stdin")) == ["나는 학생입니다.", "(zweite"]
    with pytest.raises(DataError, match="stdin: the compressed file is damaged or cut short"):
        list(StreamLines(io.BytesIO(packed(lines.encode())[:-3]), "stdin"))


def test_a_stream_is_not_waited_for_longer_than_its_first_line() -> None:
    class Slow(io.BytesIO):
        """Gives a line at a time, and fails where one more is asked for than was read."""

        asked = 0

        def read1(self, size: int = -1, /) -> bytes:
            self.asked += 1
            return self.readline()

    for first in (b"(\n", b"\x1e\n", b"a\n"):
        stream = Slow(first + b"b\n")
        assert next(StreamLines(stream, "stdin")) == first[:-1].decode()
        assert stream.asked == 1


def test_packed_lines_are_read_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(blocks: Iterator[bytes], where: str, suffix: str = "") -> Iterator[bytes]:
        for block in compression.unpacked(blocks, where, suffix):
            sizes.append(len(block))
            yield block

    path = bomb(tmp_path / "x.zst", b"line\n" * 100_000, 20)
    for _ in counted(iter([path.read_bytes()]), "x"):
        pass
    assert sum(sizes) == 10_000_000
    assert max(sizes) <= compression.BLOCK


@pytest.mark.parametrize("packed", PACKED)
def test_standard_input_of_a_verb_may_be_packed(
    packed: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(__file__).parents[1] / "old_runs" / "finished" / "tagger"
    told = []
    for content in (b"ein hund\nblau\n", packed(b"ein hund\nblau\n")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert sightline("tag", run) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == 2
