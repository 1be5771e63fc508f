"""What a user's own code hears of a training, and how it may end it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch

from sightline.errors import SightlineError, UsageError

if TYPE_CHECKING:
    from sightline.train.loop import Outcome

HOOKS = ("on_update", "on_validation", "on_save", "on_end")


class StopTraining(Exception):  # noqa: N818 - not an error
    """Raised by a callback to end the training: it is saved, and its weights are made, as at a limit.

    The message is the reason that the outcome gives.
    """


class Callback:
    """Hears of a training. Subclass it and override what is wanted.

    A callback gets plain values and never the model, so that no callback can change the weights: what it draws of
    PyTorch's global random numbers is put back. It ends the training by raising `StopTraining`. Any other exception
    ends it, too, with everything saved and one line that names it.
    """

    def on_update(self, update: int, figures: Mapping[str, float], /) -> None:
        """After every `training.log_every` updates, with the means since the last call, as in `metrics.jsonl`."""

    def on_validation(self, update: int, figures: Mapping[str, float], best: bool, /) -> None:
        """After a validation; `best`: whether the weights are the best so far."""

    def on_save(self, update: int, path: Path, /) -> None:
        """After a checkpoint has been written to the directory `path`."""

    def on_end(self, outcome: Outcome, /) -> None:
        """When all is done: weights, scores and card are there. Not after an interruption or an error."""


class Callbacks:
    """Those of one training, called one after the other.

    Attributes:
        stop_reason: why one of them has ended the training, None while none has.
    """

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        """Raises UsageError for what is no callback."""
        for one in cast("Sequence[object]", callbacks):  # as they were given
            if not isinstance(one, Callback):
                what = f"the class {one.__name__}; make one of it" if isinstance(one, type) else type(one).__name__
                raise UsageError(f"callbacks: each is a sightline.Callback, not {what}")
        self._callbacks = tuple(callbacks)
        self.stop_reason: str | None = None
        self._failure: tuple[str, Exception] | None = None

    def on_update(self, update: int, figures: Mapping[str, float]) -> None:
        self._call("on_update", update, MappingProxyType(dict(figures)))

    def on_validation(self, update: int, figures: Mapping[str, float], best: bool) -> None:
        self._call("on_validation", update, MappingProxyType(dict(figures)), best)

    def on_save(self, update: int, path: Path) -> None:
        self._call("on_save", update, path)

    def on_end(self, outcome: Outcome) -> None:
        """Raises SightlineError where one fails; there is nothing left to stop."""
        self._call("on_end", outcome)
        self.require("everything is in the run")

    def require(self, saved: str) -> None:
        """Raises SightlineError where one has failed; `saved` says what of the training is safe."""
        if self._failure is not None:
            where, error = self._failure
            told = f": {error}" if str(error) else ""
            raise SightlineError(f"callback {where} raised {type(error).__name__}{told}; {saved}") from error

    def _call(self, hook: str, *values: Any) -> None:
        for one in self._callbacks:
            if self._failure is not None:
                return
            try:
                with _randomness_kept():
                    getattr(one, hook)(*values)
            except StopTraining as asked:
                self.stop_reason = str(asked) or f"stopped by {type(one).__name__}"
            except Exception as error:
                self._failure = (f"{type(one).__name__}.{hook}", error)
                self.stop_reason = f"{type(one).__name__} failed"


@contextmanager
def _randomness_kept() -> Generator[None, None, None]:
    """PyTorch's global generators are afterwards as they were, and gradients are not recorded inside."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        yield
