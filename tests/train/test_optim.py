"""AdamW and SGD over masters: against the equations in fp64, against torch, and bf16 against fp32."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sightline.errors import CheckpointError
from sightline.models.bert import BertForPretraining, BertSizes
from sightline.models.classifier import GPTClassifier, Tuning
from sightline.models.gpt import GPT, GPTSizes
from sightline.models.seq2seq import Seq2Seq, Seq2SeqSizes
from sightline.models.vit import ViT, ViTSizes
from sightline.nn.tables import LookupTable
from sightline.train.optim import MasterOptimizer, matrices


class Mixed(nn.Module):
    """A matrix, a bias, an embedding, and a norm that stays fp32 when the rest becomes bf16."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.target_embedding = LookupTable((torch.randn(9, 6, generator=generator)).to(dtype))
        self.weight = nn.Parameter((torch.randn(5, 6, generator=generator) * 0.5).to(dtype))
        self.bias = nn.Parameter(torch.zeros(5, dtype=dtype))
        self.norm = nn.LayerNorm(5)
        self.unused = nn.Parameter(torch.ones(2, 2, dtype=dtype))

    def forward(self, tokens_N: Tensor) -> Tensor:
        hidden = self.target_embedding[tokens_N] @ self.weight.t() + self.bias
        return self.norm(hidden.float()).square().sum() + hidden.float().sum()


def gradients(model: nn.Module, optimizer: MasterOptimizer, tokens: Tensor, clip: float = 0.0) -> float:
    model(tokens).backward()
    optimizer.collect_gradients()
    return float(optimizer.scale_and_clip(1.0, clip))


