"""What accompanies one forward pass: the randomness of dropout and the record of named internals."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
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
    tensors: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    gradients: bool = False
    offered: dict[str, None] = field(default_factory=dict[str, None])
    begun: int = 0
    begun_with: dict[str, set[int]] = field(default_factory=dict[str, set[int]])

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
        captures: where they go as well, as the pass has entered a module that is inside `recording`.
        edits: functions by dotted name, of what is to be changed on its way: `edit` sites ask for theirs.
        path: dotted name of the module that holds this object.
        named: whether names are kept although nothing is recorded yet, as a module further down may be.
    """

    generator: torch.Generator | None = None
    recorder: Recorder | None = None
    captures: tuple[Recorder, ...] = ()
    edits: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict[str, Callable[[Tensor], Tensor]])
    path: str = ""
    named: bool = False

    def of(self, module: nn.Module) -> PassContext:
        """The same pass inside `module`, recorded by every `recording` of it or of a module around it.

        Every module that records asks for it first, so that any of them can be captured.
        """
        opened = _CAPTURED.get()
        if not opened:
            return self
        found = [one.recorder for one in opened if id(module) in one.modules and one.recorder not in self.captures]
        return self if self.named and not found else replace(self, captures=(*self.captures, *found), named=True)

    def begin(self, model: nn.Module) -> PassContext:
        """The pass inside a whole model, which begins with new texts and does not go on with those before.

        Every recorder is told so that listens to the model or to a part of it.
        """
        ctx = self.of(model)
        if self.recorder is not None:
            self.recorder.begun += 1
        if opened := _CAPTURED.get():
            inside = {id(module) for module in model.modules()}
            for one in opened:
                if not inside.isdisjoint(one.modules):
                    one.recorder.begun += 1
        return ctx

    @property
    def _recorders(self) -> tuple[Recorder, ...]:
        return self.captures if self.recorder is None else (self.recorder, *self.captures)

    @property
    def training(self) -> bool:
        return self.generator is not None

    def at(self, name: str | int) -> PassContext:
        """The same pass, one module deeper."""
        if self.recorder is None and not self.edits and not self.named:  # names are only needed where somebody looks
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


@dataclass(frozen=True)
class _Capture:
    """The modules that a recorder listens to, by identity."""

    modules: frozenset[int]
    recorder: Recorder


# Of this thread and task alone, like `torch.no_grad`.
_CAPTURED: ContextVar[tuple[_Capture, ...]] = ContextVar("captured", default=())


@contextmanager
def recording(module: nn.Module, recorder: Recorder) -> Generator[Recorder]:
    """Inside, every pass through `module` is recorded, however it is begun: a whole model or any part of one.

    Names are those of the whole model where the pass comes through it. Several may be open at the same time, of one
    model or of more, and end in any order.
    """
    _CAPTURED.set((*_CAPTURED.get(), _Capture(frozenset(map(id, module.modules())), recorder)))
    try:
        yield recorder
    finally:
        _CAPTURED.set(tuple(one for one in _CAPTURED.get() if one.recorder is not recorder))
