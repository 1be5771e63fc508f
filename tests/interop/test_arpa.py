"""ARPA files: written and read back, read from other toolkits, and refused where damaged."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from sightline.errors import DataError
from sightline.interop.arpa import read_arpa, write_arpa
from sightline.models.ngram import NGram, NGramSizes
from sightline.models.smoothing import Smoothing

A, B, C = 4, 5, 6
WORDS = ["<pad>", "<s>", "</s>", "<unk>", "a", "b", "c"]
# like SRILM: a comment before the data, -99 for <s>, blanks of both kinds, back-off only where there is a longer n-gram
FOREIGN = """made elsewhere

\\data\\
ngram  1=5
ngram 2=3
ngram 3=1

\\1-grams:
-0.5\t</s>
-99\t<s>\t-0.25
-0.75\tzebra\u00a0crossing\t-0.125
-1.0 \tyak   -0.5
-2\t<unk>

\\2-grams:
-0.1\t<s> yak\t-0.0625
-0.3 zebra\u00a0crossing yak
-0.2\tyak </s>

\\3-grams:
-0.05\t<s> yak </s>

\\end\\
"""


def flat(*docs: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([word for doc in docs for word in doc], np.uint16), np.cumsum([0, *map(len, docs)])


def model_of(smoothing: Smoothing = "kneser_ney", order: int = 2, docs: tuple[list[int], ...] = ([A, B], [A])) -> NGram:
    return NGram.count(*flat(*docs), len(WORDS), NGramSizes(order=order, smoothing=smoothing, k=0.5))


def test_a_file_by_hand(tmp_path: Path) -> None:
    write_arpa(model_of("none"), WORDS, tmp_path / "lm.arpa")
    half = f"{math.log10(0.5):.9g}"
    unigrams = ["-99\t<s>\t-99", f"{math.log10(0.4):.9g}\t</s>\t0", "-99\t<unk>\t0"]
    unigrams += [f"{math.log10(0.4):.9g}\ta\t-99", f"{math.log10(0.2):.9g}\tb\t-99", "-99\tc\t0"]
    bigrams = ["0\t<s> a", f"{half}\ta </s>", f"{half}\ta b", "0\tb </s>"]
    lines = [
        "\\data\\",
        "ngram 1=6",
        "ngram 2=4",
        "",
        "\\1-grams:",
        *unigrams,
        "",
        "\\2-grams:",
        *bigrams,
        "",
        "\\end\\",
    ]
    assert (tmp_path / "lm.arpa").read_text(encoding="utf-8") == "\n".join(lines) + "\n"


@pytest.mark.parametrize("smoothing", ["kneser_ney", "add_k", "none"])
@pytest.mark.parametrize(("order", "name"), [(1, "lm.arpa"), (3, "lm.arpa.gz"), (7, "lm.arpa")])
def test_written_and_read_it_is_the_same(smoothing: Smoothing, order: int, name: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    docs = tuple(draw.integers(3, 6, draw.integers(0, 12)).tolist() for _ in range(60))
    model = model_of(smoothing, order, docs)
    write_arpa(model, WORDS, tmp_path / name)
    again, words = read_arpa(tmp_path / name)
    assert words == WORDS
    assert again.sizes is None
    assert again.ngram_counts == model.ngram_counts
    text = flat(*docs[:30], draw.integers(3, 7, 200).tolist())
    np.testing.assert_allclose(again.log_probabilities(*text), model.log_probabilities(*text), rtol=0, atol=1e-6)
    contexts = draw.integers(1, 7, (20, order - 1))
    np.testing.assert_allclose(again.distribution(contexts), model.distribution(contexts), rtol=0, atol=1e-7)


def test_a_vocabulary_with_other_names_and_no_unk(tmp_path: Path) -> None:
    names = ["[P]", "[B]", "[E]", "x\u2028y", "a", "ß", "\u00a0"]
    model = model_of()
    write_arpa(model, names, tmp_path / "lm.arpa")
    again, words = read_arpa(tmp_path / "lm.arpa")
    assert words == ["<pad>", "<s>", "</s>", "<unk>", *names[3:]]
    same = [words.index(word) for word in ("a", "ß", "\u00a0")]
    found = again.log_probabilities(*flat(same))
    np.testing.assert_allclose(found, model.log_probabilities(*flat([A, B, C])), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["foreign.arpa", "foreign.arpa.gz"])
def test_a_file_of_another_toolkit(name: str, tmp_path: Path) -> None:
    opened = gzip.open if name.endswith("gz") else open
    with opened(tmp_path / name, "wt", encoding="utf-8") as file:
        file.write(FOREIGN)
    model, words = read_arpa(tmp_path / name)
    assert words == ["<pad>", "<s>", "</s>", "<unk>", "zebra\u00a0crossing", "yak"]
    zebra, yak = 4, 5
    log_10 = model.log_probabilities(*flat([yak], [zebra, yak, yak], [3])) / math.log(10)
    by_hand = [
        -0.1,  # <s> yak
        -0.05,  # <s> yak </s>
        -0.25 - 0.75,  # <s> falls back on zebra
        -0.3,  # zebra yak; "<s> zebra" is no context
        -0.5 - 1.0,  # "zebra yak" has no weight, yak has
        -0.2,
        -0.25 - 2,
        -0.5,
    ]
    np.testing.assert_allclose(log_10, by_hand, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("\\data\\", "data", 23, "ends before"),
        ("ngram 2=3", "ngram 2=x", 5, "ngram 2="),
        ("ngram 2=3", "ngram 3=3", 5, "ngram 2="),
        ("ngram  1=5\nngram 2=3\nngram 3=1\n", "", 5, "not an ARPA file"),
        ("ngram 2=3", "ngram 2=2", 18, "stands where"),
        ("ngram 2=3", "ngram 2=4", 20, "stands where n-gram 4 of 4"),
        ("ngram 2=3", f"ngram 2={'9' * 10_000}", 5, "should be"),
        ("ngram 2=3", f"ngram 2={10**15}", 20, "there are fewer than announced"),
        ("made elsewhere", "x" * (1 << 20), 1, "a line of over"),
        ("-0.2\tyak </s>", "-0.2\t" + "yak" * (1 << 19), 18, "a line of over"),
        ("ngram 3=1", "ngram 3=2", 23, "stands where n-gram 2 of 2"),
        ("-2\t<unk>", "-2\tyak", 13, "twice"),
        ("-2\t<unk>", "two\t<unk>", 13, "not a number"),
        ("-2\t<unk>", "nan\t<unk>", 13, "at most 0"),
        ("-2\t<unk>", "2\t<unk>", 13, "at most 0"),
        ("-2\t<unk>", "-2\t<unk>\t-1\t-1", 13, "columns"),
        ("-0.2\tyak </s>", "-0.2\tyak gnu", 18, "'gnu' is not among"),
        ("-0.2\tyak </s>", "-0.2\t<s> yak", 18, "stood before"),
        ("-0.05\t<s> yak </s>", "-0.05\t<s> </s> yak", 21, "order below"),
        ("\\end\\\n", "", 22, "ends before"),
        ("\\end\\", "\\4-grams:", 23, "stands where"),
    ],
)
def test_damage_is_named_by_its_line(old: str, new: str, line: int, problem: str, tmp_path: Path) -> None:
    assert old in FOREIGN
    (tmp_path / "lm.arpa").write_text(FOREIGN.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=problem) as raised:
        read_arpa(tmp_path / "lm.arpa")
    assert str(raised.value).startswith(f"{tmp_path / 'lm.arpa'}:{line}: ")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400 + len(str(tmp_path))


def test_more_ngrams_than_are_made_room_for_at_once(tmp_path: Path) -> None:
    words = "".join(f"-5\tw{number}\n" for number in range(70_000))
    (tmp_path / "lm.arpa").write_text(
        f"\\data\\\nngram 1=70002\n\n\\1-grams:\n-5\t<s>\n-5\t</s>\n{words}\n\\end\\\n", encoding="utf-8"
    )
    model, found = read_arpa(tmp_path / "lm.arpa")
    assert found[-1] == "w69999"
    found_p = model.log_probabilities(np.array([len(found) - 1], np.int64), np.array([0, 1]))
    assert found_p / math.log(10) == pytest.approx([-5, -5])


def test_a_file_of_many_bytes_in_few(tmp_path: Path) -> None:
    """Nothing is kept of what stands before the data, and a line that never ends is not read to its end."""
    with gzip.open(tmp_path / "lm.arpa.gz", "wb") as file:
        for _ in range(64):
            file.write(b"\0" * (1 << 20))
    with pytest.raises(DataError, match=r"lm.arpa.gz:1: a line of over"):
        read_arpa(tmp_path / "lm.arpa.gz")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = gzip.compress(FOREIGN.encode())
    contents = {"plain.arpa.gz": FOREIGN.encode(), "short.arpa.gz": whole[:-20], "latin.arpa": b"\\data\\\n\xff\n"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_arpa(tmp_path / name)
    with pytest.raises(DataError, match="none"):
        read_arpa(tmp_path / "none.arpa")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (WORDS[:-1], "6 tokens for a model of 7"),
        ([*WORDS[:-1], "a c"], "token 6, 'a c'"),
        ([*WORDS[:-1], ""], "token 6, ''"),
        ([*WORDS[:-1], "b"], "tokens 5 and 6 are both 'b'"),
        ([*WORDS[:-1], "</s>"], "tokens 2 and 6"),
    ],
)
def test_words_that_a_file_cannot_hold(words: list[str], problem: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=problem):
        write_arpa(model_of(), words, tmp_path / "lm.arpa")
    assert not (tmp_path / "lm.arpa").exists()
