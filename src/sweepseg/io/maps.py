"""Maps of numbers, such as depths: one value a pixel in the unit of the data, NaN where nothing is known."""

import io
import os

import numpy as np
from PIL import Image

from ..errors import InputError
from .decode import decode, refusing
from .files import atomic_write
from .picture import MAX_PIXELS, upright

LARGEST = 2.0**53  # what a model folder can hold the mean of; more is a marker of missing values without its tag


def read_map(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a PNG, TIFF or BMP of one channel; its values are taken as they stand, in the nearest float32.

    Args:
        path: The map.
        max_pixels: Larger maps are refused from their header.

    Returns:
        float32 (H, W) in the displayed frame; NaN where the file has it, or the value that a TIFF names as missing
        (GDAL's tag 42113).

    Raises:
        InputError: The file cannot be read (see `images.read_image`), its compression is lossy, it has colours or
            several channels, or a value is infinite or beyond 2**53.
    """
    picture = decode(path, max_pixels)
    if picture.lossy:
        raise InputError(path, "lossy compression changes values; save maps as PNG or TIFF")
    pixels = picture.pixels
    with refusing(path):
        if isinstance(pixels, Image.Image):
            grey = pixels.mode in ("L", "F") or pixels.mode.startswith("I")
            if picture.bits < 8 or not grey:
                raise InputError(path, f"{picture.bits} bits of mode {pixels.mode}; save maps as grey, 8 bits or more")
            pixels = np.asarray(pixels)
        pixels = upright(pixels, picture.orientation)
        if pixels.ndim == 3:
            if pixels.shape[2] != 1:
                raise InputError(path, f"{pixels.shape[2]} channels; a map has one, several are files of a folder")
            pixels = pixels[..., 0]
        if pixels.dtype.kind not in "uif":
            raise InputError(path, f"values of type {pixels.dtype}; save maps as integers or floats")
        values = pixels.astype(np.float64)
        if picture.nodata is not None:
            kind = pixels.dtype.type if pixels.dtype.kind == "f" else np.float64
            with np.errstate(over="ignore"):
                values[pixels == kind(picture.nodata.strip(" \0"))] = np.nan
    beyond = np.argwhere(np.abs(values) > LARGEST)
    if len(beyond):
        row, column = beyond[0]
        raise InputError(
            path, f"{values[row, column]:g} at (row, column) = ({row}, {column}); save NaN where nothing is known"
        )
    return values.astype(np.float32)


def write_map(path: str | os.PathLike[str], values: np.ndarray) -> None:
    """Write a map (H, W) as a TIFF of float32, atomically.

    Raises:
        OutputError: See `files.atomic_write`.
    """
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.float32)).save(buffer, "TIFF")
    atomic_write(path, buffer.getvalue())
