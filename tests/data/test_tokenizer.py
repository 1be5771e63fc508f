"""Tokenizers: exact round trips, specials that text cannot spell, and training that repeats."""

import json
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from typing import get_args

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sightline.data import vocabulary
from sightline.data.merges import MergeDropout
from sightline.data.tokenizer import Tokenizer
from sightline.data.vocabulary import BYTE_OF_CHAR
from sightline.errors import DataError, UsageError
from sightline.tasks.settings import TokenizerSettings

KINDS = get_args(TokenizerSettings.model_fields["kind"].annotation)
LINES = [
    "the cat sat on the mat, and the dog sat on the log.",
    "나는 밥을 먹었다. 너는 밥을 먹었니?",
    "a <pad> b </s> c <s> d <unk> e <0x41>",
    "Don't stop — the cats' mats aren't logs!",
] * 20

anything = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def trained():
    return {kind: Tokenizer.train(LINES, kind=kind, vocab_size=400) for kind in KINDS}


@given(text=anything)
@example("  two  spaces, at the ends too  ")
@example("<pad></s><s><unk> Ġ <0x41>")
@example("e\u0301 \r\n\t\x0b\x85\u2028 \x00 😀 한글\u2581")
@settings(max_examples=300, deadline=None)
def test_byte_kinds_give_any_text_back(trained, text):
    for kind in ("bpe", "byte"):
        tokenizer = trained[kind]
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=anything)
@example("  <unk></s><pad> <0x41> \u2581 ")
@settings(max_examples=300, deadline=None)
def test_unigram_loses_only_its_space_mark(trained, text):
    tokenizer = trained["unigram"]
    assert tokenizer.decode(tokenizer.encode(text)) == text.replace("\u2581", " ")
    assert tokenizer.unk_id not in tokenizer.encode(text)


@given(text=st.text(st.sampled_from(sorted(set("".join(LINES))))))
@settings(max_examples=100, deadline=None)
def test_char_gives_known_characters_back(trained, text):
    assert trained["char"].decode(trained["char"].encode(text)) == text


def test_word_gives_known_words_back(trained):
    for line in LINES[:4]:
        assert trained["word"].decode(trained["word"].encode(line)) == line
    assert trained["word"].decode(trained["word"].encode("the zebra sat.")) == "the <unk> sat."


def test_wordpiece_splits_inside_words_and_rejoins_them(trained):
    tokenizer = trained["wordpiece"]
    assert tokenizer.decode(tokenizer.encode("  the   cat sat on the log. ")) == "the cat sat on the log."
    pieces = tokenizer.tokens(tokenizer.encode("catog"))
    assert not pieces[0].startswith("##")
    assert len(pieces) > 1
    assert all(piece.startswith("##") for piece in pieces[1:])
    assert "".join(piece.removeprefix("##") for piece in pieces) == "catog"


@pytest.mark.parametrize("kind", KINDS)
def test_specials_have_fixed_ids_and_text_cannot_spell_them(trained, kind):
    tokenizer = trained[kind]
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    assert tokenizer.tokens([0, 1, 2]) == ["<pad>", "<s>", "</s>"]
    assert not {0, 1, 2} & set(tokenizer.encode("a <pad> b</s><s> </s>"))
    assert tokenizer.decode([1, *tokenizer.encode("the cat"), 2, 0, 0]) == "the cat"
    assert tokenizer.encode("the", bos=True, eos=True) == [1, *tokenizer.encode("the"), 2]


@pytest.mark.parametrize(
    ("kind", "unk_id"), [("bpe", None), ("byte", None), ("word", 3), ("char", 3), ("wordpiece", 3)]
)
def test_only_kinds_that_fail_have_an_unknown_token(trained, kind, unk_id):
    assert trained[kind].unk_id == unk_id
    assert (unk_id in trained[kind].encode("ЖЖ")) == (unk_id is not None)


