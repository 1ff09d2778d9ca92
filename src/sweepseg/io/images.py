"""Images as arrays: read at full depth in the displayed frame, scaled, fitted to a model's channels, written."""

import io
import os

import numpy as np
from PIL import Image

from ..errors import InputError
from .decode import decode, refusing
from .files import atomic_write
from .picture import MAX_PIXELS, upright, warn_if_alpha_varies

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's convert("L")


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a PNG, JPEG, TIFF, BMP or WebP image.

    The format is told by the content. Values keep their depth: 8-bit images come as uint8, 16-bit ones as uint16,
    float TIFFs as float32; 1-bit images have 0 and 255. Palettes and CMYK become RGB; transparency is dropped, with a
    warning in the log where it varies. Rows and columns are those of the displayed image: EXIF orientation is applied.

    Args:
        path: A regular file; pipes and devices are refused without waiting.
        max_pixels: Larger images are refused from their header.

    Returns:
        (H, W, C) uint8, uint16 or float32; C is 1 for grey, 3 for colour, any number for TIFF.

    Raises:
        InputError: The file cannot be used, for the reason that it names. Nothing that is damaged, animated, of several
            pages or not finite is read in part.
    """
    picture = decode(path, max_pixels)
    with refusing(path):
        pixels = picture.pixels if isinstance(picture.pixels, np.ndarray) else _to_array(path, picture.pixels)
        if pixels.dtype not in (np.uint8, np.uint16, np.float32):
            raise InputError(path, f"values of type {pixels.dtype}; save them as uint8, uint16 or float32")
        pixels = upright(pixels, picture.orientation)
        if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
            row, column, _ = np.argwhere(~np.isfinite(pixels))[0]
            raise InputError(path, f"non-finite value at (row, column) = ({row}, {column})")
        return pixels


def _to_array(path: str | os.PathLike[str], image: Image.Image) -> np.ndarray:
    """(H, W, C) of an image of any of Pillow's modes."""
    mode = image.mode
    if image.has_transparency_data and not mode.startswith("I"):
        warn_if_alpha_varies(path, np.asarray(image.convert("RGBA"))[..., 3])
    if mode in ("1", "LA", "La"):
        image = image.convert("L")
    elif mode not in ("L", "RGB", "F", "I") and not mode.startswith("I;16"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def to_unit(image: np.ndarray, input_range: tuple[float, float] | None = None) -> np.ndarray:
    """Scale an image to [0, 1].

    Args:
        image: (H, W, C); without ``input_range`` uint8 is divided by 255, uint16 by 65535, and floats stay.
        input_range: The values that become 0 and 1.

    Returns:
        (H, W, C) float32 in [0, 1].

    Raises:
        ValueError: Values lie outside of the range; they are never clipped.

    >>> to_unit(np.array([[[0, 51, 255]]], np.uint8)).tolist()
    [[[0.0, 0.20000000298023224, 1.0]]]
    """
    full = {np.dtype(np.uint8): (0, 255), np.dtype(np.uint16): (0, 65535)}
    low, high = input_range or full.get(image.dtype, (0, 1))
    if image.size and not (low <= image.min() and image.max() <= high):
        raise ValueError(
            f"values lie in [{image.min():g}, {image.max():g}], outside of [{low:g}, {high:g}]; "
            "give the range of the values as input_range"
        )
    return ((image.astype(np.float32) - np.float32(low)) / np.float32(high - low)).astype(np.float32, copy=False)


def fit_channels(image: np.ndarray, in_channels: int) -> np.ndarray:
    """Give an image the number of channels that a model wants: grey is repeated, RGB becomes luma.

    Args:
        image: (..., C) of any type.
        in_channels: The model's number of channels.

    Returns:
        (..., in_channels) of the same type.

    Raises:
        ValueError: There is no rule for this pair of numbers.
    """
    channels = image.shape[-1]
    if channels == in_channels:
        return image
    if (channels, in_channels) == (1, 3):
        return image.repeat(3, axis=-1)
    if (channels, in_channels) == (3, 1):
        luma = image.astype(np.float64) @ np.array(LUMA)[:, None]
        return (luma if image.dtype.kind == "f" else np.rint(luma)).astype(image.dtype)
    raise ValueError(
        f"the image has {channels} channels but the model takes {in_channels}; "
        "only grey and RGB are turned into each other, so use another model or select channels"
    )


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write (H, W, 1 or 3) uint8 as PNG, atomically.

    Raises:
        OutputError: See `files.atomic_write`.
    """
    atomic_write(path, encode_png(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)))


def encode_png(image: Image.Image) -> bytes:
    """The bytes of a PNG file, without any metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
