"""Masks: one class index a pixel, read and written without ever changing an index."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from .decode import decode, refusing
from .files import atomic_write, is_volume
from .images import encode_png
from .nifti import read_labels
from .picture import MAX_PIXELS, upright

Color = tuple[int, int, int]


def read_mask(
    path: str | os.PathLike[str], *, colors: Mapping[Color, int] | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read a PNG, TIFF or BMP mask; a palette image gives its indices, a 1-bit image 0 and 1. NIfTI: `read_labels`.

    Args:
        path: The mask.
        colors: The index of every (red, green, blue) that may stand in a mask that is stored as colours.
        max_pixels: Larger masks are refused from their header.

    Returns:
        (H, W) uint8, uint16 or int32 in the displayed frame; of a volume (D, H, W).

    Raises:
        InputError: The file cannot be read (see `images.read_image`), its compression is lossy, or it holds colours
            that ``colors`` does not name.
    """
    if is_volume(Path(path)):
        return read_labels(path)
    picture = decode(path, max_pixels)
    if picture.lossy:
        raise InputError(path, "lossy compression changes labels; save masks as PNG")
    pixels = picture.pixels
    with refusing(path):
        if isinstance(pixels, Image.Image):
            if picture.bits in (2, 4) and pixels.mode == "L":
                raise InputError(path, f"{picture.bits}-bit grey leaves open what values mean; save masks with 8 bits")
            pixels = np.asarray(pixels.convert("RGB") if pixels.mode in ("RGBA", "CMYK") else pixels)
        pixels = upright(pixels, picture.orientation)
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        if pixels.ndim == 3:
            return _indices(path, pixels, colors or {})
        return _integers(path, pixels)


def _indices(path: str | os.PathLike[str], pixels: np.ndarray, colors: Mapping[Color, int]) -> np.ndarray:
    """The index of each pixel's colour, (H, W, 3) uint8 -> (H, W)."""
    if pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise InputError(path, f"{pixels.shape[2]} channels of {pixels.dtype}; a mask has one, or 8-bit RGB colours")
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)  # (H, W)
    found, position = np.unique(codes, return_inverse=True)
    found_colors = [(code >> 16, code >> 8 & 255, code & 255) for code in found.tolist()]
    unknown = [color for color in found_colors if color not in colors]
    if unknown:
        listed = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        raise InputError(path, f"{len(unknown)} colours without an index: {listed}; name them in the table of colours")
    indices = np.array([colors[color] for color in found_colors])
    return _integers(path, indices[position].reshape(codes.shape))


def _integers(path: str | os.PathLike[str], mask: np.ndarray) -> np.ndarray:
    if mask.dtype in (np.uint8, np.uint16, np.int32):
        return mask.astype(mask.dtype.newbyteorder("="), copy=False)
    if mask.dtype.kind not in "biu":
        raise InputError(path, f"values of type {mask.dtype}; class indices are integers")
    for dtype in (np.uint8, np.uint16, np.int32):
        if np.iinfo(dtype).min <= mask.min() and mask.max() <= np.iinfo(dtype).max:
            return mask.astype(dtype)
    raise InputError(path, f"values up to {mask.max()} do not fit into 31 bits")


def write_mask(path: str | os.PathLike[str], mask: np.ndarray, palette: Sequence[Color] | None = None) -> None:
    """Write an index PNG, atomically: 8 bits where they are enough, else 16.

    Args:
        path: Where to.
        mask: (H, W) of integers 0..65535, or of bools.
        palette: Colour of each index, for viewers; the stored indices are the same with and without. Indices beyond it
            are shown in black. Only for masks of 8 bits.

    Raises:
        ValueError: The mask is none.
        OutputError: See `files.atomic_write`.
    """
    highest = 255 if palette else 65535
    if mask.ndim != 2 or mask.dtype.kind not in "biu" or not mask.size or mask.min() < 0 or mask.max() > highest:
        raise ValueError(f"a mask of {mask.dtype} {mask.shape} came; wanted are (H, W) integers in 0..{highest}")
    image = Image.fromarray(mask.astype(np.uint8 if mask.max() <= 255 else np.uint16))
    if palette:
        table = np.zeros((256, 3), np.uint8)
        table[: len(palette)] = palette
        image.putpalette(table.tobytes())
    atomic_write(path, encode_png(image))


def overlay(image: np.ndarray, mask: np.ndarray, palette: Sequence[Color], alpha: float = 0.5) -> np.ndarray:
    """Lay the colours of a mask over its image, to be looked at.

    Args:
        image: (H, W, 1 or 3) uint8.
        mask: (H, W) of class indices.
        palette: Colour of each class. Black classes (the usual background) and indices without a colour show the image.
        alpha: Share of the colour, 0..1.

    Returns:
        (H, W, 3) uint8.
    """
    table = np.zeros((max(len(palette), int(mask.max()) + 1), 3), np.uint8)
    table[: len(palette)] = palette
    color = table[mask]  # (H, W, 3)
    mixed = np.rint((1 - alpha) * image + alpha * color).astype(np.uint8)
    return np.where(color.any(axis=2, keepdims=True), mixed, image)