def test_byte_vocabulary_is_the_bytes(trained):
    assert trained["byte"].vocab_size == 259
    assert trained["byte"].encode("A한") == [3 + byte for byte in "A한".encode()]
    assert len(BYTE_OF_CHAR) == len(set(BYTE_OF_CHAR.values())) == 256


def test_bpe_learns_the_most_frequent_pair_first():
    # In "ababab ac" the pair (a, b) occurs three times, more than any other.
    tokenizer = Tokenizer.train(["ababab ac"], kind="bpe", vocab_size=260)
    assert tokenizer.vocab_size == 260
    assert tokenizer.tokens([259]) == ["ab"]


def test_word_vocabulary_is_by_frequency_then_by_characters():
    tokenizer = Tokenizer.train(["b b a a c d d d"], kind="word", vocab_size=7)
    assert tokenizer.tokens(range(3, 7)) == ["<unk>", "▁d", "▁a", "▁b"]


def test_tokens_are_readable(trained):
    tokenizer = trained["bpe"]
    assert "".join(tokenizer.tokens(tokenizer.encode("the cat"))) == "the▁cat"
    assert trained["byte"].tokens(trained["byte"].encode("é \n")) == ["<0xC3>", "<0xA9>", "▁", "<0x0A>"]
    with pytest.raises(UsageError, match="no token has id 99999"):
        tokenizer.tokens([99999])


@pytest.mark.parametrize("kind", KINDS)
def test_spans_point_into_the_text(trained, kind):
    text = "the cat sat"
    spans = trained[kind].spans(text)
    assert len(spans) == len(trained[kind].encode(text))
    assert "".join(text[start:end] for start, end in spans).replace(" ", "") == "thecatsat"


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load_keep_everything(trained, kind, tmp_path):
    tokenizer = trained[kind]
    assert tokenizer.save(tmp_path) == tmp_path / "tokenizer.json"
    json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    for again in (Tokenizer.load(tmp_path), Tokenizer.load(tmp_path / "tokenizer.json")):
        assert again.fingerprint == tokenizer.fingerprint
        assert again.unk_id == tokenizer.unk_id
        assert again.encode("a <pad> 밥을") == tokenizer.encode("a <pad> 밥을")
        assert again.encode_batch(LINES) == [tokenizer.encode(line) for line in LINES]


def test_bad_tokenizer_files_are_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        Tokenizer.load(tmp_path)
    for content in (b"{", b"\xff", b"[]"):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(DataError, match="tokenizer"):
            Tokenizer.load(tmp_path)
    Tokenizer.train(LINES, vocab_size=300).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("<pad>", "<nil>"), encoding="utf-8")
    with pytest.raises(DataError, match="<pad> has id None, not 0"):
        Tokenizer.load(path)


PROGRAM = """
import sys
from typing import get_args
from sightline.data.tokenizer import Tokenizer
from sightline.tasks.settings import TokenizerSettings
KINDS = get_args(TokenizerSettings.model_fields["kind"].annotation)
lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
print([Tokenizer.train(lines, kind=kind, vocab_size=500).fingerprint for kind in KINDS])
"""


def test_training_repeats_exactly_in_another_process(tmp_path):
    # The library's hash tables are seeded anew in each process; that must not show.
    corpus = tmp_path / "corpus"
    words = [chr(0xAC00 + i * 37 % 500) + chr(0x61 + i % 26) * (i % 4) for i in range(2000)]
    corpus.write_text("\n".join(" ".join(words[i : i + 9]) for i in range(0, 2000, 3)), encoding="utf-8")
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(corpus)], capture_output=True, text=True, check=True, env=os.environ
        ).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(set(json.loads(runs[0].replace("'", '"')))) == len(KINDS)


def test_lowercase_and_normalization_are_opt_in():
    plain = Tokenizer.train(LINES, vocab_size=300)
    assert plain.decode(plain.encode("CAFÉ e\u0301 ﬁ")) == "CAFÉ e\u0301 ﬁ"
    changed = Tokenizer.train(LINES, vocab_size=300, lowercase=True, normalization="NFKC")
    assert changed.decode(changed.encode("CAFÉ e\u0301 ﬁ 밥")) == "café é fi 밥"