def test_two_steps_by_the_equations() -> None:
    """Loshchilov & Hutter 2019, algorithm 2, lines 6 to 12, for one weight."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(2.0)
    optimizer = MasterOptimizer(model, betas=(0.8, 0.9), eps=0.01, weight_decay=0.1)
    theta, m, v = 2.0, 0.0, 0.0
    for t, (gradient, rate) in enumerate([(0.5, 0.1), (-0.25, 0.2)], 1):
        model(torch.tensor([[gradient]])).sum().backward()
        optimizer.collect_gradients()
        assert float(optimizer.scale_and_clip(1.0, 0.0)) == pytest.approx(abs(gradient))
        optimizer.step(rate)
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        theta -= rate * 0.1 * theta + rate * (m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.9**t)) + 0.01)
        assert model.weight.item() == pytest.approx(theta, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_steps_along_the_gradient(dtype: torch.dtype) -> None:
    model = nn.Linear(1, 1, bias=False).to(dtype)
    with torch.no_grad():
        model.weight.fill_(2.0)
    optimizer, theta = MasterOptimizer(model, rule="sgd", weight_decay=0.1), 2.0
    for gradient, rate in [(0.5, 0.1), (-0.25, 20.0)]:
        model(torch.tensor([[gradient]], dtype=dtype)).sum().backward()
        optimizer.collect_gradients()
        optimizer.step(rate)
        theta -= rate * (gradient + 0.1 * theta)
        assert optimizer.masters["weight"].item() == pytest.approx(theta, rel=1e-6)
        assert model.weight.item() == pytest.approx(theta, rel=4e-3)
    assert optimizer.state_dict() == {}
    optimizer.load_state_dict({})
    with pytest.raises(CheckpointError, match="exp_avg/weight does not fit"):
        optimizer.load_state_dict({"exp_avg/weight": torch.zeros(1, 1)})


def test_which_parameters_decay() -> None:
    assert matrices(Mixed()) == {"weight", "unused"}
    assert matrices(Mixed(torch.bfloat16)) == {"weight", "unused"}
    assert matrices(copy.deepcopy(Mixed()).bfloat16()) == {"weight", "unused"}
    # PyTorch's own table
    assert matrices(nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2))) == {"1.weight"}


def sizes(kind: str) -> dict[str, Any]:
    return {"kind": kind, "d_model": 8, "num_layers": 1, "num_heads": 2, "d_ff": 8}


@pytest.mark.parametrize(
    ("model", "tables"),
    [
        (lambda: GPT(9, GPTSizes(**sizes("gpt"))), {"embedding", "positions.table"}),
        (
            lambda: BertForPretraining(9, BertSizes(**sizes("bert"))),
            {"bert.embedding", "bert.segments", "bert.positions.table"},
        ),
        (lambda: ViT(ViTSizes(**sizes("vit"), positions="learned"), 3), {"positions"}),
        (
            lambda: GPTClassifier(9, GPTSizes(**sizes("gpt")), 2, Tuning()),
            {"body.embedding", "body.positions.table", "special"},
        ),
        (
            lambda: Seq2Seq(9, 9, Seq2SeqSizes(width=8, embedding_width=8, tied="none")),
            {"source_embedding", "target_embedding"},
        ),
    ],
    ids=["gpt", "bert", "vit", "classifier", "seq2seq"],
)
def test_tables_that_are_looked_up_do_not_decay(model: Callable[[], nn.Module], tables: set[str]) -> None:
    """All else of two dimensions does: segments and special tokens were taken for matrices once."""
    made = model()
    assert {name for name, one in made.named_parameters() if one.ndim >= 2} - matrices(made) == tables


def test_decay_alone_moves_only_what_decays() -> None:
    model = Mixed()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = MasterOptimizer(model, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.collect_gradients()
    optimizer.step(0.1)
    for name, parameter in model.named_parameters():
        factor = 0.95 if name in ("weight", "unused") else 1.0
        torch.testing.assert_close(parameter, before[name] * factor)


def test_clipping_by_hand() -> None:
    model = nn.Linear(2, 1, bias=False)
    optimizer = MasterOptimizer(model)
    model.weight.grad = torch.tensor([[6.0, 8.0]])
    optimizer.collect_gradients()
    assert float(optimizer.scale_and_clip(0.5, 1.0)) == pytest.approx(5.0)
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.8]]))
    assert float(optimizer.scale_and_clip(0.5, 1.0)) == pytest.approx(0.5)  # short enough: only scaled
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.3, 0.4]]))


def test_a_bf16_model_has_masters_and_its_norms_are_their_own() -> None:
    model = Mixed(torch.bfloat16)
    optimizer = MasterOptimizer(model)
    assert all(master.dtype == torch.float32 for master in optimizer.masters.values())
    assert optimizer.masters["norm.weight"].data_ptr() == model.norm.weight.data_ptr()
    before = optimizer.masters["weight"].clone()
    gradients(model, optimizer, torch.tensor([1, 2]))
    assert model.weight.grad is None  # moved up
    optimizer.step(1e-6)  # far below what bf16 can hold
    moved = optimizer.masters["weight"]
    assert not torch.equal(moved, before)
    assert torch.equal(model.weight, moved.bfloat16())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bf16_gradients_are_summed_in_fp32() -> None:
    """In bf16, 256 + 1 is 256: summing there would lose every one of the small gradients."""
    model = nn.Linear(1, 1, bias=False).bfloat16()
    optimizer = MasterOptimizer(model)
    for gradient in [256.0, *[1.0] * 8]:
        model.weight.grad = torch.full((1, 1), gradient, dtype=torch.bfloat16)
        optimizer.collect_gradients()
    assert float(optimizer.scale_and_clip(1.0, 0.0)) == 264.0


def test_bf16_converges_like_fp32() -> None:
    """2,000 updates at a rate of which bf16 weights alone would lose every step."""

    def final_loss(dtype: torch.dtype, masters: bool) -> float:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(64, 16, generator=generator)
        y = torch.tanh(x @ torch.randn(16, 4, generator=generator))
        model = nn.Linear(16, 4)
        with torch.no_grad():
            model.weight.copy_(torch.randn(4, 16, generator=generator))
            model.bias.zero_()
        model.to(dtype)
        plain = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0)
        optimizer = MasterOptimizer(model)
        for _ in range(2000):
            (model(x.to(dtype)).float() - y).square().mean().backward()
            if masters:
                optimizer.collect_gradients()
                optimizer.step(3e-4)
            else:
                plain.step()
                plain.zero_grad()
        weight, bias = model.weight.detach().float(), model.bias.detach().float()
        if masters:
            weight, bias = optimizer.masters["weight"], optimizer.masters["bias"]
        return float((x @ weight.t() + bias - y).square().mean())

    exact, mixed, rounded = (
        final_loss(torch.float32, True),
        final_loss(torch.bfloat16, True),
        final_loss(torch.bfloat16, False),
    )
    assert exact == pytest.approx(final_loss(torch.float32, False), rel=1e-3)  # torch's own AdamW
    assert mixed == pytest.approx(exact, rel=0.02)
    assert rounded > 1.5 * exact  # what the masters are for


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_goes_out_and_in_without_a_trace(dtype: torch.dtype) -> None:
    def steps(model: Mixed, optimizer: MasterOptimizer, numbers: range) -> None:
        for number in numbers:
            gradients(model, optimizer, torch.tensor([number % 9, 3]), clip=1.0)
            optimizer.step(0.01)

    whole = Mixed(dtype)
    whole_optimizer = MasterOptimizer(whole, weight_decay=0.1)
    steps(whole, whole_optimizer, range(6))

    first = Mixed(dtype)
    first_optimizer = MasterOptimizer(first, weight_decay=0.1)
    steps(first, first_optimizer, range(3))
    state = {name: tensor.clone() for name, tensor in first_optimizer.state_dict().items()}
    masters = {name: tensor.clone() for name, tensor in first_optimizer.masters.items()}
    assert "exp_avg/unused" not in state  # never had a gradient

    second = Mixed(dtype)
    second_optimizer = MasterOptimizer(second, weight_decay=0.1)
    with torch.no_grad():
        for name, tensor in second_optimizer.masters.items():
            tensor.copy_(masters[name])
    second_optimizer.copy_masters_to_parameters()
    second_optimizer.load_state_dict(state)
    steps(second, second_optimizer, range(3, 6))
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, second.get_parameter(name)), name
        assert torch.equal(whole_optimizer.masters[name], second_optimizer.masters[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("exp_avg/weight"), "exp_avg/weight does not fit"),
        (
            lambda state: state.update({f"{m}/other": torch.zeros(()) for m in ("exp_avg", "exp_avg_sq", "step")}),
            "other",
        ),
        (lambda state: state.update({"exp_avg/weight": torch.zeros(2)}), r"exp_avg/weight is torch.float32 \[2\]"),
        (lambda state: state.update({"step/bias": torch.zeros((), dtype=torch.int64)}), "step/bias is torch.int64"),
    ],
)
def test_the_state_of_another_model_is_refused(change, message: str) -> None:
    model = Mixed()
    optimizer = MasterOptimizer(model)
    gradients(model, optimizer, torch.tensor([1]))
    optimizer.step(0.1)
    state = optimizer.state_dict()
    change(state)
    with pytest.raises(CheckpointError, match=message):
        optimizer.load_state_dict(state, "here")
