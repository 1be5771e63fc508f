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


@dataclass(eq=False)
class Recorder:
    """Collects tensors whose dotted name matches one of `patterns` (shell wildcards).

    `tensors[name]` is the list of what was recorded under that name, in the order of recording: one entry for
    a full pass, one per step for a decoder that runs step by step. `offered` are all names that came by, whether they
    matched or not. `begun` counts the texts, or batches of them, that were begun, and `begun_with[name]` says which of
    them a name was recorded of.

    Args:
        gradients: keep the gradients of what is recorded, which a backward pass then leaves in each tensor's `grad`.
    """

    patterns: Sequence[str]
    tensors: dict[str, list[Tensor]] = field(default_factory=dict)
    gradients: bool = False
    offered: dict[str, None] = field(default_factory=dict)
    begun: int = 0
    begun_with: dict[str, set[int]] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        self.offered[name] = None
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def put(self, name: str, tensor: Tensor) -> None:
        # masks have no gradient, nor has what is computed without any
        if self.gradients and tensor.is_floating_point() and torch.is_grad_enabled():
            if not tensor.requires_grad:  # as of frozen weights
                tensor.requires_grad_()
            tensor.retain_grad()
        self.tensors.setdefault(name, []).append(tensor)
        self.begun_with.setdefault(name, set()).add(self.begun)


@dataclass(frozen=True)
class PassContext:
    """Passed down through every module of a forward pass, so that modules keep no state of their own.

    Args:
        generator: the source of dropout's randomness. With one the pass is a training pass: dropout drops and
            batch norm uses the batch's statistics. Without one the pass is deterministic.
        recorder: where named internals go; without one nothing is recorded and fused kernels run.
        captures: where they go as well, as the pass runs inside `recording`.
        edits: functions by dotted name, of what is to be changed on its way: `edit` sites ask for theirs.
        path: dotted name of the module that holds this object.
    """

    generator: torch.Generator | None = None
    recorder: Recorder | None = None
    captures: tuple[Recorder, ...] = ()
    edits: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    path: str = ""

    def of(self, model: nn.Module) -> PassContext:
        """The same pass, recorded by every `recording` that `model` is inside of."""
        captures = tuple(recorder for modules, recorder in _CAPTURED.get() if id(model) in modules)
        return self if captures == self.captures else replace(self, captures=captures)

    def begin(self) -> PassContext:
        """The same pass, its recorders told that it begins with new texts and does not go on with those before."""
        for recorder in self._recorders:
            recorder.begun += 1
        return self

    @property
    def _recorders(self) -> tuple[Recorder, ...]:
        return self.captures if self.recorder is None else (self.recorder, *self.captures)

    @property
    def training(self) -> bool:
        return self.generator is not None

    def at(self, name: str | int) -> PassContext:
        """The same pass, one module deeper."""
        if self.recorder is None and not self.captures and not self.edits:  # names are only needed where somebody looks
            return self
        return replace(self, path=f"{self.path}.{name}" if self.path else str(name))

    def wants(self, *names: str) -> bool:
        """Whether any of these internals of the module at `path` is to be recorded."""
        return any(one.wants(f"{self.path}.{name}".lstrip(".")) for one in self._recorders for name in names)

    def record(self, name: str, tensor: Tensor) -> None:
        path = f"{self.path}.{name}".lstrip(".")
        for recorder in self._recorders:
            if recorder.wants(path):
                recorder.put(path, tensor)

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


INFERENCE = PassContext()

# The modules that are being recorded, by identity, and where to. Of this thread and task alone, like `torch.no_grad`.
_CAPTURED: ContextVar[tuple[tuple[frozenset[int], Recorder], ...]] = ContextVar("captured", default=())


@contextmanager
def recording(model: nn.Module, recorder: Recorder) -> Iterator[Recorder]:
    """Inside, every pass of `model` is recorded, however it is begun. Other models are not.

    Several may be open at the same time, of one model or of more, and end in any order.
    """
    _CAPTURED.set((*_CAPTURED.get(), (frozenset(map(id, model.modules())), recorder)))
    try:
        yield recorder
    finally:
        _CAPTURED.set(tuple(one for one in _CAPTURED.get() if one[1] is not recorder))
