"""Search against brute force on small random models whose rows know nothing of each other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sightline.decode import Hypothesis, Search, SearchOptions, SearchRequest, log_probabilities
from sightline.decode.probabilities import filter_probabilities, penalize_repetitions
from sightline.decode.strategies import BeamSearch
from sightline.errors import UsageError
from support.search_cases import search

PAD, BOS, EOS = 0, 1, 2
VOCAB = 6
WORDS = (3, 4, 5)


@dataclass(frozen=True)
class KeyValueCache:
    """A row's sentence and the tokens it was fed."""

    fed: Tensor

    def reorder(self, index: Tensor) -> KeyValueCache:
        return KeyValueCache(self.fed[index])

    def concatenate(self, other: KeyValueCache) -> KeyValueCache:
        # the sentence stays in the first column, and the newest token in the last
        wide = max(one.fed.shape[1] for one in (self, other))
        parts = [
            torch.cat([fed[:, :1], fed.new_zeros(len(fed), wide - fed.shape[1]), fed[:, 1:]], 1)
            for fed in (self.fed, other.fed)
        ]
        return KeyValueCache(torch.cat(parts))


class Chain:
    """A second-order Markov model of each sentence: the simplest thing with a state."""

    def __init__(self, seed: int, sentences: int = 3, sharpness: float = 2.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(sentences, VOCAB, VOCAB, VOCAB, generator=generator) * sharpness
        self.rows: list[int] = []

    def start(self, sentences: list[int]) -> KeyValueCache:
        return KeyValueCache(torch.tensor(sentences)[:, None])

    def step(self, tokens: Tensor, past: KeyValueCache) -> tuple[Tensor, KeyValueCache]:
        self.rows.append(len(tokens))
        before = past.fed[:, -1] * (past.fed.shape[1] > 1)
        return self.table[past.fed[:, 0], before, tokens], KeyValueCache(torch.cat([past.fed, tokens[:, None]], 1))

    def token_log_probabilities(self, sentence: int, tokens: tuple[int, ...]) -> list[float]:
        each, before, last = [], 0, BOS
        for token in tokens:
            each.append(float(torch.log_softmax(self.table[sentence, before, last], -1)[token]))
            before, last = last, token
        return each

    def best(self, sentence: int, options: SearchOptions, longest: int) -> list[tuple[float, tuple[int, ...]]]:
        """Every finished output up to the longest, best first."""
        scored = []
        for length in range(longest):
            for words in itertools.product(WORDS, repeat=length):
                total = math.fsum(self.token_log_probabilities(sentence, (*words, EOS)))
                scored.append((total / options.penalty(length + 1), words))
        return sorted(scored, reverse=True)


def options(**changes) -> SearchOptions:
    return SearchOptions(max_length_factor=0, max_length_offset=4).with_changes(**changes)


def run(chain: Chain, chosen: SearchOptions, sentences=(0, 1, 2), **more) -> list[list[Hypothesis]]:
    return search(
        chain.step,
        chain.start(list(sentences)),
        chosen,
        source_lengths=[3] * len(sentences),
        bos_id=BOS,
        eos_id=EOS,
        forbidden=(PAD, BOS),
        **more,
    )


@given(st.integers(0, 10_000), st.sampled_from(["none", "average", "gnmt"]), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_wide_beam_finds_the_n_best_of_all_outputs(seed: int, penalty: str, n_best: int) -> None:
    chain = Chain(seed)
    chosen = options(beam=100, n_best=n_best, length_penalty=penalty, alpha=0.8)
    for sentence, found in enumerate(run(chain, chosen)):
        expected = chain.best(sentence, chosen, 4)[:n_best]
        assert [one.tokens for one in found] == [words for _, words in expected]
        assert [one.score for one in found] == pytest.approx([score for score, _ in expected], abs=1e-5)
        assert all(one.finished for one in found)


@given(st.integers(0, 10_000), st.sampled_from(["none", "average", "gnmt"]), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_early_stop_changes_nothing(seed: int, penalty: str, beam: int) -> None:
    """The same search with a bound that never stops anything."""
    chain, chosen = Chain(seed), options(beam=beam, length_penalty=penalty, max_length_offset=8)
    stopped = run(chain, chosen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BeamSearch, "is_finished", lambda self, request, best, options: False)
        assert run(chain, chosen) == stopped


@given(st.integers(0, 10_000), st.sampled_from(["none", "average", "gnmt"]))
@settings(max_examples=25, deadline=None)
def test_beam_of_one_is_greedy(seed: int, penalty: str) -> None:
    chain = Chain(seed)
    (found,) = run(chain, options(beam=1, length_penalty=penalty, max_length_offset=9), sentences=(1,))
    before, last, tokens = 0, BOS, []
    while len(tokens) < 9:
        scores = chain.table[1, before, last].clone()
        scores[[PAD, BOS]] = -math.inf
        before, last = last, int(scores.argmax())
        tokens.append(last)
        if last == EOS:
            break
    assert found[0].tokens == tuple(token for token in tokens if token != EOS)
    assert found[0].finished == (tokens[-1] == EOS)


@given(st.integers(0, 10_000), st.sampled_from(["beam", "sample"]))
@settings(max_examples=25, deadline=None)
def test_neighbours_do_not_matter(seed: int, strategy: str) -> None:
    chain, chosen = Chain(seed), options(beam=3, n_best=2, strategy=strategy, max_length_offset=6)
    together = run(chain, chosen, seeds=[10, 11, 12])
    for sentence in range(3):
        assert run(chain, chosen, sentences=(sentence,), seeds=[10 + sentence]) == [together[sentence]]


def test_token_log_probabilities_are_the_models() -> None:
    chain = Chain(5)
    for sentence, found in enumerate(run(chain, options(beam=3, n_best=3))):
        for one in found:
            tokens = (*one.tokens, EOS) if one.finished else one.tokens
            expected = chain.token_log_probabilities(sentence, tokens)
            assert list(one.token_log_probabilities) == pytest.approx(expected, abs=1e-5)
            assert one.log_probability == pytest.approx(math.fsum(expected), abs=1e-5)


def test_finished_sentences_leave_the_batch() -> None:
    chain = Chain(0, sharpness=0.1)
    chain.table[0, :, :, EOS] = 30.0  # ends at once
    chain.table[1, :, :, EOS] = -30.0  # never does
    found = run(chain, options(beam=2, max_length_offset=6), sentences=(0, 1))
    assert found[0][0].tokens == ()
    assert not found[1][0].finished
    assert len(found[1][0].tokens) == 6
    assert chain.rows == [4] + [2] * 5


def test_gnmt_and_average_penalties_by_hand() -> None:
    assert options(length_penalty="gnmt", alpha=0.6).penalty(7) == pytest.approx(2.0**0.6)
    assert options(length_penalty="average", alpha=1.0).penalty(7) == 7.0
    assert options(length_penalty="none").penalty(7) == 1.0


@pytest.mark.parametrize("strategy", ["beam", "sample"])
def test_prefixes_are_forced_and_counted(strategy: str) -> None:
    chain = Chain(3)
    found = run(chain, options(beam=2, strategy=strategy), prefixes=[[4, 3], [], [5]])
    assert found[0][0].tokens[:2] == (4, 3)
    assert found[2][0].tokens[:1] == (5,)
    expected = chain.token_log_probabilities(0, (4, 3))
    assert list(found[0][0].token_log_probabilities[:2]) == pytest.approx(expected, abs=1e-5)


def test_coverage_penalty_reranks_and_needs_attention() -> None:
    chain = Chain(4)
    with pytest.raises(UsageError, match="coverage_beta"):
        run(chain, options(coverage_beta=0.2))
    # a penalty that grows with the length of the past makes the shortest output win
    shortest = run(
        chain,
        options(beam=20, coverage_beta=100.0),
        coverage_penalty=lambda past: -1.0 * past.fed.shape[1] * torch.ones(len(past.fed)),
    )
    assert all(found[0].tokens == () for found in shortest)


def test_filters_of_sampling() -> None:
    log_p = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()
    assert filter_probabilities(log_p, options(top_k=2))[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert filter_probabilities(log_p, options(top_p=0.7))[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert filter_probabilities(log_p, options(top_p=0.01))[0].tolist() == [1, 0, 0, 0]
    assert filter_probabilities(log_p, options(min_p=0.3))[0].tolist() == pytest.approx([5 / 9, 2.5 / 9, 1.5 / 9, 0])
    squared = [0.25, 0.0625, 0.0225, 0.01]
    expected = [p / sum(squared) for p in squared]
    assert filter_probabilities(log_p, options(temperature=0.5))[0].tolist() == pytest.approx(expected)


def test_samples_follow_the_models_distribution() -> None:
    chain, count = Chain(9, sentences=1, sharpness=1.0), 3000
    found = run(chain, options(strategy="sample", n_best=count), sentences=(0,), seeds=[7])[0]
    first = torch.tensor([(*one.tokens, EOS)[0] for one in found])
    probability = log_probabilities(chain.table[0, 0, BOS]).exp()
    probability[[PAD, BOS]] = 0
    probability /= probability.sum()
    expected = probability * len(found)
    observed = torch.bincount(first, minlength=VOCAB)
    chi_squared = float(((observed - expected) ** 2 / expected)[expected > 0].sum())
    assert len(found) > 2000
    assert chi_squared < 16.3  # 0.1 % of the distribution with three degrees of freedom


def test_options_out_of_range_are_named() -> None:
    with pytest.raises(UsageError, match="beam"):
        options(beam=0)
    assert options(n_best=7, beam=2).beam == 7


def test_stop_ends_a_hypothesis_and_keeps_its_last_token() -> None:
    chain = Chain(3)
    whole = run(chain, options(beam=1, max_length_offset=9), sentences=(1,))[0][0]
    assert len(whole.tokens) > 2
    last = whole.tokens[1]
    cut = run(chain, options(beam=1, max_length_offset=9), sentences=(1,), stop=lambda ids: ids[-1] == last)[0][0]
    assert cut.tokens == whole.tokens[: whole.tokens.index(last) + 1]
    assert cut.finished
    assert cut.token_log_probabilities == whole.token_log_probabilities[: len(cut.tokens)]


def test_repetition_penalty_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0, 4.0, 0.5]])
    found = penalize_repetitions(logits, torch.tensor([[2, 1, 2, -1]]), 2.0)
    assert found.tolist() == [[2.0, -2.0, 2.0, 0.5]]
    assert penalize_repetitions(logits, torch.tensor([[0]]), 1.0) is logits


def test_repetition_penalty_counts_what_was_read() -> None:
    chain, chosen = Chain(3), options(beam=1, max_length_offset=6, repetition_penalty=50.0)
    free = run(chain, chosen, sentences=(1,))[0][0]
    read = run(chain, chosen, sentences=(1,), read=[[free.tokens[0]]])[0][0]
    assert read.tokens[:1] != free.tokens[:1]


def test_steps_show_what_is_being_written() -> None:
    chain, chosen = Chain(3), options(beam=1, max_length_offset=9)
    search_one, sentence, shown = (
        Search(chain.step, chosen, eos_id=EOS, forbidden=(PAD, BOS)),
        SearchRequest(9, BOS),
        [],
    )
    search_one.add([sentence], chain.start([1]))
    while not search_one.advance():
        shown.append(search_one.written(sentence))
    whole = list(run(chain, chosen, sentences=(1,))[0][0].tokens)
    assert shown == [whole[: length + 1] for length in range(len(shown))]
    assert shown


@given(
    st.integers(0, 10_000),
    st.sampled_from([{"beam": 1}, {"beam": 3, "n_best": 2}, {"strategy": "sample", "n_best": 2, "top_k": 4}]),
    st.lists(st.integers(0, 4), min_size=3, max_size=3),
    st.sampled_from([1.0, 1.5]),
)
@settings(max_examples=60, deadline=None)
def test_sentences_that_join_and_leave_change_nothing_for_the_others(
    seed: int, changes: dict, waits: list[int], repetition_penalty: float
) -> None:
    """Each of three sentences is added so many steps after the one before it; a fourth one leaves half way."""
    chain, chosen = Chain(seed, sentences=4), options(repetition_penalty=repetition_penalty, **changes)
    lengths, prefixes = [9, 5, 12, 30], [[], [3, 4], [5], [3, 3, 3, 3, 3, 3]]

    def sentence(number: int) -> SearchRequest:
        return SearchRequest(lengths[number], BOS, prefixes[number], [3], seed=number)

    def alone(number: int) -> list[Hypothesis]:
        search_one, one = Search(chain.step, chosen, eos_id=EOS, forbidden=(PAD, BOS)), sentence(number)
        search_one.add([one], chain.start([number]))
        while not search_one.advance():
            pass
        return one.finished

    together = Search(chain.step, chosen, eos_id=EOS, forbidden=(PAD, BOS))
    guest, over = sentence(3), []
    together.add([guest], chain.start([3]))
    sentences = [sentence(number) for number in range(3)]
    for number, wait in enumerate(waits):
        for _ in range(wait):
            if together.requests:
                over += together.advance()
        if number == 2 and guest in together.requests:
            together.remove(guest)
        together.add([sentences[number]], chain.start([number]))
        assert together.written(sentences[number]) == []
    while together.requests:
        over += together.advance()
    assert {id(one) for one in over} >= {id(one) for one in sentences}
    for number, one in enumerate(sentences):
        expected = alone(number)
        assert [one.tokens for one in one.finished] == [one.tokens for one in expected]
        assert [one.score for one in one.finished] == pytest.approx([one.score for one in expected])


@pytest.mark.parametrize("temperature", [1e-30, 1e-38, 1e-46, 5e-324])
def test_at_next_to_no_temperature_the_likeliest_token_is_drawn(temperature: float) -> None:
    log_p = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]).log()
    found = filter_probabilities(log_p, options(temperature=temperature))
    assert found.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
