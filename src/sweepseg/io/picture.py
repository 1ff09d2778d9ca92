"""What a decoder hands back, and the checks that come before it touches a pixel."""

import logging
import os
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..errors import InputError, printable

MAX_PIXELS = 89_478_485  # 256 MiB of RGB; above it Pillow itself warns of a decompression bomb

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """The stored pixels of one image file.

    Attributes:
        pixels: As Pillow reads them, or (H, W, C) where Pillow would narrow or refuse them.
        bits: Bits of one stored sample.
        lossy: Whether the compression may have changed values.
        orientation: 1..8, EXIF's way from the stored to the displayed frame; see `upright`.
        nodata: The value of missing pixels as a TIFF writes it, or None.
    """

    pixels: Image.Image | np.ndarray
    bits: int = 8
    lossy: bool = False
    orientation: int = 1
    nodata: str | None = None


def check_size(
    path: str | os.PathLike[str],
    file: BinaryIO,
    size: tuple[int, int],
    *,
    bits: int,
    expansion: float,
    max_pixels: int,
) -> None:
    """Refuse, from the header alone, an image that is too large or that its file cannot possibly hold.

    Args:
        path: The file's name, for the message.
        file: The open file.
        size: Width and height.
        bits: Bits of one pixel, all its samples together.
        expansion: The most bytes of pixels that one byte of the file can stand for.
        max_pixels: The most pixels of up to four samples.

    Raises:
        InputError: The image is refused.
    """
    width, height = size
    if width < 1 or height < 1:
        raise InputError(path, f"{width}x{height} is no image")
    if width * height > max_pixels:
        megapixels = f"{width * height / 1e6:.4g} Mpx > limit of {max_pixels / 1e6:.4g} Mpx"
        raise InputError(path, f"{width}x{height} pixels are too many: {megapixels}")
    length = os.fstat(file.fileno()).st_size
    if length * expansion < width * height * bits / 8:
        raise InputError(path, f"cut short or forged: {length} bytes cannot hold {width}x{height} pixels")


def warn_if_alpha_varies(path: str | os.PathLike[str], alpha: np.ndarray) -> None:
    """Alpha is dropped, which nobody notices unless some pixels were meant to be less visible than others."""
    if alpha.min() != alpha.max():
        logger.warning("%s has an alpha channel that varies; it is left out", printable(path))


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels (H, W, ...) into the displayed frame.

    Args:
        pixels: Rows and columns as they lie in the file.
        orientation: EXIF tag 274, 1..8; any other value means upright.

    >>> upright(np.array([[1, 2], [3, 4]]), 6).tolist()  # the camera stood on its right side
    [[3, 1], [4, 2]]
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
