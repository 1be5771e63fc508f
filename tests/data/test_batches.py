"""Batches: the order is a function of (seed, epoch, index), within the budget, with little padding; their tensors."""

import itertools
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.data.batches import BatchOrder, DataPosition, collate, iterate
from sightline.data.encoded import EncodedPairs
from sightline.data.mixing import Mixing
from sightline.data.pairs import PairSource, encode_pairs
from sightline.data.sources import read_lines
from sightline.data.tokenizer import Tokenizer
from sightline.errors import CheckpointError, UsageError


def lengths(count, seed=0):
    random = np.random.default_rng(seed)
    source = random.gamma(4, 4, count).astype(np.int32) + 1
    return source, np.maximum(1, source * random.normal(1.1, 0.15, count)).astype(np.int32)


def same(left, right):
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@given(
    pairs=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=200),
    budget=st.integers(31, 300),
    max_rows=st.none() | st.integers(1, 9),
    epoch=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_every_pair_once_within_the_budget(pairs, budget, max_rows, epoch):
    source, target = (np.array(side) for side in zip(*pairs, strict=True))
    batches = BatchOrder(source, target, budget, seed=3, max_rows=max_rows).epoch(epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(pairs)))
    for batch in batches:
        assert 1 <= len(batch) <= (max_rows or len(pairs))
        assert len(batch) * (source[batch].max() + 1) <= budget
        assert len(batch) * (target[batch].max() + 1) <= budget


def test_order_depends_on_seed_and_epoch_alone():
    source, target = lengths(3000)
    order = BatchOrder(source, target, 1024, seed=5)
    first, second = order.epoch(0), order.epoch(1)
    assert same(order.epoch(0), first)
    assert same(BatchOrder(source, target, 1024, seed=5).epoch(1), second)
    assert not same(first, second)
    assert not same(BatchOrder(source, target, 1024, seed=6).epoch(0), first)
    batches = [{frozenset(batch.tolist()) for batch in order.epoch(epoch)} for epoch in range(6)]
    kept = [len(a & b) / len(a) for a, b in itertools.pairwise(batches)]
    assert max(kept) < 0.5
    assert sum(kept) / len(kept) < 0.2


