"""Attention: hand-worked energies, weights and contexts; masks; both paths of `attend`; heads."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.nn.attention import (
    Additive,
    Dot,
    General,
    KeyValues,
    MultiHeadAttention,
    ScaledDot,
    _use_fused,
    attend,
    attention_weights,
)
from sightline.nn.context import PassContext, Recorder
from sightline.nn.masks import causal_mask, over_heads
from support.model_cases import one_thread as one_thread

LN2, LN3 = math.log(2), math.log(3)  # tanh(ln 2) = 3/5, tanh(ln 3) = 4/5


def _energies(score: nn.Module, query: Tensor, keys: Tensor) -> Tensor:
    return score.energies(query, score.prepare(keys))  # pyright: ignore


def test_dot_is_the_inner_product() -> None:
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert torch.equal(
        _energies(Dot(), torch.tensor([[1.0, 2.0], [0.0, -1.0]]), keys), torch.tensor([[1, 2, 3.0], [0, -1, -1]])
    )


def test_scaled_dot_divides_by_the_root_of_the_key_width() -> None:
    keys = torch.tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 7.0, 0.0, 0.0]])
    energies = _energies(ScaledDot(), torch.tensor([[2.0, 0.0, 0.0, 0.0]]), keys)
    assert energies.tolist() == [[0.0, 1.0]]


def test_general_is_a_bilinear_form() -> None:
    score = General(query_width=2, key_width=3)
    score.key.weight.data = torch.tensor([[1.0, 2.0, 0.0], [3.0, 4.0, 10.0]])
    # W k = (1·1 - 2·1, 3·1 - 4·1 + 10·1) = (-1, 9); qᵀ W k = 2·(-1) + 1·9
    energies = _energies(score, torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, -1.0, 1.0]]))
    assert energies.tolist() == [[7.0]]


def test_additive_is_a_small_network() -> None:
    score = Additive(query_width=2, key_width=1, width=2)
    score.query.weight.data = torch.tensor([[LN2, 0.0], [0.0, LN3]])
    score.key.weight.data = torch.tensor([[LN2], [-LN3]])
    score.key.bias.data = torch.tensor([0.0, LN3])  # pyright: ignore
    score.energy.data = torch.tensor([1.0, 2.0])
    # q = (1, 0): key 0 → tanh(ln 2), tanh(ln 3); key 1 → tanh(2 ln 2) = 15/17, tanh(0)
    # q = (0, 0): key 0 → 0, tanh(ln 3); key 1 → tanh(ln 2), 0
    energies = _energies(score, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0], [1.0]]))
    expected = torch.tensor([[3 / 5 + 2 * 4 / 5, 15 / 17], [2 * 4 / 5, 3 / 5]])
    torch.testing.assert_close(energies, expected)


def _scores_with_energies_0_and_1() -> list[tuple[nn.Module, Tensor, Tensor]]:
    """Each score with a query and two keys whose energies are 0 and 1."""
    query, keys = torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 5.0, 0.0, 0.0], [1.0, 7.0, 0.0, 0.0]])
    general, additive = General(4, 4), Additive(4, 4, 1)
    general.key.weight.data = torch.eye(4)
    additive.query.weight.data.zero_()
    additive.key.weight.data = torch.tensor([[LN2, 0.0, 0.0, 0.0]])
    additive.energy.data = torch.tensor([5 / 3])
    return [(Dot(), query, keys), (ScaledDot(), 2 * query, keys), (general, query, keys), (additive, query, keys)]


@pytest.mark.parametrize("number", range(4), ids=["dot", "scaled_dot", "general", "additive"])
def test_weights_and_context_by_hand(number: int) -> None:
    score, query, keys = _scores_with_energies_0_and_1()[number]
    recorder = Recorder(["*"])
    values = torch.tensor([[1.0, 0.0, 10.0], [0.0, 1.0, 20.0]])
    context = attend(query, score.prepare(keys), values, score, ctx=PassContext(recorder=recorder))  # pyright: ignore
    weights = torch.tensor([[1.0, math.e]]) / (1 + math.e)
    torch.testing.assert_close(recorder.tensors["energies"][0], torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(recorder.tensors["weights"][0], weights)
    expected = torch.tensor([[1.0, math.e, 10 + 20 * math.e]]) / (1 + math.e)
    torch.testing.assert_close(recorder.tensors["context"][0], expected)
    torch.testing.assert_close(context, expected)


def test_masked_weights_by_hand() -> None:
    energies = torch.tensor([[0.0, 99.0, 1.0], [3.0, 4.0, 5.0], [2.0, 2.0, 2.0]])
    mask = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    expected = torch.tensor([[1 / (1 + math.e), 0, math.e / (1 + math.e)], [0, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(attention_weights(energies, mask), expected)
    assert (attention_weights(energies, mask)[~mask] == 0).all()


def test_causal_mask_is_aligned_at_the_bottom_right() -> None:
    assert causal_mask(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert causal_mask(3, 3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(1, 3).all()


def test_over_heads_broadcasts_over_heads_and_queries() -> None:
    assert over_heads(torch.ones(2, 5, dtype=torch.bool)).shape == (2, 1, 1, 5)


def _masks(batch: int, queries: int, keys: int) -> dict[str, Tensor | None]:
    generator = torch.Generator().manual_seed(3)
    some = torch.rand(batch, 1, queries, keys, generator=generator) < 0.5
    some[0, 0, 1] = False  # a query that may attend nothing
    real = torch.arange(keys) < torch.tensor([keys, 2])[:, None]
    return {"none": None, "real": over_heads(real), "causal": causal_mask(queries, keys), "some": some}


@pytest.mark.parametrize("mask_name", ["none", "real", "causal", "some"])
@pytest.mark.parametrize("queries", [5, 40], ids=["explicit", "fused"])
def test_attend_agrees_with_the_fused_kernel(mask_name: str, queries: int) -> None:
    """With 40 queries and no gradients `attend` itself is fused; recorded, it never is."""
    torch.manual_seed(0)
    query, keys, values = torch.randn(2, 3, queries, 8), torch.randn(2, 3, 40, 8), torch.randn(2, 3, 40, 6)
    mask = _masks(2, queries, 40)[mask_name]
    may = torch.ones(queries, 40, dtype=torch.bool) if mask is None else mask
    expected = F.scaled_dot_product_attention(query, keys, values, mask)
    expected = torch.where(may.any(-1, keepdim=True), expected, 0.0)
    recorder = Recorder(["weights"])
    recorded = attend(query, keys, values, ScaledDot(), mask, ctx=PassContext(recorder=recorder))
    with torch.no_grad():
        unrecorded = attend(query, keys, values, ScaledDot(), mask)
    torch.testing.assert_close(recorded, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(unrecorded, expected, atol=1e-6, rtol=1e-5)
    weights = recorder.tensors["weights"][0]
    torch.testing.assert_close(weights.sum(-1), may.any(-1).float().expand(2, 3, queries))
    assert (weights[(~may).expand_as(weights)] == 0).all()


def test_the_fused_kernel_is_for_devices_where_it_is_right() -> None:
    def query(device: str, positions: int, dimensions: int = 4) -> Any:
        shape = (1, 1, positions, 8)[-dimensions:]
        return SimpleNamespace(device=torch.device(device), shape=shape, dim=lambda: len(shape))

    assert not _use_fused(query("mps", 100))
    assert _use_fused(query("cuda", 1))
    assert not _use_fused(query("cuda", 1, dimensions=3))
    assert not _use_fused(query("cpu", 100))  # a backward pass may follow
    with torch.no_grad():
        assert _use_fused(query("cpu", 100))
        assert not _use_fused(query("cpu", 1))


@pytest.mark.parametrize("fused", [True, False])
def test_a_fully_masked_row_gives_zeros_and_finite_gradients(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.nn.attention._use_fused", lambda query: fused)
    query, keys, values = (torch.randn(1, 1, 3, 4, requires_grad=True) for _ in range(3))
    mask = torch.tensor([[True, True, False], [False, False, False], [False, False, True]])
    context = attend(query, keys, values, ScaledDot(), mask)
    assert context[0, 0, 1].tolist() == [0.0] * 4
    context.sum().backward()
    for tensor in (query, keys, values):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    assert query.grad is not None
    assert query.grad[0, 0, 1].tolist() == [0.0] * 4


def test_what_a_kernel_makes_of_a_fully_masked_row_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some give NaN, some the mean of the values."""

    def kernel(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float | None) -> Tensor:
        return torch.where(mask.any(-1, keepdim=True), values.mean(-2, keepdim=True), torch.nan)

    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    mask = torch.ones(40, 40, dtype=torch.bool)
    mask[7] = False
    with torch.no_grad():
        context = attend(*(torch.ones(1, 1, 40, 4) for _ in range(3)), ScaledDot(), mask)
    assert context[0, 0, :, 0].tolist() == [0.0 if query == 7 else 1.0 for query in range(40)]


