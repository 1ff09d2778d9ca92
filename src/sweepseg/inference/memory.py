"""How large an image may be in a given amount of memory."""

import weakref

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..errors import UsageError
from ..models.segmenter import Segmenter
from .segment import segment

BASE = 355_000_000  # bytes of a process that has loaded torch and a small model; 354 MB were measured
WORKSPACE = 2.25  # peak of the process over that of its tensors: kernels allocate too; 1.2 to 2.1 were measured


def max_pixels(model: Segmenter, memory: int) -> int:
    """The most pixels that one image may have, from the tensors that are alive at once while a small one is segmented.

    Args:
        model: The model.
        memory: Bytes for the whole process.

    Raises:
        UsageError: Not even the process without an image fits.
    """
    if memory <= BASE:
        raise UsageError(f"{memory / 1e6:g} MB are too little: sweepseg takes {BASE / 1e6:g} MB without any image")
    side = 64
    with _Alive() as alive:
        segment(model, np.zeros((side, side, len(model.config.mean)), np.uint8))
    return int((memory - BASE) / (WORKSPACE * alive.peak / side**2))


class _Alive(TorchDispatchMode):
    """Follows how many bytes of tensors made within it are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: weakref.WeakSet = weakref.WeakSet()

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        result = op(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (storage := tensor.untyped_storage()) not in self.known:
                self.known.add(storage)
                self._count(storage.nbytes())
                weakref.finalize(storage, self._count, -storage.nbytes())
        return result

    def _count(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)
