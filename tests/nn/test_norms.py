"""Layer, RMS and batch norm by hand; batch norm's padding and running statistics."""

import math

import pytest
import torch

from sightline.nn.context import PassContext
from sightline.nn.norms import EPSILON, NORMS, BatchNorm, LayerNorm, RMSNorm
from support.model_cases import one_thread as one_thread


def _training() -> PassContext:
    return PassContext(torch.Generator().manual_seed(0))


def test_layer_norm_by_hand() -> None:
    norm = LayerNorm(4)
    norm.weight.data, norm.bias.data = torch.tensor([1.0, 2.0, 1.0, 1.0]), torch.tensor([0.0, 0.0, 0.0, 5.0])
    # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    scale = 1 / math.sqrt(5 + EPSILON)
    expected = torch.tensor([[[-3 * scale, -2 * scale, scale, 5 + 3 * scale]]])
    torch.testing.assert_close(norm(torch.tensor([[[1.0, 3.0, 5.0, 7.0]]])), expected)


def test_rms_norm_by_hand() -> None:
    norm = RMSNorm(2)
    norm.weight.data = torch.tensor([1.0, 10.0])
    scale = 1 / math.sqrt(12.5 + EPSILON)  # (9 + 16) / 2
    torch.testing.assert_close(norm(torch.tensor([[[3.0, -4.0]]])), torch.tensor([[[3 * scale, -40 * scale]]]))


def test_batch_norm_by_hand_ignores_padding() -> None:
    norm = BatchNorm(2)
    norm.weight.data, norm.bias.data = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])
    x = torch.tensor([[[1.0, 10.0], [3.0, 10.0]], [[8.0, 40.0], [99.0, -99.0]]])
    real = torch.tensor([[True, True], [True, False]])
    # real values 1, 3, 8: mean 4, variance 26 / 3; and 10, 10, 40: mean 20, variance 200
    first, second = 1 / math.sqrt(26 / 3 + EPSILON), 3 / math.sqrt(200 + EPSILON)
    expected = torch.tensor([[-3 * first, 1 - 10 * second], [-first, 1 - 10 * second], [4 * first, 1 + 20 * second]])
    torch.testing.assert_close(norm(x, real, _training())[real], expected)
    torch.testing.assert_close(norm.running_mean, torch.tensor([0.4, 2.0]))
    torch.testing.assert_close(norm.running_var, torch.tensor([0.9 + 2.6 / 3, 20.9]))


def test_batch_norm_freezes_its_statistics_outside_training() -> None:
    norm = BatchNorm(2)
    norm.running_mean, norm.running_var = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0])
    x = torch.tensor([[[3.0, 5.0], [1.0, 2.0]]])
    expected = torch.tensor([[[2 / math.sqrt(4 + EPSILON), 3 / math.sqrt(9 + EPSILON)], [0.0, 0.0]]])
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(norm(x[:, :1]), expected[:, :1])
    assert norm.running_mean.tolist() == [1, 2]
    assert norm.running_var.tolist() == [4, 9]


def test_batch_norm_agrees_with_torch_without_padding() -> None:
    torch.manual_seed(0)
    norm, other = BatchNorm(5), torch.nn.BatchNorm1d(5)
    torch.nn.init.normal_(norm.weight)
    other.load_state_dict(norm.state_dict(), strict=False)
    x = (3 * torch.randn(4, 6, 5) + 1).requires_grad_()
    other_x = x.detach().clone().requires_grad_()
    ours, theirs = norm(x, None, _training()), other(other_x.flatten(0, 1)).view(4, 6, 5)
    (ours**3).sum().backward()
    (theirs**3).sum().backward()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, other_x.grad, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(norm.running_mean, other.running_mean)


@pytest.mark.parametrize("kind", list(NORMS))
def test_norms_keep_the_type_and_scale_of_bf16(kind: str) -> None:
    torch.manual_seed(0)
    x, norm = torch.randn(8, 4, 16) * 5 + 1, NORMS[kind](16)
    expected = norm(x, None, _training())
    small = NORMS[kind](16).bfloat16()(x.bfloat16(), None, _training())
    assert small.dtype == torch.bfloat16
    torch.testing.assert_close(small.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_positions_are_normalised_apart(kind: str) -> None:
    x, norm = torch.randn(3, 4, 8), NORMS[kind](8)
    torch.testing.assert_close(norm(x, None, _training())[1:2, 2:3], norm(x[1:2, 2:3]))
