"""Blocks: feed-forward networks by hand, where dropout falls, residuals and norms, rotation of self-attention only."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sightline.nn.attention import KeyValues
from sightline.nn.blocks import Block, BlockOptions, make_feed_forward
from sightline.nn.context import PassContext, Recorder
from sightline.nn.positions import RotaryEncoding, make_positional_encoding
from support.model_cases import close

SIZES = {"d_model": 8, "num_heads": 2, "d_ff": 12}


def _feed_forward(activation: str, inner: list[list[float]], outer: list[list[float]]) -> nn.Module:
    network: Any = make_feed_forward(len(outer), len(outer[0]), activation, 0.0)
    network.inner.weight.data, network.outer.weight.data = torch.tensor(inner), torch.tensor(outer)
    return network


def test_relu_by_hand() -> None:
    network: Any = _feed_forward("relu", [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
    network.inner.bias.data = torch.tensor([0.0, 0.0, 1.0])
    network.outer.bias.data = torch.tensor([0.0, -1.0])
    # inner (2, -5, -2) → (2, 0, 0)
    assert network(torch.tensor([[[2.0, -5.0]]])).tolist() == [[[2.0, -1.0]]]


def test_gelu_by_hand() -> None:
    network = _feed_forward("gelu", [[1.0], [-2.0]], [[1.0, 1.0]])
    normal = [0.5 * (1 + math.erf(x / math.sqrt(2))) for x in (1.0, -2.0)]
    close(network(torch.tensor([[[1.0]]])).item(), normal[0] - 2 * normal[1])


def test_swiglu_by_hand() -> None:
    """The first half of the inner product gates the second: silu(ln 3) = ln 3 · 3/4."""
    network = _feed_forward("swiglu", [[math.log(3)], [0.0], [10.0], [7.0]], [[1.0, 1.0]])
    close(network(torch.tensor([[[1.0]]])).item(), math.log(3) * 0.75 * 10)
    assert not [name for name, _ in network.named_parameters() if "bias" in name]


def _source(block: Block, source: Tensor) -> KeyValues:
    assert block.cross_attention is not None
    return block.cross_attention.project_keys_values(source)


@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu"])
def test_where_dropout_falls(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[tuple[int, ...], float]] = []

    def noted(x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        calls.append((tuple(x.shape), rate))
        return x

    monkeypatch.setattr("sightline.nn.context.dropout", noted)
    rates = {"dropout": 0.1, "attention_dropout": 0.2, "activation_dropout": 0.3}
    block = Block(BlockOptions(**SIZES, **rates, activation=activation), cross=True)  # pyright: ignore
    x, source = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    block(x, None, source=_source(block, source), ctx=PassContext(torch.Generator()))
    sublayer = ((3, 4, 8), 0.1)
    assert calls == [((3, 2, 4, 4), 0.2), sublayer, ((3, 2, 4, 5), 0.2), sublayer, ((3, 4, 12), 0.3), sublayer]


@pytest.mark.parametrize("pre_norm", [False, True])
def test_residuals_and_norms(pre_norm: bool) -> None:
    """With sublayers that give zeros, a pre-norm block is the identity and a post-norm one normalises."""
    block: Any = Block(BlockOptions(**SIZES, pre_norm=pre_norm))  # pyright: ignore
    block.self_attention.output.weight.data.zero_()
    block.feed_forward.outer.weight.data.zero_()
    x = torch.randn(3, 4, 8)
    recorder = Recorder(["residual"])
    output, keys_values = block(x, None, ctx=PassContext(recorder=recorder))
    normal = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, correction=0)
    torch.testing.assert_close(output, x if pre_norm else normal, atol=1e-4, rtol=1e-4)
    assert recorder.tensors["residual"][0].equal(output)
    assert keys_values.keys.shape == (3, 2, 4, 4)


def test_only_self_attention_is_rotated() -> None:
    torch.manual_seed(0)
    plain, turned = (Block(BlockOptions(**SIZES), positions, cross=True) for positions in (None, RotaryEncoding()))  # pyright: ignore
    turned.load_state_dict(plain.state_dict())
    assert turned.cross_attention is not None
    x, source = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    keys_values = _source(plain, source)
    close(
        turned.cross_attention.attend_to(x, _source(turned, source), None),
        plain.cross_attention.attend_to(x, keys_values, None),
    )  # pyright: ignore
    assert not torch.allclose(turned(x, None, source=keys_values)[0], plain(x, None, source=keys_values)[0], atol=1e-3)


@pytest.mark.parametrize(("norm", "recorded"), [("layer", True), ("rms", True), ("batch", True), ("none", False)])
def test_what_no_norm_divides_is_not_recorded(norm: Any, recorded: bool) -> None:
    recorder = Recorder(["*norm*"])
    block = Block(BlockOptions(**SIZES, norm=norm, dropout=0.0))
    block(torch.randn(1, 3, 8), None, ctx=PassContext(recorder=recorder))
    assert bool(recorder.offered.keys() & {"self_norm", "self_norm_input", "feed_forward_norm_input"}) == recorded


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_attention_holds_positions_only_where_it_is_turned(positions: Any) -> None:
    encoding = make_positional_encoding(positions, 8, 16)
    block = Block(BlockOptions(**SIZES, positions=positions), encoding)
    assert (block.self_attention.positions is encoding) == (positions == "rotary")
