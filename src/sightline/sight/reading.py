"""One recorded pass over a reading, and occlusion, the check of what was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.errors import UsageError
from sightline.nn.context import PassContext, Recorder
from sightline.predict.brief import BriefRepr
from sightline.predict.reading import Reading as Reading
from sightline.predict.reading import Side as Side
from sightline.predict.reading import by_word as by_word
from sightline.sight.record import Record


@dataclass(frozen=True, repr=False)
class Look(BriefRepr):
    """What was recorded in one pass over a reading.

    `look[name]` is the tensor without its batch axis, in fp32 on the CPU.
    """

    reading: Reading
    record: Record
    log_probabilities: tuple[float, ...]

    @property
    def names(self) -> list[str]:
        """The recorded names, in the order of the pass."""
        return self.record.names

    def __getitem__(self, name: str) -> Tensor:
        return self.record[name][0].detach().float().cpu()

    def axes(self, name: str) -> tuple[str, ...]:
        """The axes of `look[name]`."""
        return self.record.axes(name)[1:]

    def by_word(self, name: str) -> np.ndarray:
        """Attention weights (…, words, words); see `by_word`."""
        rows, columns = (self.reading.sides[axis] for axis in self.axes(name)[-2:])
        return by_word(self[name].numpy(), rows, columns)


def require_outputs(reading: Reading) -> None:
    """Raises UsageError where a model predicts nothing, as of a text without a blank."""
    if not reading.outputs:
        raise UsageError("nothing is predicted in this text; put a [MASK] where a word is missing")


@torch.inference_mode()
def look(reading: Reading, *patterns: str) -> Look:
    """One pass over a reading with the internals recorded that match; everything by default."""
    recorder = Recorder(patterns or ("*",))
    found = reading.run(PassContext(recorder=recorder))
    return Look(reading, Record(recorder, reading.cross_attention_sites), tuple(found.tolist()))


@torch.inference_mode()
def occlusion(reading: Reading) -> np.ndarray:
    """(outputs, input positions): how much each output falls when each position is occluded, in the reading's unit; NaN
    where the position always stays.

    The check beside attention: what a model attended to need not be what its output depends on (Jain & Wallace 2019).
    Raises UsageError where nothing is predicted.
    """
    require_outputs(reading)
    whole = reading.run(PassContext())
    others = map(reading.without, range(len(reading.sides[reading.input_axis])))
    columns = [torch.full_like(whole, torch.nan) if one is None else whole - one.run(PassContext()) for one in others]
    return torch.stack(columns, 1).cpu().numpy()


def agreement(weights_OS: np.ndarray, losses_OS: np.ndarray, causal: bool = False) -> float:
    """Spearman's rank correlation of attention and occlusion over the input positions, the mean over the outputs.

    Without the positions that always stay, and without outputs whose attention or occlusion is the same everywhere; NaN
    where no output is left.

    Args:
        causal: each output sees the positions up to its own, and only those are compared.
    """
    from scipy.stats import spearmanr

    found: list[float] = []
    for number, (weights, losses) in enumerate(zip(weights_OS, losses_OS, strict=True)):
        seen = np.isfinite(losses)
        if causal:
            seen[number + 1 :] = False
        if len(weights[seen]) > 1 and np.ptp(weights[seen]) > 0 and np.ptp(losses[seen]) > 0:
            result: Any = spearmanr(weights[seen], losses[seen])
            found.append(float(result.statistic))
    return float(np.mean(found)) if found else float("nan")
