"""Texts as arguments and in pieces: what is blank, normal form, and long texts without line feeds."""

from __future__ import annotations

import unicodedata
from itertools import chain, pairwise
from pathlib import Path

import pytest

from sightline.data.text import PIECE_SIZE, is_blank, normalize_text, read_text_pieces
from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError


@pytest.mark.parametrize(
    "text",
    ["", " ", " \n\t\r", "\u3000", "\u200b", "\ufeff", "\u00a0\u2028\u2029\u0085", "\u200b \u200d\u2060\u00ad",
     "\u3164", "\u115f\u1160", "\u2800", "\u034f\ufe0f", "\x00\x1f"],
)  # fmt: skip
def test_blank_texts(text: str) -> None:
    assert is_blank(text)
    assert not is_blank(text + "a")
    assert not is_blank(text + "한")


@pytest.mark.parametrize("text", ["a", ".", "한", "ᄒ", "\u0301", "…", "🙂", "0", "　가", "\ufffd"])
def test_texts_that_show_something(text: str) -> None:
    assert not is_blank(text)


def test_arguments_are_in_the_normal_form_of_files() -> None:
    assert normalize_text(unicodedata.normalize("NFD", "é한")) == "é한"
    with pytest.raises(UsageError, match="not UTF-8"):
        normalize_text("a\udcff")


@pytest.mark.parametrize("words", ["one two  three 나는 é ", "한국어　문장 "])
def test_a_text_of_one_line_comes_in_pieces_with_the_tokens_of_the_whole(tmp_path: Path, words: str) -> None:
    """As text8 is written: a hundred million characters and no line feed."""
    text = (words * (3 * PIECE_SIZE // len(words))).strip() + "\nend"
    (tmp_path / "x").write_bytes(text.encode())
    pieces = list(read_text_pieces(tmp_path / "x"))
    assert "".join(pieces) == text
    assert len(pieces) > 1
    assert max(map(len, pieces)) < 2.2 * PIECE_SIZE
    assert all(piece[0].isspace() and not before[-1].isspace() for before, piece in pairwise(pieces))
    tokenizer = Tokenizer.train([words] * 2, kind="bpe", vocab_size=270)
    near = [(before[-30:], piece[:30]) for before, piece in pairwise(pieces)]
    for before, piece in near:
        assert list(chain.from_iterable(map(tokenizer.encode, (before, piece)))) == tokenizer.encode(before + piece)
