"""Objects as COCO's annotations hold them, by polygons or by run lengths."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Outline:
    """One object of a picture.

    Attributes:
        height: Rows of the picture.
        width: Columns of it.
        polygons: Corners of the polygons that cover the object together, (column, row, column, row, ...) each.
        counts: In place of polygons pixels that are outside, inside, outside and so on, down one column after another.
    """

    height: int
    width: int
    polygons: tuple[tuple[float, ...], ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def parsed(cls, segmentation: Any, height: int, width: int) -> "Outline":
        """The outline that "segmentation" of an annotation gives, for a picture of this size.

        Raises:
            ValueError: It is neither a list of polygons nor run lengths of so many pixels.
        """
        match segmentation:
            case [[*_], *_] if all(map(_is_polygon, segmentation)):
                return cls(height, width, polygons=tuple(map(tuple, segmentation)))
            case {"counts": [*counts]} if all(type(n) is int and n >= 0 for n in counts) and (
                sum(counts) == height * width
            ):
                return cls(height, width, counts=tuple(counts))
        raise ValueError("is neither polygons of three corners or more nor run lengths that add up to the picture")

    @property
    def mask(self) -> np.ndarray:
        """The pixels of the object, (height, width) bool: those whose centres lie in one of the polygons.

        pycocotools decides by fifths of a pixel, so that borders may differ by one.

        >>> Outline(2, 3, counts=(1, 2, 3)).mask
        array([[False,  True, False],
               [ True, False, False]])
        """
        if self.counts:
            inside = np.arange(len(self.counts)) % 2 == 1
            return np.repeat(inside, self.counts).reshape(self.width, self.height).T
        return np.any([_filled(np.reshape(one, (-1, 2)), self.height, self.width) for one in self.polygons], axis=0)


def _filled(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels in a polygon: an odd number of its sides lies left of their centres in their row."""
    (column, row), (next_column, next_row) = corners.T[..., None], np.roll(corners, -1, axis=0).T[..., None]
    centres = np.arange(height) + 0.5
    side, at = np.nonzero((row <= centres) != (next_row <= centres))  # the sides that cross the rows of centres
    way = (centres[at] - row[side, 0]) / (next_row - row)[side, 0]
    crossed = column[side, 0] + way * (next_column - column)[side, 0]
    count = np.zeros((height, width + 1), np.int64)
    np.add.at(count, (at, np.ceil(crossed - 0.5).clip(0, width).astype(np.int64)), 1)
    return count.cumsum(axis=1)[:, :width] % 2 == 1


def _is_polygon(corners: Any) -> bool:
    numbers = isinstance(corners, list) and all(type(one) in (int, float) and abs(one) < 2**31 for one in corners)
    return numbers and len(corners) >= 6 and len(corners) % 2 == 0
