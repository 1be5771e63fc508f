"""PyTorch's containers with the type of what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


class ModuleList(nn.ModuleList, Generic[M]):
    """`torch.nn.ModuleList` whose members are known to be of one class."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[M]: ...
