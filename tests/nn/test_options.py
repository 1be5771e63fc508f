"""Options that studies ask for: norm none, no residual, attention's scale, how recurrent weights and decoders begin."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sightline.models import (
    GPT,
    Bert,
    BertForPretraining,
    BertSizes,
    GPTSizes,
    Seq2Seq,
    Seq2SeqSizes,
    Transformer,
    TransformerSizes,
)
from sightline.models.vit import ViT, ViTSizes, waves
from sightline.nn.attention import MultiHeadAttention, attend
from sightline.nn.blocks import Block, BlockOptions
from sightline.nn.cells import make_cell
from sightline.nn.context import INFERENCE, PassContext, Recorder
from sightline.nn.norms import BatchNorm
from sightline.nn.positions import make_positional_encoding, wave_table
from sightline.nn.recurrent import Initialization, RecurrentLayer
from support.model_cases import BATCH, SOURCE, SOURCE_LENGTHS, SOURCE_MASK, TARGET, VOCAB, close

SIZES: dict[str, Any] = {"d_model": 8, "num_heads": 2, "d_ff": 12}


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_a_block_is_its_two_equations(pre_norm: bool, residual: bool, norm: Any) -> None:
    torch.manual_seed(0)
    block: Any = Block(BlockOptions(**SIZES, norm=norm, pre_norm=pre_norm, residual=residual, dropout=0.0), cross=True)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, source = torch.randn(3, 4, 8), block.project_source(torch.randn(3, 5, 8))
    found, _ = block(x, None, source=source)
    for norm_of, sublayer in (
        (block.self_norm, lambda x: block.self_attention(x, None)[0]),
        (block.cross_norm, lambda x: block.cross_attention.attend_to(x, source, None)),
        (block.feed_forward_norm, block.feed_forward),
    ):
        kept = x if residual else 0
        x = kept + sublayer(norm_of(x)) if pre_norm else norm_of(kept + sublayer(x))
    close(found, x)


def test_norm_none_leaves_all_as_it_is_and_has_no_weights() -> None:
    model = Transformer(VOCAB, VOCAB, TransformerSizes(**SIZES, num_layers=1, norm="none", pre_norm=True))
    assert not [name for name, _ in model.named_parameters() if "norm" in name]
    assert model.features(*BATCH).isfinite().all()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("scale", "divisor"), [("sqrt_d_k", math.sqrt(4)), ("sqrt_d_model", math.sqrt(8)), ("none", 1.0)]
)
def test_what_products_are_divided_by(scale: Any, divisor: float, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.nn.attention._use_fused", lambda query: fused)
    torch.manual_seed(0)
    attention: Any = Block(BlockOptions(**SIZES, attention_scale=scale)).self_attention
    query, keys, values = (torch.randn(2, 2, 5, 4) for _ in range(3))
    weights = torch.softmax(query @ keys.transpose(-2, -1) / divisor, -1)
    close(attend(query, keys, values, attention.score), weights @ values)


@pytest.mark.parametrize(
    "make",
    [
        lambda **more: Transformer(VOCAB, VOCAB, TransformerSizes(**SIZES, num_layers=1, **more)),
        lambda **more: GPT(VOCAB, GPTSizes(**SIZES, num_layers=1, **more)),
        lambda **more: BertForPretraining(VOCAB, BertSizes(**SIZES, num_layers=1, **more)),
        lambda **more: ViT(ViTSizes(**SIZES, num_layers=1, image_size=4, patch_size=2, **more), 3),
    ],
    ids=["transformer", "gpt", "bert", "vit"],
)
def test_the_four_share_their_options(make: Any) -> None:
    """Key/value heads, value width and activation shape the weights of all of them; norm and its epsilon are heard."""
    model = make(num_kv_heads=1, value_width=12, activation="gelu_tanh", norm="batch", norm_epsilon=0.5)
    shapes = {tuple(one.weight.shape) for one in model.modules() if isinstance(one, MultiHeadAttention)}
    assert shapes == {(8 + 4 + 6, 8)}
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    assert norms
    assert {norm.epsilon for norm in norms} == {0.5}
    assert not [name for name, _ in make(norm="none").named_parameters() if "norm" in name]
    with pytest.raises(ValueError, match="num_kv_heads 3 must divide num_heads 2"):
        make(num_kv_heads=3)
    with pytest.raises(ValueError, match="num_heads 2 must divide the width 7"):
        make(value_width=7)


def test_batch_norm_in_the_head_of_a_bert_learns_its_statistics() -> None:
    model = BertForPretraining(VOCAB, BertSizes(**SIZES, num_layers=1, norm="batch"))
    chosen, real = torch.ones_like(SOURCE, dtype=torch.bool), torch.ones_like(SOURCE, dtype=torch.bool)
    model(SOURCE, real, torch.zeros_like(SOURCE), chosen, SOURCE[chosen], ctx=PassContext(torch.Generator()))
    moved = {name: one.running_mean for name, one in model.named_modules() if isinstance(one, BatchNorm)}
    assert len(moved) == 4
    assert all(bool(mean.any()) for mean in moved.values())


def test_batch_norm_of_a_gpt_leaves_padding_out() -> None:
    torch.manual_seed(0)
    model = GPT(VOCAB, GPTSizes(**SIZES, num_layers=1, norm="batch", dropout=0, attention_dropout=0))
    real = SOURCE_MASK
    means = []
    for tokens in (SOURCE, torch.where(real, SOURCE, (SOURCE + 5) % VOCAB)):
        for module in model.modules():
            if isinstance(module, BatchNorm):
                module.running_mean.zero_()
        model.decode(tokens, model.start(4), real_BT=real, ctx=PassContext(torch.Generator()))
        means.append([one.running_mean.clone() for one in model.modules() if isinstance(one, BatchNorm)])
    assert all(bool(mean.any()) for mean in means[0])
    torch.testing.assert_close(means[0], means[1])


def test_binary_positions_by_hand() -> None:
    """Even columns are the digits of the position, the lowest first; odd ones the same a quarter of a period later."""
    table = wave_table("binary", 8, 6)
    digits = [[1 - 2 * (position >> digit & 1) for digit in range(3)] for position in range(8)]
    assert table[:, ::2].tolist() == digits
    # a quarter of 2 is half a position, of 4 one position, of 8 two
    assert table[:, 1].tolist() == [1, -1] * 4
    assert table[:, 3].tolist() == [1, -1, -1, 1] * 2
    assert table[:, 5].tolist() == [1, 1, -1, -1, -1, -1, 1, 1]
    far = wave_table("binary", 2**12, 64)
    assert len(torch.unique(far, dim=0)) == 2**12
    assert wave_table("binary", 5, 5).equal(wave_table("binary", 5, 6)[:, :5])


@pytest.mark.parametrize(("width", "length"), [(64, 4096), (18, 2048), (512, 1024)])
@pytest.mark.parametrize("kind", ["sinusoidal", "triangle", "square", "binary"])
def test_no_two_positions_have_one_vector(kind: str, width: int, length: int) -> None:
    most = 2 ** (width // 2) if kind == "binary" else length  # it has so many digits
    assert len(torch.unique(wave_table(kind, length, width), dim=0)) == min(length, most)


def test_square_waves_of_runs_of_format_1_are_signs_of_sinusoids() -> None:
    old, smooth = wave_table("square_2pi", 300, 64), wave_table("sinusoidal", 300, 64)
    apart = smooth.abs() > 1e-6
    assert old[apart].equal(smooth.sign()[apart])
    assert old[0].equal(old[1])
    encoding = make_positional_encoding("square_2pi", 64, 8)
    close(encoding.embed(torch.zeros(1, 5, 64))[0], old[:5])


@pytest.mark.parametrize("kind", ["triangle", "square", "binary"])
def test_waves_of_images_are_a_rows_and_a_columns(kind: Any) -> None:
    table, line = waves(3, 16, kind), wave_table(kind, 3, 8)
    assert table[5].equal(torch.cat([line[1], line[2]]))
    model = ViT(ViTSizes(**SIZES, num_layers=1, image_size=6, patch_size=2, positions=kind), 2)
    close(model.position_table_TD[1:], waves(3, 8, kind))


@pytest.mark.parametrize(("kind", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_how_recurrent_matrices_begin(kind: str, gates: int, gain: float) -> None:
    torch.manual_seed(0)
    drawn = RecurrentLayer(make_cell(kind), 5, 6).weight_hidden
    torch.manual_seed(0)
    uniform = RecurrentLayer(make_cell(kind), 5, 6, initialization=Initialization(gain=gain)).weight_hidden
    close(uniform, gain * drawn)
    orthogonal = RecurrentLayer(make_cell(kind), 5, 6, initialization=Initialization("orthogonal", gain))
    for gate in orthogonal.weight_hidden.view(gates, 6, 6):
        close(gate @ gate.T, gain**2 * torch.eye(6))
    identity = RecurrentLayer(make_cell(kind), 5, 6, initialization=Initialization("identity", gain))
    assert identity.weight_hidden.equal(gain * torch.eye(6).repeat(gates, 1))


@pytest.mark.parametrize("bias", [1.0, 0.0])
def test_forget_gates_begin_open(bias: float) -> None:
    """An LSTM that has seen nothing yet keeps σ(bias) of its cell at each step."""
    sizes = Seq2SeqSizes(cell="lstm", width=8, embedding_width=6, forget_bias=bias)
    model = Seq2Seq(VOCAB, VOCAB, sizes)
    layers = [module for module in model.modules() if isinstance(module, RecurrentLayer)]
    assert len(layers) == 3
    for layer in layers:
        width = layer.width
        expected = torch.zeros(4 * width)
        expected[width : 2 * width] = bias
        assert (layer.bias_input + layer.bias_hidden).equal(expected)
        for weight in (layer.weight_input, layer.weight_hidden):
            torch.nn.init.zeros_(weight)
        recorder = Recorder(["forget_gate"])
        layer.step(
            torch.randn(1, layer.weight_input.shape[1]), layer.start(torch.zeros(1)), PassContext(recorder=recorder)
        )
        close(recorder.tensors["forget_gate"][0], torch.full((1, width), 1 / (1 + math.exp(-bias))))
    assert Seq2SeqSizes().forget_bias == 1.0
    gru = RecurrentLayer(make_cell("gru"), 5, 6, initialization=Initialization(forget_bias=1.0))
    assert not gru.bias_input.any()


def _seq2seq(**options: Any) -> Seq2Seq:
    torch.manual_seed(0)
    return Seq2Seq(VOCAB, VOCAB, Seq2SeqSizes(width=8, embedding_width=6, num_layers=2, cell="lstm", **options))


def test_how_a_decoder_begins() -> None:
    """With tanh of a linear map of the encoder's last state, with that state as it is, or with zeros."""
    for start in ("tanh", "last", "zero"):
        model = _seq2seq(decoder_start=start)
        lengths = torch.tensor(SOURCE_LENGTHS)
        _, finals = model.encoder(torch.nn.functional.embedding(SOURCE, model.source_embedding), lengths)
        hidden = model.start(SOURCE, SOURCE_MASK).hidden
        for layer, final in enumerate(finals):
            for kind, part in enumerate(final):
                if start == "tanh":
                    bridge: Any = model.bridge[layer][kind]  # pyright: ignore[reportIndexIssue]
                    part = torch.tanh(bridge(part))
                close(hidden[layer][kind], torch.zeros_like(part) if start == "zero" else part)
        assert bool([name for name, _ in model.named_parameters() if "bridge" in name]) == (start == "tanh")
        assert model.features(*BATCH).shape == (4, 5, 6)
    with pytest.raises(ValueError, match="nothing of the source would reach the decoder"):
        Seq2SeqSizes(attention="none", decoder_start="zero")


