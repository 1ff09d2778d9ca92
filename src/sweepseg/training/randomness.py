"""Counter-based randomness: every draw is a function of the seed and of what it is for, so nothing random is saved.

A stream that advances (a worker's generator, the global one) would make a resumed run differ from one in one go.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch

ORDER, AUGMENTATION, STEP, WEIGHTS, MIXING = range(5)  # keeps the uses of one seed apart
LABELS, UNLABELLED_ORDER, UNLABELLED_MIXING = range(5, 8)


def generator(seed: int, use: int, *counters: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments, all non-negative."""
    return np.random.default_rng([seed, use, *counters])


def seed_torch(seed: int, use: int, *counters: int) -> None:
    """Set torch's global generators (dropout, initial weights) from the same counters."""
    torch.manual_seed(int(generator(seed, use, *counters).integers(2**63)))


@lru_cache(maxsize=4)  # batches ask picture by picture
def order(seed: int, epoch: int, count: int, use: int = ORDER) -> tuple[int, ...]:
    """The order of ``count`` pictures in one epoch."""
    return tuple(generator(seed, use, epoch).permutation(count).tolist())


class Batches:
    """The sequence of batches: the orders of all epochs laid end to end and cut into equal batches.

    Every batch is full and an epoch may end inside one: no picture is dropped, no short batch disturbs batch norm.

    Args:
        count: Number of training pictures.
        batch_size: Pictures in a batch.
        seed: Seed of the order.
        start: First batch to yield; a resumed run starts where the other stopped.
        stop: Batch before which to end.
        unlabelled: Number of pictures without labels, whose indices follow; a batch then holds ``batch_size`` of them
            too, as its second half, in epochs of their own.

    >>> first, second, third = Batches(3, 2, seed=0, start=0, stop=3)
    >>> sorted(first + second + third)
    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, start: int, stop: int, unlabelled: int = 0):
        self.count, self.batch_size, self.seed, self.start, self.stop = count, batch_size, seed, start, stop
        self.unlabelled = unlabelled

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return map(self.members, range(self.start, self.stop))

    def members(self, batch: int) -> list[tuple[int, int]]:
        """The (epoch, index of the picture) pairs of one batch."""
        members = self._members(batch, self.count, ORDER)
        if self.unlabelled:
            members += [(e, self.count + i) for e, i in self._members(batch, self.unlabelled, UNLABELLED_ORDER)]
        return members

    def _members(self, batch: int, count: int, use: int) -> list[tuple[int, int]]:
        places = (divmod(p, count) for p in range(batch * self.batch_size, (batch + 1) * self.batch_size))
        return [(epoch, order(self.seed, epoch, count, use)[place]) for epoch, place in places]
