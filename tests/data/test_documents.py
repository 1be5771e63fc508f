"""Plain text: documents of every kind, parts, pieces, counts, and windows that read every token once."""

from __future__ import annotations

import json
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.data.documents import TextSource, encode_text, read_pieces, split_documents
from sightline.data.text import read_text_pieces
from sightline.data.tokenizer import Tokenizer
from sightline.data.windows import BlockOrder, StreamOrder, collate_windows, strided_windows
from sightline.errors import SightlineError

TEXT = "one two\nthree\n\nfour five\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "text.txt"


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ("line", [("one two", True), ("three", True), ("", True), ("four five", True)]),
        ("block", [("one two\nthree", True), ("four five", True)]),
        ("file", [(TEXT, True)]),
        ("running", [(TEXT, False)]),
    ],
)
def test_what_a_document_is(file: Path, documents: str, expected: list[tuple[str, bool]]) -> None:
    assert list(read_pieces(TextSource(source=str(file), documents=documents))) == expected  # pyright: ignore[reportArgumentType]


def test_articles_begin_at_titles_not_at_sections(tmp_path: Path) -> None:
    text = (
        " \n = A title = \n \n One .\n Two .\n \n = = A section = = \n \n Three = 3 .\n = B =\n Four .\n= = = C = = =\n"
    )
    (tmp_path / "wiki.txt").write_text(text, encoding="utf-8")
    first, second = (
        piece for piece, _ in read_pieces(TextSource(source=str(tmp_path / "wiki.txt"), documents="article"))
    )
    assert first.split("\n")[1:5:3] == [" = A title = ", " Two ."]
    assert first.endswith(" Three = 3 .")
    assert second == " = B =\n Four .\n= = = C = = ="
    assert [
        one
        for one, _ in read_pieces(
            TextSource(source=str(tmp_path / "wiki.txt"), documents="article", column=None, part=(0.5, 1.0))
        )
    ] == [second]


def test_a_folder_of_files_and_records(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        (tmp_path / "folder" / name / "x.txt").write_text(f"text {name}\n", encoding="utf-8")
    (tmp_path / "folder" / "a" / "empty").touch()
    assert list(read_pieces(TextSource(source=str(tmp_path / "folder"), documents="file"))) == [
        ("text a\n", True),
        ("text b\n", True),
    ]
    table = tmp_path / "reviews.tsv"
    table.write_text("id\tdocument\tlabel\n1\tgood\t1\n2\tbad\t0\n", encoding="utf-8")
    assert [text for text, _ in read_pieces(TextSource(source=str(table), column="document"))] == ["good", "bad"]
    lines = tmp_path / "records.jsonl"
    lines.write_text(json.dumps({"text": "a\nb"}) + "\n", encoding="utf-8")
    assert list(read_pieces(TextSource(source=str(lines), column="text"))) == [("a\nb", True)]
    korean = read_pieces(TextSource(source="embedded:ko-en/test", column="ko"))
    assert next(korean)[0].endswith((".", "?"))


def test_parts_cut_the_text_in_two(file: Path) -> None:
    both = [TextSource(source=str(file), documents="running", part=part) for part in ((0.0, 0.7), (0.7, 1.0))]
    first, second = ("".join(text for text, _ in read_pieces(one)) for one in both)
    assert first + second == TEXT
    assert len(first) == int(len(TEXT) * 0.7)
    lines = list(read_pieces(TextSource(source=str(file), part=(0.25, 0.75))))
    assert lines == [("three", True), ("", True)]


def test_streams_and_counts(file: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.train([TEXT], kind="char")
    encoded = encode_text([TextSource(source=str(file))], tokenizer, cache_dir=tmp_path)
    one, three, four = (tokenizer.encode(text) for text in ("one two", "three", "four five"))
    assert encoded.stream.tolist() == [2, *one, 2, *three, 2, *four, 2]
    assert (encoded.documents, encoded.read, encoded.skipped) == (3, 4, {"empty": 1})
    assert (encoded.characters, encoded.utf8_bytes, encoded.words) == (24, 24, 5)
    tokens, offsets = split_documents(encoded.stream)
    assert [tokens[a:b].tolist() for a, b in pairwise(offsets)] == [one, three, four]
    kept = encode_text([TextSource(source=str(file))], tokenizer, keep_empty=True, cache_dir=tmp_path)
    assert kept.stream.tolist() == [2, *one, 2, *three, 2, 2, *four, 2]
    running = encode_text([TextSource(source=str(file), documents="running")], tokenizer, cache_dir=tmp_path)
    assert running.stream.tolist() == tokenizer.encode(TEXT)
    assert (running.documents, running.characters) == (0, len(TEXT))


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=" \n\tab,é한'1", max_size=60), st.integers(1, 8))
def test_pieces_have_the_tokens_of_the_whole(tmp_path_factory: pytest.TempPathFactory, text: str, size: int) -> None:
    path = tmp_path_factory.mktemp("pieces") / "text"
    path.write_bytes(("x" + text).encode())
    pieces = list(read_text_pieces(path, size))
    assert "".join(pieces) == "x" + text
    for kind in ("bpe", "byte", "char", "space"):
        tokenizer = Tokenizer.train(["a b ab, é한 1 'a", "x\nab\n\n a"] * 3, kind=kind, vocab_size=280)
        assert list(chain.from_iterable(map(tokenizer.encode, pieces))) == tokenizer.encode("x" + text), kind


