"""Maps and states that are larger than memory, in files."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

SLACK = 64 + 32  # bytes between two tensors in a file of torch.save, and those that a larger tensor's sizes take more


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


def cut(height: int, width: int, rows: int, columns: int) -> Iterator[Box]:
    """The windows of ``rows`` x ``columns`` that cover a map, row by row, each row from the left.

    >>> [tuple(box) for box in cut(3, 4, 2, 4)]
    [(0, 2, 0, 4), (2, 3, 0, 4)]
    """
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield Box(top, min(top + rows, height), left, min(left + columns, width))


class MapFile:
    """A map (1, C, height, width) in a file, channels last; what the file holds already stays.

    Ordinary reads and writes: pages of a mapped file would count as memory of the process.

    Args:
        path: The file.
        channels: C.
        height: Rows.
        width: Columns.
        dtype: Of its values.
    """

    def __init__(self, path: Path, channels: int, height: int, width: int, *, dtype: torch.dtype = torch.float32):
        self.path, self.channels, self.height, self.width, self.dtype = path, channels, height, width, dtype
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)

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
        """Close the file, if that was not done."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


class StateFiles:
    """The states of a stage after each of its strips, a file each.

    Args:
        folder: Where they lie.
        name: What their names start with.
        count: How many strips there are.
    """

    def __init__(self, folder: Path, name: str, count: int):
        self.folder, self.name, self.count = folder, name, count

    def save(self, strip: int, state: object) -> None:
        """Keep a state: nested lists and tuples of tensors and None."""
        torch.save(_own(state), self._path(strip))

    def load(self, strip: int) -> Any:
        """The state after a strip; None beyond the first and the last."""
        return torch.load(self._path(strip), weights_only=True) if 0 <= strip < self.count else None

    def remove(self) -> None:
        """Delete the files."""
        for strip in range(self.count):
            self._path(strip).unlink(missing_ok=True)

    def _path(self, strip: int) -> Path:
        return self.folder / f"{self.name}.{strip}"


def saved_bytes(state: object, wider: object, scale: int) -> int:
    """The most that a state takes in a file at ``scale`` times its width, from the states at once and twice that width.

    That of a sweep along columns grows with the width, that of one path over all pixels does not.
    """
    buffer = io.BytesIO()
    torch.save(_own(state), buffer)
    pairs = [pair for pair in zip(tree_leaves(state), tree_leaves(wider), strict=True) if pair[0] is not None]
    return len(buffer.getvalue()) + sum(SLACK + (scale - 1) * (two.nbytes - one.nbytes) for one, two in pairs)


def _own(state: object) -> object:
    """A copy, because the file of a view would hold all that it is a view of."""
    return tree_map_only(Tensor, Tensor.clone, state)
