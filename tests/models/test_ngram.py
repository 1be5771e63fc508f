"""N-gram models: values by hand, exact sums, and Kneser–Ney against a slow one with dictionaries."""

from __future__ import annotations

import gzip
import math
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sightline.decode.options import SearchOptions
from sightline.errors import CheckpointError, DataError
from sightline.models.counting import count
from sightline.models.ngram import NGram, NGramSizes
from sightline.models.smoothing import Smoothing, discounts_of
from support.search_cases import search

PAD, BOS, EOS, A, B, C = range(6)
SMOOTHINGS: tuple[Smoothing, ...] = ("kneser_ney", "add_k", "none")
Docs = Sequence[Sequence[int]]


def flat(docs: Docs, dtype: type = np.uint16) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, docs)], dtype=np.int64)
    return np.array([word for doc in docs for word in doc], dtype), offsets


def model_of(docs: Docs, vocab: int, order: int, smoothing: Smoothing = "kneser_ney", k: float = 0.5) -> NGram:
    return NGram.count(*flat(docs), vocab, NGramSizes(order=order, smoothing=smoothing, k=k))


class SlowKneserNey:
    """The formulas of Chen & Goodman 1999 over dictionaries of tuples, one word at a time."""

    def __init__(self, docs: Docs, vocab: int, order: int) -> None:
        self.order, self.words = order, vocab - 2
        counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        for doc in docs:
            text = (BOS, *doc, EOS)
            for n in range(1, order + 1):
                counts[n].update(text[end - n : end] for end in range(max(n, 2), len(text) + 1))
        self.adjusted: list[dict[tuple[int, ...], int]] = [{}, *map(dict, counts[1:])]
        for n in range(1, order):
            before: dict[tuple[int, ...], set[int]] = defaultdict(set)
            for gram in counts[n + 1]:
                before[gram[1:]].add(gram[0])
            for gram in counts[n]:
                if gram[0] != BOS:
                    self.adjusted[n][gram] = len(before[gram])
        self.discounts = [(0.0,) * 4, *(self._discounts(Counter(one.values())) for one in self.adjusted[1:])]
        self.total: dict[tuple[int, ...], int] = defaultdict(int)
        self.taken: dict[tuple[int, ...], float] = defaultdict(float)
        for n in range(1, order + 1):
            for gram, times in self.adjusted[n].items():
                self.total[gram[:-1]] += times
                self.taken[gram[:-1]] += self.discounts[n][min(times, 3)]

    @staticmethod
    def _discounts(n: Counter[int]) -> tuple[float, ...]:
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            found = (1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3])
            if all(0 <= one <= most for most, one in enumerate(found, 1)):
                return (0.0, *found)
        return (0.0, 0.5, 1.0, 1.5)

    def p(self, word: int, context: tuple[int, ...]) -> float:
        lower = self.p(word, context[1:]) if context else 1 / self.words
        if not self.total.get(context):
            return lower
        times = self.adjusted[len(context) + 1].get((*context, word), 0)
        own = times - self.discounts[len(context) + 1][min(times, 3)]
        return (own + self.taken[context] * lower) / self.total[context]

    def log_probabilities(self, docs: Docs) -> np.ndarray:
        found = []
        for doc in docs:
            text = (BOS, *doc, EOS)
            found += [self.p(text[at], text[max(0, at - self.order + 1) : at]) for at in range(1, len(text))]
        return np.log(found)


# <s> a b </s> and <s> a </s>; c is in the vocabulary and was never seen
TINY = [[A, B], [A]]
BY_HAND = {
    # counts after a: b 1, </s> 1; after <s>: a 2; no context c
    ("none", A): [0, 0, 1 / 2, 0, 1 / 2, 0],
    ("none", BOS): [0, 0, 0, 1, 0, 0],
    ("none", C): [0, 0, 2 / 5, 2 / 5, 1 / 5, 0],
    # four words can be predicted; k = 1/2
    ("add_k", A): [0, 0, 3 / 8, 1 / 8, 3 / 8, 1 / 8],
    ("add_k", BOS): [0, 0, 1 / 8, 5 / 8, 1 / 8, 1 / 8],
    ("add_k", C): [0, 0, 1 / 4, 1 / 4, 1 / 4, 1 / 4],
    # discounts 0.5, 1, 1.5; words seen before: </s> 2, a 1, b 1 of 4; half of order 1's mass is uniform
    ("kneser_ney", C): [0, 0, 3 / 8, 1 / 4, 1 / 4, 1 / 8],
    # after a: 1/4 each for b and </s>, and 1/2 of the line above
    ("kneser_ney", A): [0, 0, 7 / 16, 1 / 8, 3 / 8, 1 / 16],
    ("kneser_ney", BOS): [0, 0, 3 / 16, 5 / 8, 1 / 8, 1 / 16],
}


