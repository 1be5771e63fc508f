"""Sizes of models: what is refused, what is shared, how scheduled sampling feeds, how a step of attention is made."""

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from sightline.models import (
    EncoderDecoderSizes,
    Seq2Seq,
    Seq2SeqSizes,
    Transformer,
    TransformerSizes,
    make_encoder_decoder,
)
from sightline.models.seq2seq import Seq2SeqState
from sightline.nn.attention import Dot
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.decoder_attention import BahdanauAttention, LuongAttention
from sightline.nn.ops import linear_cross_entropy
from support.model_cases import BATCH, SOURCE, SOURCE_MASK, TARGET, VOCAB, close, logits
from support.model_cases import one_thread as one_thread

SMALL = {"d_model": 8, "num_layers": 1, "num_heads": 2, "d_ff": 12}


@pytest.mark.parametrize("kind", [Seq2SeqSizes, TransformerSizes])
def test_unknown_keys_are_refused(kind: Any) -> None:
    with pytest.raises(ValidationError, match="d_modell"):
        kind(d_modell=8)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (TransformerSizes, {"d_model": 10, "num_heads": 4}, "num_heads 4 must divide the width 10"),
        (TransformerSizes, {"value_width": 6, "num_heads": 4, "d_model": 8}, "num_heads 4 must divide the width 6"),
        (TransformerSizes, {"d_model": 6, "num_heads": 2, "positions": "rotary"}, "even width, not 3"),
        (TransformerSizes, {"dropout": 1.0}, "dropout"),
        (TransformerSizes, {"num_layers": 0}, "num_layers"),
        (TransformerSizes, {"norm": "group"}, "norm"),
        (Seq2SeqSizes, {"width": 7}, "width 7 must be even"),
        (Seq2SeqSizes, {"attention": "cosine"}, "attention"),
        (Seq2SeqSizes, {"scheduled_sampling": 1.5}, "scheduled_sampling"),
    ],
)
def test_sizes_that_make_no_model_are_refused(kind: Any, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(**wrong)


def test_an_odd_width_is_fine_in_one_direction() -> None:
    model = Seq2Seq(VOCAB, VOCAB, Seq2SeqSizes(width=7, embedding_width=5, bidirectional=False))
    assert model.features(*BATCH).shape == (4, 5, 5)


def test_sizes_are_told_apart_by_their_kind() -> None:
    adapter = TypeAdapter(EncoderDecoderSizes)
    sizes = adapter.validate_python({"kind": "seq2seq", "width": 6, "embedding_width": 5})
    assert type(sizes) is Seq2SeqSizes
    assert type(make_encoder_decoder(VOCAB, VOCAB, sizes)) is Seq2Seq
    assert type(adapter.validate_python({"kind": "transformer"})) is TransformerSizes
    with pytest.raises(ValidationError):
        adapter.validate_python({"kind": "markov"})


def test_sizes_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TransformerSizes().d_model = 3


@pytest.mark.parametrize(
    "make", [lambda s, t, tied: Transformer(s, t, TransformerSizes(**SMALL, tied=tied)),
             lambda s, t, tied: Seq2Seq(s, t, Seq2SeqSizes(width=8, embedding_width=6, tied=tied))],
    ids=["transformer", "seq2seq"],
)  # fmt: skip
def test_tied_embeddings_are_one_tensor(make: Any) -> None:
    everything, decoder, none = make(9, 9, "all"), make(9, 7, "decoder"), make(9, 7, "none")
    assert everything.source_embedding is everything.target_embedding is everything.output_weight
    assert decoder.output_weight is decoder.target_embedding
    assert decoder.source_embedding.shape[0] == 9
    assert decoder.project(torch.zeros(2, decoder.output_weight.shape[1])).shape == (2, 7)
    assert none.output_weight is not none.target_embedding
    tables = (none.source_embedding, none.target_embedding, none.output_weight)
    assert len({tensor.data_ptr() for tensor in tables}) == 3
    with pytest.raises(ValueError, match="one vocabulary, not 9 and 7"):
        make(9, 7, "all")


def test_more_positions_than_learned_are_refused() -> None:
    model = Transformer(VOCAB, VOCAB, TransformerSizes(**SMALL, positions="learned", max_length=6))
    assert model.features(SOURCE, SOURCE_MASK, TARGET).shape == (4, 5, 8)
    with pytest.raises(ValueError, match="7 positions asked of a table of 6"):
        model.start(torch.zeros(1, 7, dtype=torch.long), torch.ones(1, 7, dtype=torch.bool))
    state = model.start(SOURCE, SOURCE_MASK)
    for _ in range(6):
        _, state = model.step(TARGET[:, 0], state)
    with pytest.raises(ValueError, match="7 positions asked of a table of 6"):
        model.step(TARGET[:, 0], state)


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_a_source_with_nothing_to_attend_to_is_survived(norm: Any) -> None:
    torch.manual_seed(0)
    model = Transformer(VOCAB, VOCAB, TransformerSizes(**SMALL, norm=norm))
    mask = SOURCE_MASK.clone()
    mask[2] = False
    features = model.features(SOURCE, mask, TARGET)
    close(features[[0, 1, 3]], model.features(SOURCE, SOURCE_MASK, TARGET)[[0, 1, 3]])
    linear_cross_entropy(features.flatten(0, 1), model.output_weight, None, TARGET.flatten())[0].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def _sampling(rate: float, **rest: Any) -> Seq2Seq:
    torch.manual_seed(0)
    model = Seq2Seq(VOCAB, VOCAB, Seq2SeqSizes(width=8, embedding_width=6, dropout=0, scheduled_sampling=rate, **rest))
    with torch.no_grad():
        model.target_embedding.mul_(10)  # so that what is fed matters
    return model


@pytest.mark.parametrize("rest", [{"attention": "additive"}, {"order": "luong"}, {"attention": "none"}], ids=str)
def test_scheduled_sampling_at_rate_one_feeds_the_best_guess(rest: dict[str, Any]) -> None:
    model = _sampling(1.0, **rest)
    state, token, expected = model.start(SOURCE, SOURCE_MASK), TARGET[:, 0], []
    for _ in range(TARGET.shape[1]):
        step_logits, state = model.step(token, state)
        expected.append(step_logits)
        token = step_logits.argmax(-1)
    features = model.features(*BATCH, ctx=PassContext(torch.Generator().manual_seed(0)))
    close(model.project(features), torch.stack(expected, 1))
    assert not torch.allclose(logits(model), torch.stack(expected, 1), atol=1e-3)


def test_scheduled_sampling_is_for_training_only_and_at_its_rate() -> None:
    always, some, never = _sampling(1.0), _sampling(0.3), _sampling(0.0)
    assert torch.equal(logits(some), logits(never))
    batch = [tensor.repeat(250, 1) for tensor in BATCH]
    second = [  # the second step was fed the guess or the reference
        model.features(*batch, ctx=PassContext(torch.Generator().manual_seed(0)))[:, 1]
        for model in (always, some, never)
    ]
    differ = (second[0] - second[2]).abs().amax(-1) > 1e-3
    guessed = (second[1] - second[0]).abs().amax(-1) < 1e-5
    referred = (second[1] - second[2]).abs().amax(-1) < 1e-5
    assert (guessed | referred).all()
    assert differ.sum() >= 500
    assert guessed[differ].float().mean().item() == pytest.approx(0.3, abs=0.1)  # 5 standard deviations


def _state(hidden: list[float]) -> Seq2SeqState:
    """One row whose two keys have products 0 and 1 with (1, 0)."""
    hidden_BW = torch.tensor([hidden])
    keys, values = torch.tensor([[[0.0, 5.0], [1.0, 7.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    mask, zero = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2)
    return Seq2SeqState(((hidden_BW,),), zero, zero, keys, values, mask, torch.zeros(1, dtype=torch.long))


def test_a_step_of_luong_by_hand() -> None:
    """The new state (1, 0) asks; h̃ = tanh(W [c; h]), here the sum of both."""
    luong = LuongAttention(Dot(), 2, 2)
    luong.readout.weight.data = torch.eye(2).repeat(1, 2)
    feature = luong.output_features(
        torch.tensor([[[1.0, 0.0]]]), torch.zeros(1, 1, 2), [], _state([9.0, 9.0]), INFERENCE
    )
    first, second = 1 / (1 + math.e), math.e / (1 + math.e)
    close(feature, torch.tensor([[[math.tanh(first + 1), math.tanh(second)]]]))


def test_a_step_of_bahdanau_by_hand() -> None:
    """The previous state (1, 0) asks; the context enters the cell and, with the new state and the word, the readout."""
    bahdanau = BahdanauAttention(Dot(), 2, 2)
    bahdanau.readout.weight.data = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0.0, 0, 0, 1, 1, 10]])
    word, state = torch.tensor([[[0.2, 0.3]]]), _state([1.0, 0.0])
    (context,) = bahdanau.extra_inputs(word, state, INFERENCE)
    first, second = 1 / (1 + math.e), math.e / (1 + math.e)
    close(context, torch.tensor([[[first, second]]]))
    feature = bahdanau.output_features(torch.tensor([[[0.5, 0.6]]]), word, [context], state, INFERENCE)
    close(feature, torch.tensor([[[math.tanh(0.5), math.tanh(0.3 + first + 10 * second)]]]))


@pytest.mark.parametrize("kind", ["seq2seq", "transformer"])
def test_rows_of_the_same_sentence_share_its_memory(kind: str) -> None:
    """Beams that only trade places move nothing that belongs to the source."""
    sizes: Any = {"seq2seq": Seq2SeqSizes(width=8, embedding_width=6), "transformer": TransformerSizes(**SMALL)}[kind]
    model: Any = make_encoder_decoder(VOCAB, VOCAB, sizes)
    state = model.start(SOURCE, SOURCE_MASK).reorder(torch.tensor([0, 0, 2, 2]))
    _, state = model.step(TARGET[:, 0], state)
    traded = state.reorder(torch.tensor([1, 1, 3, 2]))
    moved = state.reorder(torch.tensor([2, 1, 3, 2]))
    if kind == "seq2seq":
        assert traded.keys is state.keys
        assert moved.keys is not state.keys
    else:
        assert traded.source is state.source
        assert moved.source is not state.source
    assert moved.source_ids_B.tolist() == [2, 0, 2, 2]
    found, _ = model.step(TARGET[:, 1], traded)
    full, _ = model.step(TARGET[:, 1], state.reorder(torch.tensor([1, 1, 3, 2])))
    close(found, full)
