"""What accompanies one forward pass: the randomness of dropout and the record of named internals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from sightline.nn.ops import dropout


@dataclass(frozen=True)
class Recorder:
    """Collects tensors whose dotted name matches one of `patterns` (shell wildcards).

    `tensors[name]` is the list of what was recorded under that name, in the order of recording: one entry for
    a full pass, one per step for a decoder that runs step by step.
    """

    patterns: Sequence[str]
    tensors: dict[str, list[Tensor]] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def put(self, name: str, tensor: Tensor) -> None:
        self.tensors.setdefault(name, []).append(tensor)


@dataclass(frozen=True)
class Forward:
    """Passed down through every module of a forward pass, so that modules keep no state of their own.

    Args:
        generator: the source of dropout's randomness. With one the pass is a training pass: dropout drops and
            batch norm uses the batch's statistics. Without one the pass is deterministic.
        recorder: where named internals go; without one nothing is recorded and fused kernels run.
        path: dotted name of the module that holds this object.
    """

    generator: torch.Generator | None = None
    recorder: Recorder | None = None
    path: str = ""

    @property
    def training(self) -> bool:
        return self.generator is not None

    def at(self, name: str | int) -> Forward:
        """The same pass, one module deeper."""
        if self.recorder is None:  # names are only needed where somebody looks
            return self
        return replace(self, path=f"{self.path}.{name}" if self.path else str(name))

    def wants(self, *names: str) -> bool:
        """Whether any of these internals of the module at `path` is to be recorded."""
        recorder = self.recorder
        return recorder is not None and any(recorder.wants(f"{self.path}.{name}".lstrip(".")) for name in names)

    def record(self, name: str, tensor: Tensor) -> None:
        if self.wants(name) and self.recorder is not None:
            self.recorder.put(f"{self.path}.{name}".lstrip("."), tensor)

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        """`x` with each element dropped with probability `rate` and the rest scaled up; `x` itself outside training."""
        if self.generator is None or rate == 0.0:
            return x
        return dropout(x, rate, self.generator)


INFERENCE = Forward()
