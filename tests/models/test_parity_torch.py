"""The same numbers as PyTorch's own modules on the same weights: recurrent layers, attention heads, the Transformer."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sightline.models import TransformerSizes
from sightline.nn.attention import MultiHeadAttention
from sightline.nn.blocks import Block
from sightline.nn.cells import make_cell
from sightline.nn.context import PassContext, Recorder
from sightline.nn.masks import causal_mask, over_heads
from sightline.nn.recurrent import RecurrentEncoder
from support.model_cases import SOURCE, SOURCE_MASK, TARGET, close, make
from support.model_cases import one_thread as one_thread

LENGTHS = torch.tensor([3, 6, 1, 4])
CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("gru", "tanh"), ("lstm", "tanh")]


def _torch_layers(kind: str, nonlinearity: str, layers: int, directions: int) -> nn.Module:
    shape = {"num_layers": layers, "bidirectional": directions == 2, "batch_first": True}
    width = 6 // directions
    if kind == "rnn":
        return nn.RNN(5, width, nonlinearity=nonlinearity, **shape)  # pyright: ignore
    return {"gru": nn.GRU, "lstm": nn.LSTM}[kind](5, width, **shape)


@pytest.mark.parametrize(("kind", "nonlinearity"), CELLS, ids=["rnn-tanh", "rnn-relu", "gru", "lstm"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("recorded", [True, False], ids=["equations", "fused"])
def test_recurrent_layers(kind: str, nonlinearity: str, directions: int, ragged: bool, recorded: bool) -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(make_cell(kind, nonlinearity), 5, 6, 2, directions, 0.0)
    other: Any = _torch_layers(kind, nonlinearity, 2, directions)
    flat = [weight for layer in encoder.layers for way in layer for weight in way.weights]  # pyright: ignore
    for mine, theirs in zip(flat, other.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    lengths = LENGTHS if ragged else torch.full((4,), 6)
    x, real = torch.randn(4, 6, 5), torch.arange(6) < lengths[:, None]
    ctx = PassContext(recorder=Recorder(["*"])) if recorded else PassContext()
    outputs, finals = encoder(x, lengths, ctx)
    packed, last = other(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True, total_length=6)
    close(outputs[real], expected[real])
    for number, part in enumerate(last if kind == "lstm" else (last,)):
        per_layer = part.view(2, directions, 4, -1).transpose(1, 2).flatten(2)
        close(torch.stack([final[number] for final in finals]), per_layer)
    (outputs[real] ** 2).sum().backward()
    (expected[real] ** 2).sum().backward()
    for mine, theirs in zip(flat, other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-4, rtol=1e-4)


def _copy_attention(mine: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    assert theirs.in_proj_weight is not None
    nn.init.normal_(theirs.in_proj_bias)
    nn.init.normal_(theirs.out_proj.bias)
    mine.weight.data, mine.bias.data = theirs.in_proj_weight.data.clone(), theirs.in_proj_bias.data.clone()
    mine.output.weight.data = theirs.out_proj.weight.data.clone()
    mine.output.bias.data = theirs.out_proj.bias.data.clone()  # pyright: ignore


@pytest.mark.parametrize("mask_name", ["none", "causal", "padding"])
def test_self_attention(mask_name: str) -> None:
    torch.manual_seed(0)
    mine, theirs = MultiHeadAttention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    _copy_attention(mine, theirs)
    x, real = torch.randn(4, 6, 12), torch.arange(6) < LENGTHS[:, None]
    mask = {"none": None, "causal": causal_mask(6, 6), "padding": over_heads(real)}[mask_name]
    blocked = {
        "none": {},
        "causal": {"attn_mask": ~causal_mask(6, 6)},
        "padding": {"key_padding_mask": ~real},
    }[mask_name]
    recorder = Recorder(["weights"])
    found, _ = mine(x, mask, ctx=PassContext(recorder=recorder))
    expected, weights = theirs(x, x, x, average_attn_weights=False, **blocked)
    close(found, expected)
    close(mine(x, mask)[0], expected)
    close(recorder.tensors["weights"][0], weights)


def test_cross_attention() -> None:
    torch.manual_seed(0)
    mine, theirs = MultiHeadAttention(12, 4), nn.MultiheadAttention(12, 4, batch_first=True)
    _copy_attention(mine, theirs)
    x, source, real = torch.randn(4, 3, 12), torch.randn(4, 6, 12), torch.arange(6) < LENGTHS[:, None]
    expected, _ = theirs(x, source, source, key_padding_mask=~real)
    close(mine.attend_to(x, mine.project_keys_values(source), over_heads(real)), expected)


def test_values_of_another_width() -> None:
    """torch.nn has no such heads: head by head from the definition."""
    torch.manual_seed(0)
    attention, x = MultiHeadAttention(8, 2, value_width=6), torch.randn(2, 5, 8)
    nn.init.normal_(attention.bias)
    (query, key, value), biases = attention.weight.split([8, 8, 6]), attention.bias.split([8, 8, 6])
    contexts = []
    for head in range(2):
        wide, narrow = slice(4 * head, 4 * head + 4), slice(3 * head, 3 * head + 3)
        q, k = x @ query[wide].T + biases[0][wide], x @ key[wide].T + biases[1][wide]
        v = x @ value[narrow].T + biases[2][narrow]
        contexts.append(torch.softmax(q @ k.transpose(1, 2) / 2, -1) @ v)
    expected = torch.cat(contexts, -1) @ attention.output.weight.T
    close(attention(x, None)[0], expected)


def _pairs(mine: Block, theirs: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """This block's parameters beside those of torch.nn's layer."""
    sublayers = [("self_attention", "self_attn", "self_norm", "norm1")]
    last_norm = "norm2"
    if mine.cross_attention is not None:
        sublayers.append(("cross_attention", "multihead_attn", "cross_norm", "norm2"))
        last_norm = "norm3"
    for attention, their_attention, norm, their_norm in sublayers:
        ours, other = getattr(mine, attention), getattr(theirs, their_attention)
        yield from [(ours.weight, other.in_proj_weight), (ours.bias, other.in_proj_bias)]
        yield from zip(ours.output.parameters(), other.out_proj.parameters(), strict=True)
        yield from zip(getattr(mine, norm).parameters(), getattr(theirs, their_norm).parameters(), strict=True)
    feed_forward: Any = mine.feed_forward
    for module, other in (
        (feed_forward.inner, theirs.linear1),
        (feed_forward.outer, theirs.linear2),
        (mine.feed_forward_norm, getattr(theirs, last_norm)),
    ):
        yield from zip(module.parameters(), other.parameters(), strict=True)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("pre_norm", [False, True], ids=["post-norm", "pre-norm"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_transformer(pre_norm: bool, activation: Any) -> None:
    sizes = {"d_model": 12, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3, "d_ff": 20, "tied": "none"}
    model = make(TransformerSizes(**sizes, pre_norm=pre_norm, activation=activation))
    other = nn.Transformer(12, 3, 2, 3, 20, 0.0, activation, batch_first=True, norm_first=pre_norm)
    pairs = [
        pair
        for blocks, layers in ((model.encoder, other.encoder.layers), (model.decoder, other.decoder.layers))
        for block, layer in zip(blocks, layers, strict=True)
        for pair in _pairs(block, layer)
    ]
    if pre_norm:
        pairs += zip(model.encoder_norm.parameters(), other.encoder.norm.parameters(), strict=True)  # pyright: ignore
        pairs += zip(model.decoder_norm.parameters(), other.decoder.norm.parameters(), strict=True)  # pyright: ignore
    else:  # torch.nn normalises a post-norm stack once more; the paper does not
        other.encoder.norm = other.decoder.norm = None
    assert len(pairs) == len(list(other.parameters())) == len(list(model.parameters())) - 4
    for mine, theirs in pairs:
        theirs.data.copy_(mine.data)

    table = _sinusoids(6, 12)
    source = model.source_embedding[SOURCE] * 12**0.5 + table
    target = model.target_embedding[TARGET] * 12**0.5 + table[:5]
    expected = other(
        source,
        target,
        tgt_mask=~causal_mask(5, 5),
        src_key_padding_mask=~SOURCE_MASK,
        memory_key_padding_mask=~SOURCE_MASK,
    )
    features = model.features(SOURCE, SOURCE_MASK, TARGET)
    close(features, expected)
    close(model.project(features), expected @ model.output_weight.T + model.output_bias)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    embeddings = (model.source_embedding, model.target_embedding)
    their_gradients = torch.autograd.grad((expected * weights).sum(), [*embeddings, *(theirs for _, theirs in pairs)])
    gradients = torch.autograd.grad((features * weights).sum(), [*embeddings, *(mine for mine, _ in pairs)])
    torch.testing.assert_close(gradients, their_gradients, atol=1e-4, rtol=1e-4)


def _sinusoids(length: int, width: int) -> Tensor:
    """Vaswani et al. 2017, section 3.5, an entry at a time."""
    table = torch.zeros(length, width)
    for position in range(length):
        for i in range(width // 2):
            phase = torch.tensor(position / 10_000 ** (2 * i / width))
            table[position, 2 * i], table[position, 2 * i + 1] = phase.sin(), phase.cos()
    return table
