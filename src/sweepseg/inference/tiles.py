"""Running a model on overlapping tiles of a picture, whose logits are blended: for models that need a whole picture.

Source: Isensee et al. 2021, "nnU-Net", doi:10.1038/s41592-020-01008-z: tiles that overlap, weighted by a Gaussian.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .map_files import Box
from .work_folder import WorkFolder

SIGMA = 1 / 8  # of the side of a tile


class Tiles:
    """Segments a picture of any size in memory for one tile and the ones that overlap with it.

    Args:
        network: Maps (1, C, h, w) to logits (1, num_logits, h, w).
        num_logits: Channels of the logits.
        height: Rows of the picture.
        width: Columns of the picture.
        tile: Rows and columns of a tile; smaller pictures are one.
        overlap: Share of a tile that the next one sees too, 0 to less than 1; at the end of the picture it is more.
    """

    def __init__(self, network: nn.Module, num_logits: int, height: int, width: int, *, tile: int, overlap: float):
        self.network, self.num_logits, self.width, self.tile, self.overlap = network, num_logits, width, tile, overlap
        self.rows, self.columns = _spans(height, tile, overlap), _spans(width, tile, overlap)
        self.window = (tile, tile)

    def __repr__(self) -> str:
        return f"tiles of {self.tile}, overlap {self.overlap}"

    @property
    def steps(self) -> int:
        """How many rows of tiles there are."""
        return len(self.rows)

    @property
    def shared(self) -> int:
        """The most rows that tiles share with the ones below."""
        return max((above.end - below.start for above, below in zip(self.rows, self.rows[1:], strict=False)), default=0)

    def temporary_bytes(self, written: int = 0) -> int:
        """The most that all files take, see `OutOfCore.temporary_bytes`."""
        return (4 * self.num_logits * 2 * self.shared + written * self.rows[-1].end) * self.width

    @torch.inference_mode()
    def run(self, read: Callable[[Box], Tensor], work: WorkFolder) -> Iterator[tuple[Box, Tensor]]:
        """The blended logits of windows that cover the picture, with their places; see `OutOfCore.run`."""
        sums = work.map("sums", self.num_logits, 2 * self.shared, self.width)  # of two rows of tiles, in turns
        for number, row in work.steps([*enumerate(self.rows)]):
            above = self.rows[number - 1].end - row.start if number else 0
            theirs, ours = (self.shared * ((number + turn) % 2) for turn in (0, 1))
            left = torch.zeros(1, self.num_logits, row.end - row.start, 0)
            for column in self.columns:
                logits = self.network(read(Box(row.start, row.end, column.start, column.end)))
                logits = logits * row.weights[:, None] * column.weights
                logits[..., : left.shape[3]] += left
                done, left = logits.split([column.next - column.start, column.end - column.next], dim=3)
                if above:
                    done[:, :, :above] += sums.read(Box(theirs, theirs + above, column.start, column.next))
                done, rest = done.split([row.next - row.start, row.end - row.next], dim=2)
                yield Box(row.start, row.next, column.start, column.next), done
                if rest.shape[2]:
                    sums.write(Box(ours, ours + rest.shape[2], column.start, column.next), rest)
        work.remove(sums)


class _Span(NamedTuple):
    """The rows or columns ``start`` to ``end`` of a tile; at ``next`` the next tile starts, or the picture ends."""

    start: int
    end: int
    next: int
    weights: Tensor  # (end - start,); those of all tiles at a place add up to 1


def _spans(size: int, tile: int, overlap: float) -> list[_Span]:
    step = max(1, round(tile * (1 - overlap)))
    starts = [*range(0, max(0, size - tile), step), max(0, size - tile)]
    tile = min(tile, size)
    distance = (torch.arange(tile, dtype=torch.float64) - (tile - 1) / 2) / (SIGMA * tile)
    bell, total = torch.exp(-distance.square() / 2), torch.zeros(size, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += bell
    return [
        _Span(start, start + tile, after, (bell / total[start : start + tile]).float())
        for start, after in zip(starts, [*starts[1:], size], strict=True)
    ]
