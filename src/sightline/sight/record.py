"""Named internals of any model, recorded while it runs: `capture`, and the record with its axes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sightline.errors import UsageError, nearest
from sightline.nn.context import Recorder, recording

SIDES = {"encoder": "source", "decoder": "target"}  # by the first part of a name; anything else has one side
MATRICES = ("weights", "energies", "mask")  # (…, queries, keys)
KEY_TENSORS = ("keys", "values")
INITIAL_STATES = ("start_hidden", "start_cell")  # of no position
SEVERAL_PASSES = 'record: "{}" was recorded of several passes or batches; steps() gives them one by one'


@runtime_checkable
class HoldsModel(Protocol):
    """A loaded run, as far as it is looked into."""

    @property
    def model(self) -> object:
        """What is recorded."""
        ...


class Record:
    """The recorded tensors by name: `record["decoder.0.cross_attention.weights"]`.

    A name stands for one tensor, whose axes `axes` names. What a decoder recorded step by step is concatenated along
    the target positions; its keys grow with the steps, and columns that were not there yet are zero. Along the batch
    axis lie the rows of the model's batches: texts in the order in which they were read, and of a beam its hypotheses,
    which change places from step to step. To see how one result came about, capture a beam of 1, or take `reading` of a
    loaded run with `sightline.sight.reading.look`, which reads a finished text once.
    """

    def __init__(self, recorder: Recorder, cross_attention_sites: Sequence[str] = ()) -> None:
        """`cross_attention_sites`: under which names attention to a source is recorded, beside those of our models."""
        self._recorder, self._across = recorder, {site.rpartition(".")[0] for site in cross_attention_sites}

    @property
    def names(self) -> list[str]:
        """The recorded names, in the order of the pass."""
        return list(self._recorder.tensors)

    @property
    def offered(self) -> list[str]:
        """All names that the passes offered, recorded or not."""
        return list(self._recorder.offered)

    def __repr__(self) -> str:
        count = len(self.names)
        shown = ", ".join([*self.names[:3], *["…"] * (count > 3)])
        return f"Record({count} name{'' if count == 1 else 's'}{f': {shown}' if shown else ''})"

    def _repr_html_(self) -> str:
        from sightline.sight import html  # which draws views, and those are made of records

        return html.record(map(self._about, self.names))

    def _about(self, name: str) -> tuple[str, str, str]:
        """A name, its axes with their sizes, and what its values are like; of one that has no axes why not."""
        try:
            values = self[name].detach().float()
        except UsageError as error:
            return name, f"{len(self.steps(name))} steps", str(error)
        axes = zip(self.axes(name), values.shape, strict=True)
        told = f"{values.min():.3g} … {values.max():.3g}, mean {values.mean():.3g}" if values.numel() else "none"
        return name, " × ".join(f"{axis} {size}" for axis, size in axes), told

    def __contains__(self, name: str) -> bool:
        return name in self._recorder.tensors

    def __getitem__(self, name: str) -> Tensor:
        """Raises UsageError for a name that was not recorded, with the nearest one that could have been, and for one
        whose steps do not concatenate: those of several passes, or of a batch that rows have left."""
        return self._whole(self.steps(name), name)

    def steps(self, name: str) -> list[Tensor]:
        """The tensors recorded under a name, in the order of recording. Raises as `[]` does."""
        found = self._recorder.tensors.get(name)
        if found is None:
            why = nearest(name, self.offered) if self.offered else "; the model did not run while it was recorded"
            raise UsageError(f'record: nothing was recorded as "{name}"{why}')
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
        return axes_of(name, self[name].dim(), self._across)

    def _whole(self, steps: list[Tensor], name: str) -> Tensor:
        if len(self._recorder.begun_with[name]) > 1:
            raise UsageError(SEVERAL_PASSES.format(name))
        return _concatenated(steps, name)


@contextmanager
def capture(model: object, *patterns: str, gradients: bool = False) -> Iterator[Record]:
    """Records internals of a model while it runs inside the block, whatever it is asked to do.

        with sightline.capture(translator, "decoder.*.cross_attention.weights") as record:
            translator.translate("나는 학생입니다.")

    What is recorded takes the explicit equations, whose outputs are the fused kernels' to rounding; everything else
    runs as always. Weights are those after the softmax and before dropout.

    Args:
        model: a loaded run, a model itself, or any part of one, as `translator.model.decoder[0]`; names are those of
            the whole model where it is the whole model that runs.
        patterns: names with shell wildcards; everything by default.
        gradients: keep gradients of what is recorded (of models themselves; loaded runs compute without any).

    Raises UsageError for what has no internals, for patterns that are no strings, and at the end of the block where the
    model ran and nothing was recorded: no pattern matched, or what was given is a part that records nothing itself.
    """
    for pattern in patterns:
        if type(pattern) is not str:
            raise UsageError(f"capture: patterns are strings, one after the other, not {type(pattern).__name__}")
    if not isinstance(model, nn.Module | HoldsModel):
        raise UsageError(f"capture: a loaded run or a model is looked into, not {type(model).__name__}")
    inner = model if isinstance(model, nn.Module) else model.model
    if not isinstance(inner, nn.Module):
        raise UsageError("capture: an n-gram model is counted and has no internals to record")
    with recording(inner, Recorder(patterns or ("*",), gradients=gradients)) as recorder:
        record = Record(recorder)
        yield record
    if not record.names and recorder.begun and not record.offered:
        raise UsageError(
            f"capture: nothing was recorded: {type(inner).__name__} records nothing itself; capture the model, or the "
            "block, that it is part of"
        )
    if record.offered and not record.names:
        close = [one for pattern in patterns for one in get_close_matches(pattern, record.offered, 1)]
        hint = f'did you mean "{close[0]}"?' if close else "`sightline look RUN --list` prints the names"
        raise UsageError(f"capture: nothing was recorded by {', '.join(map(repr, patterns))}; {hint}")


def axes_of(name: str, dimensions: int, across: Collection[str] = ()) -> tuple[str, ...]:
    """The names of a recorded tensor's axes; `across` names the modules that attend to a source.

    Those of our models go by their names as well, since a part of a model does not know what the whole calls it.
    """
    parts = name.split(".")
    if parts[-1] in INITIAL_STATES:
        return ("batch", "width")
    side = keys = SIDES.get(parts[0], "position")
    module = name.rpartition(".")[0]
    if module in across or "cross_attention" in parts or module == "decoder.attention":
        keys = "source"
    elif side == "target":
        # a decoder's queries are named by what it writes, what they look back at by what it has read
        keys = "past"
    last = (side, keys) if parts[-1] in MATRICES else (keys if parts[-1] in KEY_TENSORS else side, "width")
    return (("batch",), ("batch", "head"))[dimensions > 3] + last


def _concatenated(steps: list[Tensor], name: str) -> Tensor:
    """The steps of one name as one tensor; those of a backward direction in the order of the text."""
    if len({len(step) for step in steps}) > 1:
        raise UsageError(SEVERAL_PASSES.format(name))
    if ".backwards." in name and len(steps[0]) > 1:
        raise UsageError(f'record: "{name}" of several texts lies in the order they were read; steps() gives it')
    if len(steps) == 1 and (steps[0].dim() > 2 or name.split(".")[-1] in INITIAL_STATES):
        whole = steps[0]
    elif steps[0].dim() == 2:
        whole = torch.stack(steps, 1)
    elif name.split(".")[-1] in MATRICES:
        widest = max(step.shape[-1] for step in steps)
        whole = torch.cat([nn.functional.pad(step, (0, widest - step.shape[-1])) for step in steps], -2)
    else:
        whole = torch.cat(steps, -2)
    return whole.flip(1) if ".backwards." in name else whole