@pytest.mark.parametrize(("dtype", "far"), [(torch.float32, 1e30), (torch.bfloat16, 1e30), (torch.float16, 1e4)])
def test_masking_survives_extreme_energies(dtype: torch.dtype, far: float) -> None:
    energies = torch.tensor([[-far, far, 0.0], [-far, -far, far]], dtype=dtype)
    weights = attention_weights(energies, torch.tensor([[True, False, False], [True, True, False]]))
    assert weights.tolist() == [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]


@pytest.mark.parametrize("kind", ["dot", "scaled_dot", "general", "additive"])
def test_gradients_in_float64(kind: str) -> None:
    torch.manual_seed(0)
    score: nn.Module = {
        "dot": Dot,
        "scaled_dot": ScaledDot,
        "general": lambda: General(3, 3),
        "additive": lambda: Additive(3, 3, 2),
    }[kind]().double()
    query, keys = (torch.randn(2, rows, 3, dtype=torch.float64, requires_grad=True) for rows in (2, 3))
    values = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(1)) < 0.6
    mask[1, 1] = False

    def run(query: Tensor, keys: Tensor, values: Tensor, *_: Tensor) -> Tensor:
        return attend(query, score.prepare(keys), values, score, mask)  # pyright: ignore

    assert torch.autograd.gradcheck(run, (query, keys, values, *score.parameters()))


