"""Counter-based randomness: every draw is a function of the seed and of what it is for, so nothing random is ever saved.

A stream that advances (a worker's generator, the global one) would make a resumed run differ from an uninterrupted one.
"""

from collections.abc import Iterator

import numpy as np
import torch

ORDER, AUGMENTATION, STEP, WEIGHTS = range(4)  # keeps the uses of one seed apart


def generator(seed: int, use: int, *counters: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments, all non-negative."""
    return np.random.default_rng([seed, use, *counters])


def seed_torch(seed: int, use: int, *counters: int) -> None:
    """Set torch's global generators (dropout, initial weights) from the same counters."""
    torch.manual_seed(int(generator(seed, use, *counters).integers(2**63)))


class Batches:
    """The endless sequence of batches: the permutations of all epochs laid end to end and cut into equal batches.

    Every batch is full and an epoch may end inside one, so no picture is dropped and no short batch disturbs batch norm.

    Args:
        count: Number of training pictures.
        batch_size: Pictures in a batch.
        seed: Seed of the order.
        start: First batch to yield; a resumed run starts where the other stopped.
        stop: Batch before which to end.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, start: int, stop: int):
        self.count, self.batch_size, self.seed, self.start, self.stop = count, batch_size, seed, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yield batches as lists of (epoch, index of the picture)."""
        for batch in range(self.start, self.stop):
            yield self.members(batch)

    def members(self, batch: int) -> list[tuple[int, int]]:
        """The (epoch, index) pairs of one batch."""
        positions = range(batch * self.batch_size, (batch + 1) * self.batch_size)
        return [(p // self.count, int(self._permutation(p // self.count)[p % self.count])) for p in positions]

    def _permutation(self, epoch: int) -> np.ndarray:
        if getattr(self, "_cached", (None,))[0] != epoch:
            self._cached = (epoch, generator(self.seed, ORDER, epoch).permutation(self.count))
        return self._cached[1]