def test_a_tokenizer_that_cannot_read_pieces_is_refused(file: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.train([TEXT] * 3, kind="word", vocab_size=20)
    with pytest.raises(SightlineError, match=r'choose kind = "bpe"'):
        encode_text([TextSource(source=str(file), documents="running")], tokenizer, cache_dir=tmp_path)


def test_words_cut_already() -> None:
    tokenizer = Tokenizer.train(["the <unk> , cat 's", "the cat"], kind="space")
    assert tokenizer.vocab_size == 4 + 4
    assert tokenizer.decode(tokenizer.encode("the cat 's hat <s>")) == "the cat 's <unk> <unk>"
    assert tokenizer.encode("<unk> </s> <pad>") == [3, 3, 3]
    assert 1 not in tokenizer.encode("a<s>b")


def test_blocks_read_everything_once_and_are_cut_anew() -> None:
    order = BlockOrder(1000, 7, 7 * 4, seed=3)
    seen = []
    for epoch in range(3):
        windows = np.concatenate(order.epoch(epoch))
        assert ((windows[:, 1] - windows[:, 0]) == 7).all()
        places = np.sort(np.concatenate([np.arange(*one) for one in windows]))
        assert (np.diff(places) == 1).all()
        assert len(places) > 1000 - 14
        seen.append(windows[:, 0].tolist())
    assert seen[0] != seen[1] != seen[2]
    assert np.array_equal(np.concatenate(BlockOrder(1000, 7, 28, seed=3).epoch(1)), np.concatenate(order.epoch(1)))
    with pytest.raises(SightlineError, match=r"data\.block: 8 tokens"):
        BlockOrder(8, 8, 64, seed=1)


@settings(deadline=None)
@given(st.integers(2, 400), st.integers(1, 6), st.integers(1, 9))
def test_streams_go_on_where_they_stopped(tokens: int, rows: int, length: int) -> None:
    if rows > tokens - 1:
        with pytest.raises(SightlineError):
            StreamOrder(tokens, rows, length)
        return
    batches = StreamOrder(tokens, rows, length).epoch(0)
    places = [[] for _ in range(rows)]
    stream = np.arange(tokens)
    for number, windows in enumerate(batches):
        batch = collate_windows(stream, windows, fresh=number == 0)
        assert batch.num_tokens == int(batch.real_BT.sum())
        for row in range(rows):
            real = batch.real_BT[row]
            assert (batch.targets_BT[row][real] == batch.tokens_BT[row][real] + 1).all()
            places[row] += batch.tokens_BT[row][real].tolist()
    assert list(chain.from_iterable(places)) == list(range(tokens - 1))


@settings(deadline=None)
@given(st.integers(2, 200), st.integers(1, 20), st.integers(1, 20), st.integers(1, 5))
def test_strided_windows_score_every_token_once(tokens: int, block: int, stride: int, rows: int) -> None:
    stride = min(stride, block)
    scored = []
    for windows, first in strided_windows(tokens, block, stride, rows):
        batch = collate_windows(np.arange(tokens), windows, first_scored=first)
        scored += batch.targets_BT[batch.real_BT].tolist()
        assert (windows[:, 1] - windows[:, 0] <= block).all()
    assert sorted(scored) == list(range(1, tokens))


def test_documents_are_numbered() -> None:
    stream = np.array([2, 5, 6, 2, 7, 2, 8, 9, 2])
    batch = collate_windows(stream, np.array([[1, 8]]), separator=2)
    assert batch.tokens_BT.tolist() == [[5, 6, 2, 7, 2, 8, 9]]
    assert batch.document_BT is not None
    assert batch.document_BT.tolist() == [[0, 0, 1, 1, 2, 2, 2]]
    pieces = collate_windows(stream, np.array([[0, 3], [3, 6], [4, 7]]), separator=2).split(2)
    assert [piece.rows for piece in pieces] == [slice(0, 1), slice(1, 3)]
    assert [len(piece.windows) for piece in pieces] == [1, 2]
