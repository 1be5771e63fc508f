"""Named internals of any model, recorded while it runs: `capture`, and the record with its axes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sightline.errors import UsageError, nearest
from sightline.nn.context import Recorder, recording

SIDES = {"encoder": "source", "decoder": "target"}  # by the first part of a name; anything else has one side
SQUARE = ("weights", "energies", "mask")  # (…, queries, keys)
OF_KEYS = ("keys", "values")
STARTS = ("start_hidden", "start_cell")  # of no position: what a decoder begins with
_SEVERAL = 'record: "{}" was recorded of several passes or batches; steps() gives them one by one'


class Record:
    """What was recorded, by name: `record["decoder.0.cross_attention.weights"]`.

    A name stands for one tensor, whose axes `axes` names. What a decoder recorded step by step is joined along the
    positions it wrote; what it attended to grows with the steps, and columns that were not there yet are zero. Rows are
    those of the model's batches: texts in the order in which they were read, and of a beam its hypotheses, which change
    places from step to step. To see how one result came about, capture a beam of 1, or take `reading` of a loaded run
    with `sightline.sight.reading.look`, which reads a finished text once.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @property
    def names(self) -> list[str]:
        """What was recorded, in the order of the pass."""
        return list(self._recorder.tensors)

    @property
    def offered(self) -> list[str]:
        """All names that came by, recorded or not."""
        return list(self._recorder.offered)

    def __contains__(self, name: str) -> bool:
        return name in self._recorder.tensors

    def __getitem__(self, name: str) -> Tensor:
        """Raises UsageError for a name that was not recorded, with the nearest one that could have been, and for one
        whose steps are no parts of one whole: several passes, or a batch that rows have left."""
        return self._whole(self.steps(name), name)

    def steps(self, name: str) -> list[Tensor]:
        """The tensors recorded under a name one after the other, as they came. Raises as `[]` does."""
        found = self._recorder.tensors.get(name)
        if found is None:
            raise UsageError(f'record: nothing was recorded as "{name}"{nearest(name, self.offered)}')
        return found

    def gradient(self, name: str) -> Tensor:
        """The gradient of what `[]` gives, after a backward pass through a capture with gradients.

        Raises UsageError where there is none.
        """
        steps = self.steps(name)
        gradients = [step.grad if step.is_leaf or step.retains_grad else None for step in steps]
        if any(gradient is None for gradient in gradients):
            raise UsageError(f"record: {name} has no gradient; capture with gradients = True and call backward()")
        return self._whole([gradient for gradient in gradients if gradient is not None], name)

    def axes(self, name: str) -> tuple[str, ...]:
        """The names of the axes of what `[]` gives: batch, head, source, target, past, position, width."""
        return axes_of(name, self[name].dim())

    def _whole(self, steps: list[Tensor], name: str) -> Tensor:
        if len(self._recorder.begun_with[name]) > 1:
            raise UsageError(_SEVERAL.format(name))
        return _joined(steps, name)


@contextmanager
def capture(model: Any, *patterns: str, gradients: bool = False) -> Iterator[Record]:
    """Records internals of a model while it does anything inside the block.

        with sightline.capture(translator, "decoder.*.cross_attention.weights") as record:
            translator.translate("나는 학생입니다.")

    What is recorded takes the explicit equations, whose outputs are the fused kernels' to rounding; everything else
    runs as always. Weights are those after the softmax and before dropout.

    Args:
        model: a loaded run, or a model itself. patterns: names with shell wildcards; everything by default.
        gradients: keep gradients of what is recorded (of models themselves; loaded runs compute without any).

    Raises UsageError for what has no internals, and for patterns that are no strings.
    """
    for pattern in patterns:
        if type(pattern) is not str:
            raise UsageError(f"capture: patterns are strings, one after the other, not {type(pattern).__name__}")
    inner = model if isinstance(model, nn.Module) else getattr(model, "model", None)
    if inner is None:
        raise UsageError(f"capture: a loaded run or a model is looked into, not {type(model).__name__}")
    if not isinstance(inner, nn.Module):
        raise UsageError("capture: an n-gram model is counted and has no internals to record")
    with recording(inner, Recorder(patterns or ("*",), gradients=gradients)) as recorder:
        yield Record(recorder)


def axes_of(name: str, dimensions: int) -> tuple[str, ...]:
    """The names of a recorded tensor's axes."""
    parts = name.split(".")
    if parts[-1] in STARTS:
        return ("batch", "width")
    side = keys = SIDES.get(parts[0], "position")
    if "cross_attention" in parts or parts[:2] == ["decoder", "attention"]:
        keys = "source"
    elif side == "target":
        # a decoder's queries are named by what it writes, what they look back at by what it has read
        keys = "past"
    last = (side, keys) if parts[-1] in SQUARE else (keys if parts[-1] in OF_KEYS else side, "width")
    return (("batch",), ("batch", "head"))[dimensions > 3] + last


def _joined(steps: list[Tensor], name: str) -> Tensor:
    """What was recorded step by step as one tensor; backward directions in the order of the text."""
    if len({len(step) for step in steps}) > 1:
        raise UsageError(_SEVERAL.format(name))
    if ".backwards." in name and len(steps[0]) > 1:
        raise UsageError(f'record: "{name}" of several texts lies in the order they were read; steps() gives it')
    if len(steps) == 1 and (steps[0].dim() > 2 or name.split(".")[-1] in STARTS):
        whole = steps[0]
    elif steps[0].dim() == 2:
        whole = torch.stack(steps, 1)
    elif name.split(".")[-1] in SQUARE:
        widest = max(step.shape[-1] for step in steps)
        whole = torch.cat([nn.functional.pad(step, (0, widest - step.shape[-1])) for step in steps], -2)
    else:
        whole = torch.cat(steps, -2)
    return whole.flip(1) if ".backwards." in name else whole
