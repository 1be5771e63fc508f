"""Which pairs an epoch draws when several sources are mixed by weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.errors import UsageError

# Keep the random numbers of different purposes apart.
SHUFFLING, MIXING, MERGE_DROPOUT, PAIRING, MASKING, AUGMENTING = range(6)


def generator(purpose: int, *numbers: int) -> np.random.Generator:
    """A generator which depends on a purpose and non-negative integers, and nothing else."""
    if min(numbers) < 0:
        raise UsageError(f"seed: {min(numbers)} is negative; seeds and epochs count from 0")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((*numbers, purpose))))


@dataclass(frozen=True)
class Mixing:
    """Sources lying one after the other: source k holds pairs `bounds[k]` to `bounds[k + 1]` and has `weights[k]`."""

    bounds: tuple[int, ...]
    weights: tuple[float, ...]

    def draw(self, seed: int, epoch: int) -> np.ndarray:
        """The pairs of one epoch, sorted within each source: int64 indices, a function of the arguments alone.

        A source with weight w gives each of its pairs floor(w) times. The rest of w is a part of the source: epochs
        take consecutive parts of one random order of it, so that every pair has come before any comes again.
        """
        drawn = [np.zeros(0, dtype=np.int64)]
        for origin, weight in enumerate(self.weights):
            start, stop = self.bounds[origin], self.bounds[origin + 1]
            whole, size = int(weight), stop - start
            drawn += [np.arange(start, stop, dtype=np.int64)] * whole
            part = round((weight - whole) * size)
            if part:
                order = generator(MIXING, seed, origin).permutation(size)
                places = (epoch * part + np.arange(part)) % size
                drawn.append(np.sort(start + order[places]))
        return np.concatenate(drawn)
