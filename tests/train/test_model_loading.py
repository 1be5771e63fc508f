"""Building a model for the weights of a file: nothing is drawn, and every way of drawing comes to an end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sightline.train.model_loading import load_model


class Filled(nn.Module):
    """A parameter whose memory holds what no draw would accept, then filled."""

    def __init__(self, fill: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((6, 6), float("inf")))
        fill(self.weight)


@pytest.mark.parametrize(
    "fill",
    [
        lambda tensor: nn.init.trunc_normal_(tensor, std=0.02),
        lambda tensor: nn.init.trunc_normal_(tensor, std=3.0, a=-0.1, b=0.1),
        nn.init.orthogonal_,
        nn.init.xavier_uniform_,
        nn.init.kaiming_normal_,
        lambda tensor: tensor.data.normal_(),
        lambda tensor: tensor.data.uniform_(),
    ],
    ids=["trunc_normal_", "narrow", "orthogonal_", "xavier_uniform_", "kaiming_normal_", "normal_", "uniform_"],
)
def test_every_way_of_drawing_ends_and_draws_nothing(fill: Callable[[Tensor], object]) -> None:
    weight, before = torch.arange(36.0).reshape(6, 6), torch.get_rng_state()
    model = load_model(lambda: Filled(fill), {"weight": weight}, "a file")
    assert model.weight.equal(weight)
    assert torch.get_rng_state().equal(before)
