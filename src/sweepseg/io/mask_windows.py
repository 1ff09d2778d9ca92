"""Masks and overlays that are larger than memory, written window by window; a file is there once it is complete."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from . import png
from .files import replacing
from .image_windows import Georeference
from .masks import Color
from .raster import gdal

TILE = 256  # rows and columns of a GeoTIFF's tiles
Write = Callable[[int, np.ndarray], None]  # the column where a window starts, and its pixels


@contextmanager
def png_windows(
    path: str | os.PathLike[str], height: int, width: int, palette: Sequence[Color] | None = None
) -> Iterator[Write]:
    """Write an 8-bit PNG, from windows that come row by row of windows, each row from the left.

    Args:
        path: Where to.
        height: Rows.
        width: Columns.
        palette: Colour of each index; the windows are (h, w) uint8. Without it they are RGB, (h, w, 3).

    Raises:
        OutputError: See `files.replacing`.
    """
    with replacing(path) as temporary, open(temporary, "xb") as file:
        writer = png.Writer(file, height, width, palette)
        yield _bands(width, writer.write)
        writer.finish()


@contextmanager
def geotiff_windows(
    path: str | os.PathLike[str],
    height: int,
    width: int,
    palette: Sequence[Color],
    georeference: Georeference,
) -> Iterator[Write]:
    """Write a mask as `png_windows` does, but as a tiled GeoTIFF that lies where its image lies.

    Args:
        path: Where to.
        height: Rows.
        width: Columns.
        palette: Colour of each index.
        georeference: Of the image. Its value for missing pixels is kept where a byte can hold it.

    Raises:
        OutputError: See `files.replacing`.
    """
    nodata = georeference.nodata if georeference.nodata in range(256) else None
    layout = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "bigtiff": "if_safer"}
    where = {"crs": georeference.crs, "transform": georeference.transform, "nodata": nodata}
    size = {"height": height, "width": width, "count": 1, "dtype": "uint8"}
    row = 0

    def write(rows: np.ndarray) -> None:
        nonlocal row
        file.write(rows, 1, window=((row, row + len(rows)), (0, width)))
        row += len(rows)

    with (
        replacing(path) as temporary,
        gdal() as rasterio,
        rasterio.open(temporary.absolute(), "w", driver="GTiff", **size, **where, **layout) as file,
    ):
        file.write_colormap(1, dict(enumerate(palette)))
        yield _bands(width, write)


def _bands(width: int, write: Callable[[np.ndarray], None]) -> Write:
    """Call ``write`` with whole rows, joined from windows."""
    band = np.empty(0)

    def write_window(left: int, pixels: np.ndarray) -> None:
        nonlocal band
        if left == 0:
            band = np.empty((len(pixels), width, *pixels.shape[2:]), np.uint8)
        right = left + pixels.shape[1]
        band[:, left:right] = pixels
        if right == width:
            write(band)

    return write_window