@pytest.mark.parametrize("kind", KINDS)
def test_surely_longer_is_never_wrong(trained, kind):
    tokenizer = trained[kind]
    for text in ("the cat " * 30, "x" * 500, "밥을" * 200, "İ" * 100, " " * 300, " a" * 40):
        for limit in (1, 5, 20, 100):
            assert not tokenizer.must_exceed(text, limit) or len(tokenizer.encode(text)) > limit


@pytest.mark.parametrize("kind", KINDS)
def test_surely_longer_sees_a_huge_line(trained, kind):
    assert trained[kind].must_exceed("a word " * 100_000, 1000)


def test_bad_requests():
    with pytest.raises(UsageError, match='no kind "bpee"; did you mean "bpe"'):
        Tokenizer.train(LINES, kind="bpee")
    for kind in ("bpe", "unigram", "wordpiece", "word", "char"):
        with pytest.raises(UsageError, match="needs at least"):
            Tokenizer.train(LINES, kind=kind, vocab_size=4)
    with pytest.raises(DataError, match="no text"):
        Tokenizer.train([])
    with pytest.raises(UsageError, match="no normalization"):
        Tokenizer.train(LINES, normalization="NFX")


def test_undone_merges_are_the_same_text() -> None:
    lines = ["lower lowest newer newest wider widest", "바다 바닥 바람 하늘"] * 20
    tokenizer = Tokenizer.train(lines, kind="bpe", vocab_size=300)
    undo = MergeDropout(tokenizer.merge_parts(), 0.3)
    ids = tokenizer.encode_batch(["lowest and newest", "", "바다와 하늘"] * 300)
    tokens, lengths = np.array([i for row in ids for i in row]), np.array([len(row) for row in ids])
    changed, longer = undo(tokens, lengths, np.random.default_rng(1))
    assert (longer >= lengths).all()
    assert longer.sum() == len(changed)
    rows = np.split(changed, np.cumsum(longer)[:-1])
    assert [tokenizer.decode(row.tolist()) for row in rows] == ["lowest and newest", "", "바다와 하늘"] * 300
    assert len({tuple(row.tolist()) for row in rows[::3]}) > 10
    again, _ = undo(tokens, lengths, np.random.default_rng(1))
    assert (again == changed).all()
    # a merge of two tokens that are no merges themselves stays whole with probability 0.7
    parts = tokenizer.merge_parts()
    pair = next(i for i, (left, right) in enumerate(parts) if left >= 0 and (parts[[left, right]] < 0).all())
    many, _ = undo(np.full(20_000, pair), np.array([20_000]), np.random.default_rng(2))
    assert len(many) == pytest.approx(26_000, rel=0.02)
    with pytest.raises(UsageError, match="no merges"):
        Tokenizer.train(lines, kind="word").merge_parts()


def test_of_very_many_words_the_frequent_ones_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"common rare{number} usual" for number in range(500)]
    whole = Tokenizer.train(lines, kind="word", vocab_size=6)
    monkeypatch.setattr(vocabulary, "_MOST_WORDS", 50)
    assert Tokenizer.train(lines, kind="word", vocab_size=6).to_json() == whole.to_json()
    assert Tokenizer.train(lines, kind="word", vocab_size=900).vocab_size < 60


# with every normaliser there is
CUT = {
    kind: Tokenizer.train(LINES, kind=kind, vocab_size=400, lowercase=True, jamo=kind != "byte", normalization="NFKC")
    for kind in KINDS
}