@pytest.mark.parametrize("context", ["start", "every_step"])
def test_the_previous_token_in_the_readout_of_a_fixed_context(context: Any) -> None:
    plain, told = (
        _seq2seq(attention="none", context=context, previous_token_in_readout=told) for told in (False, True)
    )
    wiring: Any = told.wiring
    read = (8, 16)[context == "every_step"]
    assert plain.wiring.readout.weight.shape == (6, read)  # pyright: ignore
    assert wiring.readout.weight.shape == (6, read + 6)
    state = told.start(SOURCE, SOURCE_MASK)
    x, hidden = torch.randn(4, 3, 6), torch.randn(4, 3, 8)
    extra = wiring.extra_inputs(x, state, INFERENCE)
    found = wiring.output_features(hidden, x, extra, state, INFERENCE)
    close(found, torch.tanh(wiring.readout(torch.cat([hidden, *extra, x], -1))))
    # with all but the token left out, tokens still tell predictions apart
    wiring.readout.weight.data[:, :read] = 0
    first, second = (told.features(SOURCE, SOURCE_MASK, tokens)[:, 0] for tokens in (TARGET, (TARGET + 1) % VOCAB))
    assert not torch.allclose(first, second)


def test_a_bert_without_a_head_is_an_encoder() -> None:
    model = Bert(VOCAB, BertSizes(**SIZES, num_layers=1))
    close(model(SOURCE, SOURCE_MASK), model.encode(SOURCE, SOURCE_MASK))


def test_a_printed_model_says_its_sizes() -> None:
    gpt = repr(GPT(20, GPTSizes(d_model=8, num_layers=1, num_heads=2, num_kv_heads=1, d_ff=12, max_length=16)))
    for part in ("vocab_size=20", "8, num_heads=2, num_kv_heads=1", "Linear(8, 12, bias=True)", "LayerNorm(8, epsilon=",
                 "LearnedEncoding(max_length=16, 8)"):  # fmt: skip
        assert part in gpt
    assert "GRUCell, 3, 4" in repr(RecurrentLayer(make_cell("gru"), 3, 4))