@pytest.mark.parametrize(("smoothing", "context"), BY_HAND)
def test_bigrams_by_hand(smoothing: Smoothing, context: int) -> None:
    model = model_of(TINY, 6, 2, smoothing)
    p = model.distribution(np.array([[context]]))[0]
    np.testing.assert_allclose(p, BY_HAND[smoothing, context], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("smoothing", "p"),
    [
        ("none", [0, 0, 2 / 5, 2 / 5, 1 / 5, 0]),
        ("add_k", [0, 0, 5 / 14, 5 / 14, 3 / 14, 1 / 14]),
        # discounts 0.5 and 1 of 5; 2.5 / 5 of the mass is uniform over four
        ("kneser_ney", [0, 0, 1 / 5 + 1 / 8, 1 / 5 + 1 / 8, 1 / 10 + 1 / 8, 1 / 8]),
    ],
)
def test_unigrams_by_hand(smoothing: Smoothing, p: list[float]) -> None:
    model = model_of(TINY, 6, 1, smoothing)
    np.testing.assert_allclose(model.distribution(np.zeros((1, 0), int))[0], p, rtol=0, atol=1e-15)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(model.log_probabilities(*flat(TINY)), np.log([p[i] for i in (A, B, EOS, A, EOS)]))


def test_discounts_by_hand() -> None:
    counts = np.array([1] * 4 + [2] * 3 + [3] * 2 + [4, 9, 0, 0])
    np.testing.assert_allclose(discounts_of(counts), [0, 0.4, 1.2, 2.2])  # Y = 4 / (4 + 6)
    assert discounts_of(np.array([1, 2, 2])).tolist() == [0, 0.5, 1, 1.5]  # no count of 3
    # D2 = 2 - 3 · 1/3 · 9/1 < 0
    assert discounts_of(np.array([1] + [2] + [3] * 9)).tolist() == [0, 0.5, 1, 1.5]


def test_what_was_seen_after_a_short_beginning_counts_as_a_whole_context() -> None:
    # order 4, first two words of a document: "<s> a" is the context, whatever follows a elsewhere
    docs = [[A, B], [A, B], [B, A, C]]
    text = flat([[A, B]])
    assert model_of(docs, 6, 4, "none").log_probabilities(*text)[1] == 0.0
    with_k = model_of(docs, 6, 4, "add_k", k=0.25).log_probabilities(*text)[1]
    assert with_k == pytest.approx(math.log(2.25 / (2 + 0.25 * 4)))


def test_no_smoothing_rules_out_what_was_not_seen_and_unseen_contexts_use_their_longest_end() -> None:
    docs = [[A, B, C], [C, B, A]]
    model = model_of(docs, 6, 3, "none")
    assert model.log_probabilities(*flat([[B, C]]))[0] == -math.inf
    # "b b" was not seen, "b" was: before c and before a
    np.testing.assert_allclose(model.distribution(np.array([[B, B]]))[0], [0, 0, 0, 0.5, 0, 0.5])


small_docs = st.lists(st.lists(st.integers(3, 7), max_size=9), min_size=1, max_size=9)


@settings(max_examples=120, deadline=None)
@given(small_docs, st.integers(1, 7), st.sampled_from(SMOOTHINGS), st.data())
def test_probabilities_sum_to_one_after_any_context(
    docs: Docs, order: int, smoothing: Smoothing, data: st.DataObject
) -> None:
    model = model_of(docs, 9, order, smoothing)
    row = st.lists(st.integers(0, 8), min_size=order - 1, max_size=order - 1)
    contexts = np.array(data.draw(st.lists(row, min_size=1, max_size=8)), int)
    p = model.distribution(contexts)
    np.testing.assert_allclose(p.sum(1), 1, rtol=0, atol=1e-9)
    assert (p >= 0).all()
    assert (p[:, [PAD, BOS]] == 0).all()