@pytest.mark.parametrize("kind", KINDS)
@given(
    lines=st.lists(
        st.text(
            st.one_of(
                st.sampled_from(" \t\n\r'sa1.<▁\u0301\u0308Σ가\u00a0\u3000"), st.characters(exclude_categories=["Cs"])
            )
        )
    )
)
@settings(max_examples=150, deadline=None)
def test_words_counted_between_spaces_are_those_of_whole_lines(kind, lines):
    backend = tokenizers.Tokenizer.from_str(CUT[kind].to_json())
    normalizer, cut = backend.normalizer, backend.pre_tokenizer
    expected = Counter(word for line in lines for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(line)))
    marks_spaces = normalizer.normalize_str("a") != "a"
    assert vocabulary.count_words(lines, normalizer, cut, marks_spaces=marks_spaces) == {
        word: count for word, count in expected.items() if "\0" not in word
    }


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char"])
@given(text=st.text(st.sampled_from("나는밥을먹었다니 각힣érap"), max_size=12))
@settings(max_examples=40, deadline=None)
def test_jamo_come_back_as_syllables(kind, text):
    tokenizer = JAMO[kind]
    ids = tokenizer.encode(text)
    found, expected = tokenizer.decode(ids), unicodedata.normalize("NFC", text)
    assert found == expected
    # a letter stands for the syllable that it is part of
    for start, end in tokenizer.spans(text):
        assert 0 <= start <= end <= len(text)
    covered = {place for start, end in tokenizer.spans(text) for place in range(start, end)}
    assert {place for place, char in enumerate(text) if char != " "} <= covered


def test_an_ending_inside_a_syllable_is_a_piece():
    """The past tense ㅆ of 갔다 and 봤다 is in no piece of syllables."""
    words = "너는 갔다 봤다 밥을"
    assert JAMO["wordpiece"].decode(JAMO["wordpiece"].encode(words)) == words
    pieces = [JAMO["char"].tokens([i])[0] for i in JAMO["char"].encode("갔")]
    assert [unicodedata.normalize("NFD", piece) for piece in pieces] == list(unicodedata.normalize("NFD", "갔"))
    assert Tokenizer.train(["갔다 봤다"], kind="char", jamo=True).vocab_size > Tokenizer.train(
        ["갔다 봤다"], kind="char"
    ).vocab_size  # fmt: skip
    assert JAMO["bpe"].composes
    assert not Tokenizer.train(LINES, kind="bpe", vocab_size=300).composes


JAMO_LINES = ["나는 밥을 먹었다. 너는 밥을 먹었니? 각 힣 érap 갔다 봤다"] * 9
JAMO = {kind: Tokenizer.train(JAMO_LINES, kind=kind, vocab_size=400, jamo=True)
        for kind in ("bpe", "unigram", "char", "wordpiece")}  # fmt: skip


def test_a_tokenizer_that_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "tokenizer.json")
    with pytest.raises(DataError, match=r"tokenizer\.json: is not a regular file"):
        Tokenizer.load(tmp_path)


def test_pieces_are_not_read_by_a_tokenizer_that_begins_each_with_a_space():
    values = json.loads(Tokenizer.train(["a b"], kind="byte").to_json())
    for prefix in (False, True):
        values["pre_tokenizer"]["add_prefix_space"] = prefix
        changed = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(values)))
        pieces = [*changed.encode("a"), *changed.encode("\nb")]
        assert changed.can_encode_in_pieces == (pieces == changed.encode("a\nb")) == (not prefix)


def damaged(folder, **parts):
    """A saved tokenizer with other parts."""
    path = Tokenizer.train(LINES, kind="word", vocab_size=100).save(folder)
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **parts}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "parts",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}},
        {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "FixedLength", "length": 0}]}},
        {"model": {"type": "WordLevel", "vocab": {"<pad>": 0, "<s>": 1, "</s>": 2}, "unk_token": "[UNK]"}},
    ],
)
def test_what_the_library_fails_at_ends_in_one_line(tmp_path, parts):
    path = damaged(tmp_path, **parts)
    with pytest.raises(DataError, match=r"tokenizer\.json: .*; (use another|restore)") as error:
        Tokenizer.load(path)
    assert "\n" not in str(error.value)
