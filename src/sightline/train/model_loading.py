"""A model with the weights of a file: built without random numbers, and the file's tensors in place of its own."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from sightline.errors import CheckpointError
from sightline.train import storage

Model = TypeVar("Model", bound=nn.Module)

# What draws random numbers, by name: in-place fills of `torch.Tensor` and `torch.nn.init`, and makers of tensors.
_RANDOM_FILLS = frozenset(
    (
        "uniform_",
        "normal_",
        "trunc_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "orthogonal_",
    )
)
_RANDOM_TENSORS = (torch.randn, torch.rand)
_TENSORS = frozenset((*_RANDOM_TENSORS, torch.empty, torch.zeros, torch.ones, torch.full, torch.arange))
# Beside its weights a model may have tables, as of positions, of so many numbers.
_SPARE = 1 << 26


def load_model(build: Callable[[], Model], tensors: Mapping[str, Tensor], where: Path | str) -> Model:
    """The model that `build` makes, holding `tensors` themselves (no copies) as its parameters and persistent buffers.

    It is not initialised: no random number is drawn, and memory of the weights' size is never written. One that grows
    far beyond the tensors is given up at once.

    Raises CheckpointError where the tensors are not those of the model, or one holds nan or infinity.
    """
    with _no_more_than(tensors.values(), where):
        model = build()
    storage.require_fit(tensors, storage.persistent_tensors(model), where)
    storage.require_finite(tensors, where)
    _assign(model, tensors)
    return model


@torch.no_grad()
def _assign(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    made: dict[str, nn.Parameter] = {}
    for module in model.modules():
        for key, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            name = names[id(parameter)]
            # of the same class and the same where it stands twice, as tied embeddings do
            made.setdefault(name, type(parameter)(tensors[name].detach(), parameter.requires_grad))
            module.register_parameter(key, made[name])
    for name, buffer in model.named_buffers():
        if name in tensors:
            buffer.copy_(tensors[name])


@contextmanager
def _no_more_than(tensors: Iterable[Tensor], where: Path | str) -> Generator[None, None, None]:
    """Inside, a model that this thread builds is not initialised, and refused where it is much larger than `tensors`.

    A configuration may ask for a million layers, or for layers a million wide.
    """
    sizes = [tensor.numel() for tensor in tensors]
    # twice and a little: a parameter may be replaced while the model is built
    most, most_numbers = 2 * len(sizes) + 100, 2 * sum(sizes) + 1_000_000
    thread, seen, numbers = threading.get_ident(), dict[int, nn.Parameter](), 0
    problem = CheckpointError(
        f"{where}: has {sum(sizes):,} numbers in {len(sizes):,} tensors, and the model of the configuration more; "
        "the checkpoint belongs to another model"
    )

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers
        if threading.get_ident() != thread or parameter is None or id(parameter) in seen:
            return
        seen[id(parameter)] = parameter
        numbers += parameter.numel()
        if len(seen) > most or numbers > most_numbers:
            raise problem

    hook = register_module_parameter_registration_hook(count)
    try:
        with _Uninitialised(most_numbers + _SPARE, problem):
            yield
    finally:
        hook.remove()


class _Uninitialised(TorchFunctionMode):
    """Inside, what would draw random numbers leaves memory as it is; no tensor of more than `most` numbers is made."""

    def __init__(self, most: int, problem: CheckpointError) -> None:
        super().__init__()
        self._most, self._problem = most, problem

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        options = dict(kwargs or {})
        if func in _TENSORS and _numbers(args) > self._most:
            raise self._problem
        if func in _RANDOM_TENSORS:
            options.pop("generator", None)
            return torch.empty(*args, **options)  # pyright: ignore
        if getattr(func, "__name__", "") in _RANDOM_FILLS:
            tensor = args[0] if args else options["tensor"]
            # What draws until its numbers are in range, as `nn.init.trunc_normal_`, must find some that are.
            if isinstance(tensor, Tensor) and (func is Tensor.normal_ or (func is Tensor.uniform_ and len(args) == 1)):
                return tensor.detach().zero_()
            return tensor
        return func(*args, **options)


def _numbers(sizes: Iterable[object]) -> int:
    """How many numbers a tensor of these sizes, or of the sizes in a sequence, has."""
    flat: list[object] = []
    for size in sizes:
        flat += cast("Sequence[object]", size) if isinstance(size, tuple | list) else [size]
    return math.prod(one for one in flat if isinstance(one, int))
