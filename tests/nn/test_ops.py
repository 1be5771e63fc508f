"""Linear maps through both libraries, dropout's statistics, and the chunked cross-entropy."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.nn import ops
from sightline.nn.ops import Linear, dropout, linear, linear_cross_entropy
from support.model_cases import one_thread as one_thread


@pytest.fixture(params=["this machine's", "oneDNN", "F.linear"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way a product may go, whatever processor the tests run on."""
    if request.param == "oneDNN" and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this build of PyTorch has no oneDNN")
    if request.param != "this machine's":
        monkeypatch.setattr(ops, "_onednn_beats_mkl", lambda: request.param == "oneDNN")
    return request.param


SHAPES = [(5,), (1,), (3, 4), (2, 3, 2), (0,), (3, 0)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_its_gradients(shape: tuple[int, ...], bias: bool, path: str) -> None:
    torch.manual_seed(0)
    x, weight, shift = torch.randn(*shape, 6), torch.randn(4, 6), torch.randn(4) if bias else None
    upstream = torch.randn(*shape, 4)
    results = []
    for function in (linear, F.linear):
        leaves = [leaf if leaf is None else leaf.clone().requires_grad_() for leaf in (x, weight, shift)]
        y = function(*leaves)  # pyright: ignore
        (y * upstream).sum().backward()
        results.append((y, [leaf.grad for leaf in leaves if leaf is not None]))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


Views = dict[str, Callable[[Tensor], Tensor]]
VIEWS: Views = {
    "transposed": lambda x: x.transpose(0, 1),
    "sliced": lambda x: x[..., 1:4],
    "strided": lambda x: x[:, ::2],
    "one row": lambda x: x[0, 0],
    "expanded": lambda x: x[:1].expand(3, -1, -1),
}


@pytest.mark.parametrize("view", list(VIEWS))
def test_linear_of_views_with_an_expanded_upstream(view: str, path: str) -> None:
    torch.manual_seed(0)
    base = torch.randn(3, 4, 6)
    weight = torch.randn(8, VIEWS[view](base).shape[-1])
    results = []
    for function in (linear, F.linear):
        leaf, matrix = base.clone().requires_grad_(), weight.clone().requires_grad_()
        y = function(VIEWS[view](leaf), matrix[2:7], torch.ones(8)[2:7])
        y.sum().backward()  # the gradient that comes in is one number, expanded
        results.append((y, leaf.grad, matrix.grad))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


def test_linear_makes_only_the_gradients_that_are_needed(path: str) -> None:
    x, weight = torch.randn(3, 4), torch.randn(2, 4, requires_grad=True)
    linear(x, weight).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(weight.grad, x.sum(0).expand(2, 4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_pass_through(dtype: torch.dtype, path: str) -> None:
    x, weight = torch.randn(3, 4, dtype=dtype), torch.randn(2, 4, dtype=dtype)
    assert torch.equal(linear(x, weight), F.linear(x, weight))


def test_a_linear_map_starts_xavier_uniform() -> None:
    torch.manual_seed(0)
    layer = Linear(300, 200)
    bound = math.sqrt(6 / 500)
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert layer.bias is not None
    assert not layer.bias.any()
    assert Linear(3, 2, bias=False).bias is None


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_dropout_statistics(rate: float) -> None:
    count, dropped = 200_000, round(rate * 256) / 256
    y = dropout(torch.full((count,), 2.0), rate, torch.Generator().manual_seed(0))
    assert dropped == pytest.approx(rate, abs=1 / 512)
    deviation = math.sqrt(dropped * (1 - dropped) / count)
    assert (y == 0).float().mean().item() == pytest.approx(dropped, abs=5 * deviation)
    torch.testing.assert_close(y[y != 0].unique(), torch.tensor([2 / (1 - dropped)]))
    assert y.mean().item() == pytest.approx(2, abs=5 * 2 * deviation / (1 - dropped))
    neighbours = (y[1:] == 0) & (y[:-1] == 0)  # draws do not hang together
    assert neighbours.float().mean().item() == pytest.approx(dropped**2, abs=0.01)


@pytest.mark.parametrize("rate", [1e-6, 1 - 1e-6])
def test_dropout_at_the_edges_neither_keeps_nor_drops_all(rate: float) -> None:
    y = dropout(torch.ones(100_000), rate, torch.Generator().manual_seed(0))
    assert y.isfinite().all()
    assert 0 < (y == 0).sum() < len(y)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5, 2), (0, 4)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dropout_keeps_shape_and_type_and_scales_the_gradient(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.ones(shape, dtype=dtype, requires_grad=True)
    y = dropout(x, 0.5, torch.Generator().manual_seed(0))
    y.sum().backward()
    assert (y.shape, y.dtype) == (x.shape, dtype)
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_dropout_repeats_with_its_seed() -> None:
    x = torch.ones(1000)
    first, second, other = (dropout(x, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_smoothed_cross_entropy_by_hand() -> None:
    """Logits (0, ln 2, ln 5) are probabilities (1, 2, 5) / 8; logits 0 are a third each."""
    hidden = torch.tensor([[0.0, math.log(2), math.log(5)], [0.0, 0.0, 0.0]], requires_grad=True)
    target = torch.tensor([2, 0])
    loss, nll = linear_cross_entropy(hidden, torch.eye(3), None, target, 0.3)
    assert nll.item() == pytest.approx(math.log(8 / 5) + math.log(3))
    spread = (math.log(8) + math.log(4) + math.log(8 / 5)) / 3
    assert loss.item() == pytest.approx(0.7 * math.log(8 / 5) + 0.3 * spread + math.log(3), rel=1e-6)
    loss.backward()
    expected = torch.tensor([[1 / 8 - 0.1, 2 / 8 - 0.1, 5 / 8 - 0.8], [1 / 3 - 0.8, 1 / 3 - 0.1, 1 / 3 - 0.1]])
    torch.testing.assert_close(hidden.grad, expected)


CHUNKS = [(1, 1), (30, 30), (30, 70), (20, 50), (10**6, 10**6)]


@pytest.mark.parametrize(
    ("chunks", "bias", "smoothing"), list(itertools.product(CHUNKS, [True, False], [0.0, 0.1])), ids=str
)
def test_cross_entropy_agrees_with_the_stock_one_at_every_chunk_boundary(
    chunks: tuple[int, int], bias: bool, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stock one in float64 on all logits at once; 10 tokens of vocabulary, so 1 to 7 rows a chunk, or all 13."""
    monkeypatch.setattr(ops, "_SMALL_CHUNK", chunks[0])
    monkeypatch.setattr(ops, "_LARGE_CHUNK", chunks[1])
    monkeypatch.setattr(ops, "_LARGE_ROWS", 1)
    torch.manual_seed(0)
    hidden, weight, shift = torch.randn(13, 6), torch.randn(10, 6), torch.randn(10) if bias else None
    target = torch.randint(10, (13,))
    ours = [leaf if leaf is None else leaf.clone().requires_grad_() for leaf in (hidden, weight, shift)]
    theirs = [leaf if leaf is None else leaf.double().requires_grad_() for leaf in (hidden, weight, shift)]
    loss, nll = linear_cross_entropy(*ours, target, smoothing)  # pyright: ignore
    logits = F.linear(*theirs)  # pyright: ignore
    expected = F.cross_entropy(logits, target, reduction="sum", label_smoothing=smoothing)
    (loss * 3).backward()
    (expected * 3).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert nll.item() == pytest.approx(F.cross_entropy(logits, target, reduction="sum").item(), rel=1e-5)
    assert not nll.requires_grad
    for mine, other in zip(ours, theirs, strict=True):
        if mine is not None and other is not None and other.grad is not None:
            torch.testing.assert_close(mine.grad, other.grad.float(), atol=1e-5, rtol=1e-5)


def test_cross_entropy_of_extreme_logits_is_finite() -> None:
    hidden = torch.tensor([[1e4, -1e4, 0.0], [0.0, 500.0, -500.0]], requires_grad=True)
    loss, nll = linear_cross_entropy(hidden, torch.eye(3), None, torch.tensor([1, 2]), 0.1)
    loss.backward()
    assert nll.item() == pytest.approx(2e4 + 1e3)
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def test_cross_entropy_in_bf16_is_near() -> None:
    torch.manual_seed(0)
    hidden, weight, target = torch.randn(50, 16), torch.randn(40, 16) / 4, torch.randint(40, (50,))
    expected = linear_cross_entropy(hidden, weight, None, target, 0.1)[0]
    leaf = hidden.bfloat16().requires_grad_()
    loss = linear_cross_entropy(leaf, weight.bfloat16(), None, target, 0.1)[0]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=0.01)
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.bfloat16


def test_no_rows_lose_nothing() -> None:
    weight = torch.randn(3, 4, requires_grad=True)
    loss, _ = linear_cross_entropy(torch.zeros(0, 4), weight, None, torch.zeros(0, dtype=torch.long), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert weight.grad is not None
    assert not weight.grad.any()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_evaluation_makes_no_gradients(context: Callable[[], torch.no_grad], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a product for a gradient")

    weight, hidden, targets = torch.randn(3, 4, requires_grad=True), torch.randn(2, 4), torch.tensor([0, 1])
    monkeypatch.setattr(torch.Tensor, "__matmul__", refuse)
    with context():
        loss, _ = linear_cross_entropy(hidden, weight, torch.zeros(3), targets)
    assert not loss.requires_grad
    with pytest.raises(AssertionError, match="for a gradient"):  # which training does make
        linear_cross_entropy(hidden, weight, torch.zeros(3), targets)


@pytest.mark.parametrize("consistency", [0.5, 5.0])
def test_consistency_of_two_passes(consistency: float) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(2, 7, 5, requires_grad=True)
    weight, bias = torch.randn(11, 5, requires_grad=True), torch.randn(11, requires_grad=True)
    target = torch.randint(11, (7,))
    log_p, log_q = torch.log_softmax(hidden @ weight.t() + bias, -1)
    both = torch.cat([log_p, log_q])
    plain = F.cross_entropy(both, target.repeat(2), reduction="sum", label_smoothing=0.1)
    divergence = F.kl_div(log_p, log_q, log_target=True, reduction="sum")
    divergence = divergence + F.kl_div(log_q, log_p, log_target=True, reduction="sum")
    expected = plain + consistency / 2 * divergence
    expected_grads = torch.autograd.grad(expected, [hidden, weight, bias])
    loss, nll = linear_cross_entropy(hidden, weight, bias, target, 0.1, consistency)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(nll, F.nll_loss(both, target.repeat(2), reduction="sum"))
    torch.testing.assert_close(torch.autograd.grad(loss, [hidden, weight, bias]), expected_grads)


def test_linear_takes_views_whose_elements_overlap() -> None:
    """Sliding windows of one row, and gradients that are one number everywhere."""
    torch.manual_seed(0)
    text = torch.randn(1, 9, 4, requires_grad=True)
    weight, bias = torch.randn(3, 12, requires_grad=True), torch.randn(3, requires_grad=True)

    def gradients(function: Callable) -> tuple[Tensor, ...]:
        windows = text.unfold(1, 3, 1).transpose(2, 3).flatten(2)
        return torch.autograd.grad(function(windows, weight, bias).sum(), (text, weight, bias))

    for one, other in zip(gradients(linear), gradients(F.linear), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