def test_weights_are_recorded_before_dropout() -> None:
    recorder = Recorder(["weights"])
    ctx = PassContext(torch.Generator().manual_seed(0), recorder)
    query, values = torch.zeros(1, 1, 3, 4), torch.ones(1, 1, 8, 2)
    context = attend(query, torch.zeros(1, 1, 8, 4), values, ScaledDot(), dropout=0.5, ctx=ctx)
    assert (recorder.tensors["weights"][0] == 1 / 8).all()
    assert not (context == 1).all()
    kept = context * 4  # each kept weight of 1/8 counts double
    torch.testing.assert_close(kept, kept.round())


def test_memory_grows_and_is_reordered() -> None:
    first = KeyValues(torch.arange(4.0).view(2, 1, 1, 2), torch.arange(2.0).view(2, 1, 1, 1))
    both = first.append(first)
    assert both.keys.tolist() == [[[[0, 1], [0, 1]]], [[[2, 3], [2, 3]]]]
    assert both.values.shape == (2, 1, 2, 1)
    assert both.reorder(torch.tensor([1, 1, 0])).keys[:, 0, 0, 0].tolist() == [2, 2, 0]


@pytest.mark.parametrize(("heads", "values"), [(3, None), (2, 7)])
def test_head_counts_that_do_not_divide_are_refused(heads: int, values: int | None) -> None:
    with pytest.raises(ValueError, match=f"num_heads {heads} must divide"):
        MultiHeadAttention(8, heads, value_width=values)


def test_one_head_by_hand() -> None:
    """Identity projections and one head of width 4: two positions, the second attends to both."""
    attention = MultiHeadAttention(4, 1)
    attention.weight.data = torch.eye(4).repeat(3, 1)
    attention.output.weight.data = 10 * torch.eye(4)
    x = torch.tensor([[[0.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]]])
    output, keys_values = attention(x, causal_mask(2, 2))
    # query 2 · keys / √4: 0 and 2 → weights (1, e²) / (1 + e²)
    total = 1 + math.e**2
    expected = torch.tensor([[[0.0, 10.0, 0.0, 0.0], [20 * math.e**2 / total, 10 / total, 0.0, 0.0]]])
    torch.testing.assert_close(output, expected)
    assert torch.equal(keys_values.keys[:, 0], x)


def test_shared_keys_and_values_as_torch_has_them() -> None:
    """Two groups for four heads, of itself and of a source."""
    torch.manual_seed(0)
    attention = MultiHeadAttention(16, 4, num_kv_heads=2)
    x, source = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    query, key, value = torch.split(attention.weight, [16, 8, 8])
    biases = torch.split(attention.bias, [16, 8, 8])

    def expected(read: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        heads = [
            F.linear(one, weight, bias).unflatten(-1, (-1, 4)).transpose(1, 2)
            for one, weight, bias in zip((x, read, read), (query, key, value), biases, strict=True)
        ]
        context = F.scaled_dot_product_attention(*heads, attn_mask=mask, enable_gqa=True)  # pyright: ignore
        return attention.output(context.transpose(1, 2).flatten(2))

    causal = torch.ones(3, 3, dtype=torch.bool).tril()
    torch.testing.assert_close(attention(x, causal)[0], expected(x, causal))
    found = attention.attend_to(x, attention.project_keys_values(source), None)
    torch.testing.assert_close(found, expected(source, None))