def test_batches_come_in_no_order_of_length():
    source, target = lengths(20_000)
    means = [target[batch].mean() for batch in BatchOrder(source, target, 1024, seed=1).epoch(0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


def test_budget_is_well_used_and_padding_is_little():
    source, target = lengths(30_000)
    order = BatchOrder(source, target, 2048, seed=1)
    costs = [len(b) * (max(source[b].max(), target[b].max()) + 1) for b in order.epoch(0)]
    assert np.mean(costs) > 0.95 * 2048
    assert order.padding(0) < 0.05


def test_padding_is_the_fraction_of_padded_cells():
    # One batch of two rows: sources of 2 and 4 cells with their ends, targets of 3 and 3. Two of 14 cells are padding.
    order = BatchOrder(np.array([1, 3]), np.array([2, 2]), 100, seed=0)
    assert len(order.epoch(0)) == 1
    assert order.padding(0) == pytest.approx(2 / 14)
    assert BatchOrder(np.array([1, 3]), np.array([2, 2]), 7, seed=0).padding(0) == 0.0


def test_a_million_pairs_are_ordered_quickly():
    import time

    source, target = lengths(1_000_000)
    started = time.process_time()
    batches = BatchOrder(source, target, 4096, seed=0).epoch(0)
    assert time.process_time() - started < 10  # about 0.3 s
    assert sum(map(len, batches)) == 1_000_000


def test_bad_orders_are_refused():
    with pytest.raises(UsageError, match="tokens_per_batch: 10 is too small for a pair of 11 tokens"):
        BatchOrder(np.array([3]), np.array([10]), 10, seed=0)
    with pytest.raises(UsageError, match="no pairs"):
        BatchOrder(np.array([]), np.array([]), 10, seed=0)
    with pytest.raises(UsageError, match="max_rows"):
        BatchOrder(np.array([1]), np.array([1]), 10, seed=0, max_rows=0)
    with pytest.raises(UsageError, match="negative"):
        BatchOrder(np.array([1]), np.array([1]), 10, seed=-1).epoch(0)


def test_whole_weights_repeat_and_parts_take_turns():
    mixing = Mixing((0, 10, 18), (2.0, 0.25))
    epochs = [mixing.draw(seed=1, epoch=e) for e in range(8)]
    for drawn in epochs:
        counts = np.bincount(drawn, minlength=18)
        assert counts[:10].tolist() == [2] * 10
        assert counts[10:].sum() == 2
    # A quarter of eight is two a time: after four epochs each came once, after eight twice.
    seen = np.bincount(np.concatenate(epochs[:4]), minlength=18)[10:]
    assert seen.tolist() == [1] * 8
    assert np.bincount(np.concatenate(epochs), minlength=18)[10:].tolist() == [2] * 8
    assert np.array_equal(mixing.draw(1, 3), epochs[3])
    assert not np.array_equal(mixing.draw(2, 0), epochs[0])


def test_order_follows_the_mixing():
    source, target = lengths(18)
    order = BatchOrder(source, target, 200, seed=1, mixing=Mixing((0, 10, 18), (1.5, 1.0)))
    counts = np.bincount(np.concatenate(order.epoch(0)), minlength=18)
    assert sorted(counts[:10]) == [1] * 5 + [2] * 5
    assert counts[10:].tolist() == [1] * 8


def test_iteration_resumes_anywhere():
    source, target = lengths(400)
    order = BatchOrder(source, target, 512, seed=9)
    count = 2 * len(order.epoch(0)) + 5
    walk = list(itertools.islice(iterate(order, DataPosition(9)), count))
    assert {position.epoch for position, _ in walk} == {0, 1, 2}
    for stop in (0, 1, len(order.epoch(0)) - 1, len(order.epoch(0)), count - 2):
        again = BatchOrder(source, target, 512, seed=9)
        rest = list(itertools.islice(iterate(again, walk[stop][0]), count - stop - 1))
        assert [position for position, _ in rest] == [position for position, _ in walk[stop + 1 :]]
        assert same([batch for _, batch in rest], [batch for _, batch in walk[stop + 1 :]])


def test_a_position_of_other_data_is_refused():
    order = BatchOrder(*lengths(40), 512, seed=9)
    with pytest.raises(CheckpointError, match="seed 8 is not the run's 9"):
        next(iterate(order, DataPosition(8)))
    with pytest.raises(CheckpointError, match="the data or the batch size is not what it was"):
        next(iterate(order, DataPosition(9, 0, 999)))


def test_tensors_of_a_batch():
    encoded = EncodedPairs.from_lists([([5, 6], [7]), ([8], [9, 10, 11]), ([12, 13, 14], [15, 16])])
    batch = collate(encoded, np.array([1, 0]))
    assert batch.source_BS.tolist() == [[8, 2, 0], [5, 6, 2]]
    assert batch.source_mask_BS.tolist() == [[True, True, False], [True, True, True]]
    assert batch.target_in_BT.tolist() == [[1, 9, 10, 11], [1, 7, 0, 0]]
    assert batch.target_out_BT.tolist() == [[9, 10, 11, 2], [7, 2, 0, 0]]
    assert batch.target_mask_BT.tolist() == [[True] * 4, [True, True, False, False]]
    assert (batch.num_source_tokens, batch.num_target_tokens) == (5, 6)
    assert batch.indices.tolist() == [1, 0]
    assert batch.source_BS.dtype == batch.target_in_BT.dtype == torch.int64


def test_widths_round_up_and_specials_may_be_others():
    encoded = EncodedPairs.from_lists([([5, 6], [7])])
    batch = collate(encoded, np.array([0]), pad_id=9, bos_id=8, eos_id=7, pad_to_multiple=4)
    assert batch.source_BS.tolist() == [[5, 6, 7, 9]]
    assert batch.target_in_BT.tolist() == [[8, 7, 9, 9]]
    assert batch.target_out_BT.tolist() == [[7, 7, 9, 9]]
    assert batch.num_target_tokens == 2


def test_a_batch_moves_to_a_device():
    batch = collate(EncodedPairs.from_lists([([5, 6], [7])]), np.array([0]))
    moved = batch.to("meta")
    assert moved.source_BS.device.type == moved.target_mask_BT.device.type == "meta"
    assert moved.num_target_tokens == 2
    assert moved.indices.tolist() == [0]


@pytest.mark.skipif("SIGHTLINE_DATA" not in os.environ, reason="SIGHTLINE_DATA is not set: no real data")
def test_real_captions_are_encoded_and_batched_with_little_padding(tmp_path):
    source = PairSource(source="multi30k:train.en.gz", target="multi30k:train.de.gz")
    tokenizers = [Tokenizer.train(read_lines(spec), vocab_size=4000) for spec in (source.source, source.target)]
    encoded = encode_pairs([source], *tokenizers, max_source_tokens=100, max_target_tokens=100, cache_dir=tmp_path)
    assert len(encoded) == 29_000
    assert BatchOrder(encoded.source_lengths, encoded.target_lengths, 4096, seed=1).padding(0) < 0.05
    number = 7365
    line = next(itertools.islice(read_lines(source.target), number, None))
    assert tokenizers[1].decode(encoded.target(number)) == line
