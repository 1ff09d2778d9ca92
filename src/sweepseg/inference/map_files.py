"""Maps and states that are larger than memory, in files."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten


class Box(NamedTuple):
    """A window of a map: rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    def union(self, other: "Box") -> "Box":
        """The smallest box that holds both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Box(top, max(self.bottom, other.bottom), left, max(self.right, other.right))

    def within(self, x: Tensor, outer: "Box") -> Tensor:
        """This part of ``x`` (..., H, W), which shows ``outer``."""
        assert outer.union(self) == outer
        rows = slice(self.top - outer.top, self.bottom - outer.top)
        return x[..., rows, self.left - outer.left : self.right - outer.left]


class MapFile:
    """A map (1, C, height, width) in a new file, channels last.

    Ordinary reads and writes: pages of a mapped file would count as memory of the process.

    Args:
        path: The file, which must not exist.
        channels: C.
        height: Rows.
        width: Columns.
        dtype: Of its values.
    """

    def __init__(self, path: Path, channels: int, height: int, width: int, *, dtype: torch.dtype = torch.float32):
        self.path, self.channels, self.height, self.width, self.dtype = path, channels, height, width, dtype
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)

    def write(self, box: Box, x: Tensor) -> None:
        """Write the window ``x`` (1, C, h, w)."""
        rows = x[0].permute(1, 2, 0).to(self.dtype).contiguous().numpy()  # (h, w, C)
        for data, position in self._pieces(box, rows):
            while data:
                count = os.pwrite(self.file, data, position)
                data, position = data[count:], position + count

    def read(self, box: Box) -> Tensor:
        """Read a window, (1, C, h, w) channels last in memory."""
        rows = torch.empty(box.bottom - box.top, box.right - box.left, self.channels, dtype=self.dtype)
        for data, position in self._pieces(box, rows.numpy()):
            while data:
                count = os.preadv(self.file, [data], position)
                if count == 0:
                    raise EOFError(f"{self.path} is shorter than what was written to it")
                data, position = data[count:], position + count
        return rows.permute(2, 0, 1)[None]

    def _pieces(self, box: Box, rows: np.ndarray) -> Iterator[tuple[memoryview, int]]:
        """The bytes of a window (h, w, C), row by row or in one piece, and where they stand in the file."""
        whole = box.right - box.left == self.width
        for number, piece in enumerate(rows[None] if whole else rows):
            yield piece.data.cast("B"), ((box.top + number) * self.width + box.left) * self.channels * rows.itemsize

    def close(self) -> None:
        """Delete the file, if that was not done."""
        if self.file >= 0:
            os.close(self.file)
            self.path.unlink()
            self.file = -1

    def __enter__(self) -> "MapFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StateFile:
    """States of a sweep in a new file, which come back in the opposite order.

    Args:
        path: The file, which must not exist.
    """

    HEADER = 128  # bytes before the values of a tensor

    def __init__(self, path: Path):
        self.path = path
        self.file = open(path, "xb+")  # noqa: SIM115 - closed with the object
        self.states: list[tuple[int, list[bool], TreeSpec]] = []

    def push(self, state: object) -> None:
        """Append a state: nested lists and tuples of tensors and None."""
        leaves, spec = tree_flatten(state)
        self.states.append((self.file.tell(), [leaf is not None for leaf in leaves], spec))
        for leaf in leaves:
            if leaf is not None:
                np.save(self.file, leaf.numpy())

    def pop(self) -> Any:
        """The state that came last of those that are left."""
        position, filled, spec = self.states.pop()
        self.file.seek(position)
        leaves = [torch.from_numpy(np.load(self.file)) if present else None for present in filled]
        return tree_unflatten(leaves, spec)

    def __enter__(self) -> "StateFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.path.unlink()
