"""One recorded pass over a reading, and occlusion, the check of what was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.nn.context import PassContext, Recorder
from sightline.predict.reading import Reading as Reading
from sightline.predict.reading import Side as Side
from sightline.predict.reading import by_word as by_word
from sightline.sight.record import Record


@dataclass(frozen=True)
class Look:
    """What was recorded of one reading: the record, and the input's own names for its axes.

    `look[name]` is the tensor without its batch axis, in fp32 on the CPU.
    """

    reading: Reading
    record: Record
    log_probabilities: tuple[float, ...]

    @property
    def names(self) -> list[str]:
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


@torch.inference_mode()
def look(reading: Reading, *patterns: str) -> Look:
    """One pass over a reading with the internals recorded that match; everything by default."""
    recorder = Recorder(patterns or ("*",))
    found = reading.run(PassContext(recorder=recorder))
    return Look(reading, Record(recorder), tuple(found.tolist()))


@torch.inference_mode()
def occlusion(reading: Reading) -> np.ndarray:
    """(outputs, positions read): by how many nats each output becomes less likely without each position; not a number
    where the position always stays.

    The check beside attention: what a model looked at need not be what its output hangs on (Jain & Wallace 2019).
    """
    whole = reading.run(PassContext())
    others = map(reading.without, range(len(reading.sides[reading.input_axis])))
    columns = [torch.full_like(whole, torch.nan) if one is None else whole - one.run(PassContext()) for one in others]
    return torch.stack(columns, 1).cpu().numpy()


def agreement(weights_OS: np.ndarray, drops_OS: np.ndarray, causal: bool = False) -> float:
    """Spearman's rank correlation of attention and occlusion over the positions read, the mean over the outputs.

    Positions that were not taken out are left out, and outputs whose attention or occlusion is the same everywhere; not
    a number where all are.

    Args:
        causal: each output sees the positions up to its own, and only those are compared.
    """
    from scipy.stats import spearmanr

    found: list[float] = []
    for number, (weights, drops) in enumerate(zip(weights_OS, drops_OS, strict=True)):
        seen = np.isfinite(drops)
        if causal:
            seen[number + 1 :] = False
        if len(weights[seen]) > 1 and np.ptp(weights[seen]) > 0 and np.ptp(drops[seen]) > 0:
            result: Any = spearmanr(weights[seen], drops[seen])
            found.append(float(result.statistic))
    return float(np.mean(found)) if found else float("nan")
