"""Averages of weights: a moving one during training, and that of the last checkpoints."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from sightline.errors import CheckpointError
from sightline.train import foreach, storage


class MovingAverage:
    """An exponential moving average of weights (Polyak & Juditsky 1992 in the form of Tan & Le 2019), in fp32.

    After update n the average moves by 1 - min(decay, (1 + n) / (10 + n)) of the way to the weights, so that the
    first weights, which are random, are soon forgotten.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor], update: int) -> None:
        """Takes in the weights after an update, counted from 1."""
        decay = min(self.decay, (1 + update) / (10 + update))
        foreach.lerp_(list(self.tensors.values()), [weights[name] for name in self.tensors], 1.0 - decay)


@contextmanager
def swap_weights(weights: Mapping[str, Tensor], model: torch.nn.Module) -> Generator[None, None, None]:
    """Inside, the model's parameters of these names hold `weights`, rounded to the parameters' dtype."""
    parameters = dict(model.named_parameters())
    own = {name: parameters[name].detach().clone() for name in weights}
    with torch.no_grad():
        for name, tensor in weights.items():
            parameters[name].copy_(tensor)
        try:
            yield
        finally:
            for name, tensor in own.items():
                parameters[name].copy_(tensor)


def average_files(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the tensors of several safetensors files, each in its own dtype, summed in fp64.

    One tensor of one file is in memory at a time, beside the result. Tensors of whole numbers, which have no mean,
    are those of the last file.

    Raises:
        CheckpointError: where a file is damaged or its tensors are not those of the first.
    """
    if not paths:
        raise CheckpointError("average: there are no checkpoints to average; save some first")
    with_names = [storage.tensor_names(path) for path in paths]
    for path, names in zip(paths, with_names, strict=True):
        if names != with_names[0]:
            raise CheckpointError(f"{path}: its tensors are not those of {paths[0]}; average checkpoints of one run")
    return {name: _mean([(path, name) for path in paths]) for name in sorted(with_names[0])}


def _mean(places: Sequence[tuple[Path, str]]) -> Tensor:
    (first_path, first_name), *others = places
    last = storage.read_tensors(first_path, [first_name])[first_name]
    total = last.double()
    for path, name in others:
        last = storage.read_tensors(path, [name])[name]
        if total.shape != last.shape:
            raise CheckpointError(
                f"{path}: {name} is {list(last.shape)}, not {list(total.shape)}; average checkpoints of one run"
            )
        total += last
    return (total / len(places)).to(last.dtype) if last.is_floating_point() else last