@settings(max_examples=120, deadline=None)
@given(small_docs, small_docs, st.integers(1, 7))
def test_kneser_ney_agrees_with_the_slow_one(docs: Docs, others: Docs, order: int) -> None:
    model, slow = model_of(docs, 9, order), SlowKneserNey(docs, 9, order)
    for text in (docs, others):
        np.testing.assert_allclose(
            model.log_probabilities(*flat(text)), slow.log_probabilities(text), rtol=0, atol=1e-9
        )


@settings(max_examples=60, deadline=None)
@given(small_docs, st.integers(1, 7), st.integers(1, 20), st.sampled_from(SMOOTHINGS))
def test_chunks_do_not_change_anything(docs: Docs, order: int, chunk: int, smoothing: Smoothing) -> None:
    tokens, offsets = flat(docs)
    shares: list[float] = []
    parts = count(tokens, offsets, order, 9, BOS, EOS, chunk=chunk, progress=shares.append)
    for part, whole in zip(parts, count(tokens, offsets, order, 9, BOS, EOS), strict=True):
        np.testing.assert_array_equal(part.keys, whole.keys)
        np.testing.assert_array_equal(part.counts, whole.counts)
    assert shares == sorted(shares)
    assert order == 1 or shares[-1] == 1
    model = model_of(docs, 9, order, smoothing)
    np.testing.assert_array_equal(
        model.log_probabilities(tokens, offsets, chunk=chunk), model.log_probabilities(tokens, offsets)
    )


@settings(max_examples=40, deadline=None)
@given(small_docs, st.lists(st.integers(3, 8), min_size=1, max_size=8), st.integers(1, 7), st.sampled_from(SMOOTHINGS))
def test_steps_say_what_log_probabilities_say(docs: Docs, text: list[int], order: int, smoothing: Smoothing) -> None:
    model = model_of(docs, 9, order, smoothing)
    # a second row reads something else, and the two change places at every step
    other = text[::-1]
    state = model.start(2)
    found = []
    for at, (word, another) in enumerate(zip([BOS, *text], [BOS, *other], strict=True)):
        mine = at % 2
        tokens = torch.tensor([another, word] if mine else [word, another])
        logits, state = model.step(tokens, state)
        assert logits.dtype == torch.float32
        found.append(float(logits[mine, text[at] if at < len(text) else EOS]))
        state = state.reorder(torch.tensor([1, 0]))
    np.testing.assert_allclose(found, model.log_probabilities(*flat([text])), rtol=1e-6, atol=1e-6)


def test_a_state_is_a_value() -> None:
    model = model_of(TINY, 6, 3)
    start = model.start(1)
    first, after = model.step(torch.tensor([BOS]), start)
    model.step(torch.tensor([A]), after)
    assert start.contexts_BN.tolist() == [[BOS, BOS]]
    assert model.step(torch.tensor([A]), after)[1].contexts_BN.tolist() == [[BOS, A]]
    assert after.reorder(torch.tensor([0, 0])).contexts_BN.shape == (2, 2)
    torch.testing.assert_close(model.step(torch.tensor([BOS]), start)[0], first, rtol=0, atol=0)


def test_beam_search_writes_the_likeliest_document() -> None:
    model = model_of([[A, B, C]] * 3 + [[B]], 6, 3, "none")
    options = SearchOptions(beam=3, length_penalty="none")
    best = search(model.step, model.start(1), options, source_lengths=[5], bos_id=BOS, eos_id=EOS)[0][0]
    assert best.tokens == (A, B, C)
    assert best.log_probability == pytest.approx(math.log(0.75))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_documents_may_be_empty_or_short(smoothing: Smoothing) -> None:
    docs = [[], [A], [], [A, B]]
    model = model_of(docs, 6, 7, smoothing)
    log_p = model.log_probabilities(*flat(docs))
    assert len(log_p) == 3 + 4
    assert np.isfinite(log_p).all()
    assert model.ngram_counts == (6, 5, 3, 1, 0, 0, 0)
    # nothing but empty documents: the end is all there is
    empty = model_of([[], []], 6, 5, smoothing)
    assert empty.log_probabilities(*flat([[]]))[0] > math.log(0.3)
    assert len(empty.log_probabilities(np.zeros(0, np.uint16), np.zeros(1, np.int64))) == 0


