"""A model with the weights of a file: built without random numbers, and the file's tensors in place of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from sightline.errors import CheckpointError
from sightline.train import storage

Model = TypeVar("Model", bound=nn.Module)

# In-place fills of `torch.Tensor` and `torch.nn.init` that draw random numbers, by name.
_RANDOM_FILLS = frozenset(
    ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_")
)


def load_model(build: Callable[[], Model], tensors: Mapping[str, Tensor], where: Path | str) -> Model:
    """The model that `build` makes, holding `tensors` themselves (no copies) as its parameters and persistent buffers.

    The names, shapes and dtypes are compared first, with a model that has no storage. Neither is initialised: no random
    number is drawn, and memory of the weights' size is never written.

    Raises CheckpointError where the tensors are not those of the model.
    """
    with torch.device("meta"), _no_more_than(tensors.values(), where):
        expected = named_tensors(build())
    storage.require_fit(tensors, expected, where)
    with _NoRandomFills():
        model = build()
    _assign(model, tensors)
    return model


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, those of several names once."""
    names = model.state_dict(keep_vars=True).keys()
    return {
        **dict(model.named_parameters()),
        **{name: buffer for name, buffer in model.named_buffers() if name in names},
    }


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
def _no_more_than(tensors: Iterable[Tensor], where: Path | str) -> Iterator[None]:
    """Inside, a model of this thread that grows far beyond the tensors there are is given up at once.

    A configuration may ask for a million layers, or for layers a million wide.
    """
    sizes = [tensor.numel() for tensor in tensors]
    # twice and a little: a parameter may be replaced while the model is built
    most, most_numbers = 2 * len(sizes) + 100, 2 * sum(sizes) + 1_000_000
    thread, seen = threading.get_ident(), dict[int, nn.Parameter]()
    numbers = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers
        if threading.get_ident() != thread or parameter is None or id(parameter) in seen:
            return
        seen[id(parameter)] = parameter
        numbers += parameter.numel()
        if len(seen) > most or numbers > most_numbers:
            raise CheckpointError(
                f"{where}: has {sum(sizes):,} numbers in {len(sizes):,} tensors, and the model of the configuration "
                "more; the checkpoint belongs to another model"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


class _NoRandomFills(TorchFunctionMode):
    """Inside, what would fill a tensor with random numbers leaves it as it is."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if getattr(func, "__name__", "") in _RANDOM_FILLS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
