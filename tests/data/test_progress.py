"""How far the steps before training are: by the bytes of the files, which are read once for it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from sightline.data import progress
from sightline.data.compression import bytes_read
from sightline.data.documents import TextSource, read_pieces
from sightline.data.images import ImageSource, read_images
from sightline.data.labelled import LabelledSource
from sightline.data.pairs import PairSource, encode_pairs, read_pairs
from sightline.data.progress import ENCODING, READING, ProgressReporter
from sightline.data.sources import Source
from sightline.data.tokenizer import Tokenizer

LINES = [f"the line of number {number} is as long as others are" for number in range(30_000)]


class Live:
    """A live report that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[str, int, str, float | None]] = []

    def __call__(self, line: str, /) -> None:
        self.lines.append(line)

    def step(self, what: str, done: int, unit: str, fraction: float | None = None) -> None:
        self.steps.append((what, done, unit, fraction))


@pytest.fixture
def pairs(tmp_path: Path) -> PairSource:
    text = "".join(f"{line}\n" for line in LINES)
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode()))
    return PairSource(source=str(tmp_path / "a.txt"), target=str(tmp_path / "b.txt.gz"))


def test_the_share_that_is_read_rises_to_all_of_it_in_one_reading(pairs: PairSource) -> None:
    live, before = Live(), bytes_read()
    reporter = ProgressReporter(live, ENCODING, sources=[pairs, pairs])
    texts = list(reporter.over(text for _ in range(2) for pair in read_pairs(pairs) for text in pair))
    assert len(texts) == 4 * len(LINES)
    fractions = [one[3] for one in live.steps]
    assert None not in fractions
    assert fractions == sorted(fractions)  # type: ignore[type-var]
    assert fractions[-1] == 1.0
    # the lines are alike: half of the files are half of them
    assert fractions[len(fractions) // 2] == pytest.approx(0.5, abs=0.05)
    assert bytes_read() - before == 2 * sum(path.stat().st_size for path in pairs.files())


def test_encoding_says_how_far_it_is(pairs: PairSource, tmp_path: Path) -> None:
    tokenizer, live = Tokenizer.train(LINES[:50], vocab_size=300), Live()
    encode_pairs([pairs], tokenizer, tokenizer, max_source_tokens=99, max_target_tokens=99, cache_dir=tmp_path,
                 report=live)  # fmt: skip
    assert [one[:3] for one in live.steps][-1] == (ENCODING, len(LINES), "pairs")
    for _, done, _, fraction in live.steps:
        assert fraction == pytest.approx(done / len(LINES), abs=0.15)
    assert len(live.steps) > 3


def test_where_nobody_knows_there_is_no_share(tmp_path: Path) -> None:
    whole = tmp_path / "x.json"
    whole.write_text(json.dumps([{"text": "a", "label": "b"}]), encoding="utf-8")
    plain = tmp_path / "x.txt"
    plain.write_text("a\nb\n", encoding="utf-8")
    unknown: list[Source] = [
        PairSource(source="embedded:ko-en/train"),
        LabelledSource(source=str(whole), texts=("text",), label="label"),  # read whole before the first record
        LabelledSource(
            source=str(plain), texts=(0,), label=1, split=(0.0, 0.5)
        ),  # so are those of which each class has its share
        TextSource(source=str(plain), part=(0.0, 0.5)),
        TextSource(source=str(tmp_path / "absent.txt")),
    ]
    known = TextSource(source=str(plain))
    assert known.reading_size == 4
    for source in unknown:
        assert ProgressReporter(Live(), ENCODING, sources=[known, source]).fraction(1) is None
    assert ProgressReporter(Live(), ENCODING).fraction(1) is None


def test_images_are_counted(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((5, 2, 2), np.uint8), labels=np.arange(5))
    live = Live()
    read_images(ImageSource(source=str(tmp_path / "x.npz")), 2, 1, tmp_path, report=live)
    assert live.steps == [(READING, done, "images", done / 5) for done in range(1, 6)]


def test_lines_elsewhere_have_the_share_too(pairs: PairSource, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000_000, 1))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines: list[str] = []
    source = TextSource(source=pairs.source)
    reporter = ProgressReporter(lines.append, ENCODING, sources=[source])
    for done, _ in enumerate(read_pieces(source), 1):
        reporter(done)
    assert lines
    assert all(line.endswith(" % read") for line in lines)
