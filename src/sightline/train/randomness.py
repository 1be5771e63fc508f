"""The random state of a run: the generator handed to the task, and torch's global ones."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from sightline.errors import CheckpointError


class Randomness:
    """All generators that training draws from; to be saved and restored as tensors of bytes."""

    def __init__(self, seed: int, device: torch.device) -> None:
        """Seeds the generator for the task, which lives on `device`, and the global ones."""
        self.generator = torch.Generator(device).manual_seed(seed)
        self._device = device
        torch.manual_seed(seed)

    def state_dict(self) -> dict[str, Tensor]:
        """The state of each generator, uint8."""
        states = {"task": self.generator.get_state(), "torch": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        return states

    def load_state_dict(self, states: Mapping[str, Tensor], where: str = "generators") -> None:
        """Takes over what `state_dict` gave. Raises CheckpointError where that was made on another kind of device."""
        try:
            self.generator.set_state(states["task"])
            torch.set_rng_state(states["torch"])
            if self._device.type == "cuda":
                torch.cuda.set_rng_state(states["cuda"], self._device)
        except (KeyError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"{where}: not the random state of a run on {self._device.type} ({error}); go on where it was begun"
            ) from None

    @contextmanager
    def preserved(self) -> Generator[None, None, None]:
        """Whatever is drawn inside, afterwards the generators are as they were."""
        states = self.state_dict()
        try:
            yield
        finally:
            self.load_state_dict(states)