def test_offsets_may_begin_inside_the_tokens() -> None:
    tokens, offsets = flat([[C, C], [A, B], [A]])
    sizes = NGramSizes(order=2)
    part = NGram.count(tokens, offsets[1:], 6, sizes)
    np.testing.assert_array_equal(
        part.log_probabilities(*flat(TINY)), model_of(TINY, 6, 2).log_probabilities(*flat(TINY))
    )
    np.testing.assert_array_equal(part.log_probabilities(tokens, offsets[1:]), part.log_probabilities(*flat(TINY)))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_tokens_of_any_integers_in_a_mapped_file(dtype: type, tmp_path: Path) -> None:
    tokens, offsets = flat([[A, B, C], [C, A]], dtype)
    tokens.tofile(tmp_path / "tokens")
    mapped = np.memmap(tmp_path / "tokens", dtype, "r")
    model = NGram.count(mapped, offsets, 6, NGramSizes(order=3))
    expected = model_of([[A, B, C], [C, A]], 6, 3).log_probabilities(tokens, offsets)
    np.testing.assert_array_equal(model.log_probabilities(mapped, offsets), expected)


@pytest.mark.parametrize(
    ("docs", "problem"),
    [([], "none to count"), ([[A, 6]], "outside 0..5"), ([[A, EOS, B]], "id 2 is reserved"), ([[PAD]], "id 0 is res")],
)
def test_wrong_documents_are_refused(docs: Docs, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        model_of(docs, 6, 2)


def test_wrong_contexts_offsets_and_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="offsets"):
        NGram.count(np.array([A], np.uint16), np.array([0, 2]), 6, NGramSizes(order=2))
    with pytest.raises(DataError, match="contexts"):
        model_of(TINY, 6, 2).distribution(np.array([[6]]))
    with pytest.raises(ValidationError):
        NGramSizes(order=8)
    with pytest.raises(ValidationError):
        NGramSizes(k=0)


@pytest.mark.parametrize("order", [1, 3])
def test_tensors_hold_all(order: int, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = model_of([[A, B, C], [C, A]], 6, order)
    save_file(model.tensors(), tmp_path / "model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")
    again = NGram.from_tensors(tensors, 6, model.sizes)
    text = flat([[A, C, B], []])
    np.testing.assert_array_equal(again.log_probabilities(*text), model.log_probabilities(*text))
    with pytest.raises(CheckpointError, match="order"):
        NGram.from_tensors(tensors, 6, NGramSizes(order=5))
    with pytest.raises(CheckpointError, match="7 tokens"):
        NGram.from_tensors(tensors, 7, model.sizes)
    del tensors["order_1.log_p"]
    with pytest.raises(CheckpointError, match=r"order_1\.log_p"):
        NGram.from_tensors(tensors, 6, model.sizes)


@pytest.mark.skipif("SIGHTLINE_DATA" not in os.environ, reason="SIGHTLINE_DATA is not set: no WikiText-2")
def test_kneser_ney_on_wikitext_agrees_with_the_slow_one() -> None:
    folder = Path(os.environ["SIGHTLINE_DATA"]) / "wikitext-2"
    texts = []
    for name, lines in (("train", 2500), ("valid", None)):
        with gzip.open(folder / f"{name}.txt.gz", "rt", encoding="utf-8") as file:
            texts.append([line.split() for line in file][:lines])
    ids = {"<pad>": PAD, "<s>": BOS, "</s>": EOS, "<unk>": 3}
    train = [[ids.setdefault(word, len(ids)) for word in line] for line in texts[0]]
    valid = [[ids.get(word, 3) for word in line] for line in texts[1]]
    model, slow = model_of(train, len(ids), 5), SlowKneserNey(train, len(ids), 5)
    assert slow.discounts[5] != (0, 0.5, 1, 1.5)  # enough data for discounts of its own
    found, expected = model.log_probabilities(*flat(valid)), slow.log_probabilities(valid)
    assert len(found) > 200_000
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    # every word after contexts from the text, seen or not
    text = np.array([word for line in valid for word in line][:400])
    contexts = np.lib.stride_tricks.sliding_window_view(text, 4)[::8]
    np.testing.assert_allclose(model.distribution(contexts).sum(1), 1, rtol=0, atol=1e-9)
