"""What accompanies one forward pass: the randomness of dropout and the record of named internals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from sightline.nn.ops import dropout


@dataclass(frozen=True)
class Recorder:
    """Collects tensors whose dotted name matches one of `patterns` (shell wildcards).

    `tensors[name]` is the list of what was recorded under that name, in the order of recording: one entry for
    a full pass, one per step for a decoder that runs step by step. `offered` are all names that came by, whether they
    matched or not.

    Args:
        gradients: keep the gradients of what is recorded, which a backward pass then leaves in each tensor's `grad`.
    """

    patterns: Sequence[str]
    tensors: dict[str, list[Tensor]] = field(default_factory=dict)
    gradients: bool = False
    offered: dict[str, None] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        self.offered[name] = None
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def put(self, name: str, tensor: Tensor) -> None:
        if self.gradients:
            if not tensor.requires_grad:  # as of frozen weights
                tensor.requires_grad_()
            tensor.retain_grad()
        self.tensors.setdefault(name, []).append(tensor)


@dataclass(frozen=True)
class Forward:
    """Passed down through every module of a forward pass, so that modules keep no state of their own.

    Args:
        generator: the source of dropout's randomness. With one the pass is a training pass: dropout drops and
            batch norm uses the batch's statistics. Without one the pass is deterministic.
        recorder: where named internals go; without one nothing is recorded and fused kernels run.
        edits: functions by dotted name, of what is to be changed on its way: `edit` sites ask for theirs.
        path: dotted name of the module that holds this object.
    """

    generator: torch.Generator | None = None
    recorder: Recorder | None = None
    edits: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    path: str = ""

    def of(self, model: nn.Module) -> Forward:
        """The same pass, recorded where `model` is inside `recording` and the pass has no recorder of its own."""
        captured = _CAPTURED.get()
        if captured is None or self.recorder is not None or id(model) not in captured[0]:
            return self
        return replace(self, recorder=captured[1])

    @property
    def training(self) -> bool:
        return self.generator is not None

    def at(self, name: str | int) -> Forward:
        """The same pass, one module deeper."""
        if self.recorder is None and not self.edits:  # names are only needed where somebody looks
            return self
        return replace(self, path=f"{self.path}.{name}" if self.path else str(name))

    def wants(self, *names: str) -> bool:
        """Whether any of these internals of the module at `path` is to be recorded."""
        recorder = self.recorder
        return recorder is not None and any(recorder.wants(f"{self.path}.{name}".lstrip(".")) for name in names)

    def record(self, name: str, tensor: Tensor) -> None:
        if self.wants(name) and self.recorder is not None:
            self.recorder.put(f"{self.path}.{name}".lstrip("."), tensor)

    def edit(self, name: str, tensor: Tensor) -> Tensor:
        """`tensor`, or what the edit of this name makes of it; such as a head's context taken out."""
        if not self.edits:
            return tensor
        change = self.edits.get(f"{self.path}.{name}".lstrip("."))
        return tensor if change is None else change(tensor)

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        """`x` with each element dropped with probability `rate` and the rest scaled up; `x` itself outside training."""
        if self.generator is None or rate == 0.0:
            return x
        return dropout(x, rate, self.generator)


INFERENCE = Forward()

# The modules that are being recorded, by identity, and where to. Of this thread and task alone, like `torch.no_grad`.
_CAPTURED: ContextVar[tuple[frozenset[int], Recorder] | None] = ContextVar("captured", default=None)


@contextmanager
def recording(model: nn.Module, recorder: Recorder) -> Iterator[Recorder]:
    """Inside, every pass of `model` is recorded, however it is begun. Other models are not."""
    token = _CAPTURED.set((frozenset(map(id, model.modules())), recorder))
    try:
        yield recorder
    finally:
        _CAPTURED.reset(token)
