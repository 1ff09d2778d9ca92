"""What images that are read window by window have in common, whatever the file."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError

CHUNK = 32_000_000  # the most bytes of a tile or strip that is decoded in one piece


class Georeference(NamedTuple):
    """Where an image lies on Earth, in rasterio's types; None stands for what it does not say.

    Attributes:
        crs: The coordinate reference system.
        transform: From columns and rows to coordinates.
        nodata: The value of missing pixels.
    """

    crs: Any = None
    transform: Any = None
    nodata: float | None = None


class Windows(ABC):
    """An image that gives windows of its pixels; made by `windows.open_windows`.

    Attributes:
        path: The image.
        height: Rows.
        width: Columns.
        channels: C.
        dtype: uint8, uint16 or float32.
        from_top: Whether a window takes time for all rows above it, so that it is better to read the image once.
        georeference: Where it lies on Earth.
    """

    path: str | os.PathLike[str]
    height: int
    width: int
    channels: int
    dtype: np.dtype
    from_top: bool
    georeference: Georeference = Georeference()

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """Read rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the ends not included.

        Returns:
            (bottom - top, right - left, C) of the image's dtype.

        Raises:
            InputError: The file is damaged, or a value in the window is not finite.
        """
        pixels = self._read(top, bottom, left, right)
        if self.dtype.kind == "f" and not np.isfinite(pixels).all():
            row, column, _ = np.argwhere(~np.isfinite(pixels))[0]
            raise InputError(self.path, f"non-finite value at (row, column) = ({top + row}, {left + column})")
        return pixels

    @abstractmethod
    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """The pixels as they are stored, (h, w, C)."""


def check_kind(path: str | os.PathLike[str], dtype: np.dtype, chunk: Sequence[int]) -> None:
    """Refuse types that `images.read_image` refuses, and tiles or strips that would fill the memory.

    Args:
        path: The image.
        dtype: Type of its values.
        chunk: Shape of what is decoded in one piece, rows and columns first.

    Raises:
        InputError: The image is refused.
    """
    if dtype not in (np.uint8, np.uint16, np.float32):
        raise InputError(path, f"values of type {dtype}; save them as uint8, uint16 or float32")
    size = math.prod(chunk) * dtype.itemsize
    if size > CHUNK:
        rows, columns = chunk[:2]
        pieces = f"pieces of {columns}x{rows} pixels take {size / 1e6:.0f} MB each"
        raise InputError(path, f"{pieces}; save it with tiles of 512x512")
