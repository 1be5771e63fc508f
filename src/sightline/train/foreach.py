"""PyTorch's operations on lists of tensors, of which its own optimizers are built: private only in name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

Tensors = list[Tensor]

_torch = cast("Any", torch)
add_ = cast("Callable[[Tensors, Tensors], None]", _torch._foreach_add_)
copy_ = cast("Callable[[Tensors, Tensors], None]", _torch._foreach_copy_)
lerp_ = cast("Callable[[Tensors, Tensors, float], None]", _torch._foreach_lerp_)
mul_ = cast("Callable[[Tensors, Tensor], None]", _torch._foreach_mul_)
norm = cast("Callable[[Tensors], Tensors]", _torch._foreach_norm)
