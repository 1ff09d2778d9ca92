"""From an image file to its stored pixels, at full depth, or to a refusal that says why."""

import contextlib
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ..errors import InputError, printable
from . import png, tiff
from .files import open_regular
from .picture import Picture, check_size, warn_if_alpha_varies

SUFFIXES = {
    "PNG": {".png"},
    "JPEG": {".jpg", ".jpeg"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp"},
    "WebP": {".webp"},
}

# Pillow's classes one by one: `Image.open` tries dozens of formats, some of which start other programs, and has
# process-wide limits.
PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}

# The most bytes of pixels that one byte of the file can stand for: deflate; 1 bit a block at 4x4 subsampling; run
# lengths of 255 in two bytes; a WebP of one colour has no bound.
EXPANSION = {"PNG": 1032, "JPEG": 1400, "BMP": 128, "WebP": math.inf}

logger = logging.getLogger(__name__)


def decode(path: str | os.PathLike[str], max_pixels: int) -> Picture:
    """Read an image file whole; its format is told by its content.

    Raises:
        InputError: For whatever keeps the one image in the file from being read exactly as it was saved.
    """
    with open_regular(path) as file, refusing(path):
        start = file.read(32)
        file.seek(0)
        format = format_of(start)
        if format not in SUFFIXES:
            raise InputError(path, f"{format}; PNG, JPEG, TIFF, BMP and WebP are read")
        if Path(path).suffix.lower() not in SUFFIXES[format]:
            logger.warning("%s is a %s file, whatever its suffix says, and is read as such", printable(path), format)
        if format == "TIFF":
            return tiff.decode(path, file, max_pixels)
        return _with_pillow(path, file, format, start, max_pixels)


def format_of(start: bytes) -> str:
    """The format that the first 32 bytes of a file tell; of another one, what it is in words."""
    if start.startswith(png.SIGNATURE):
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if start.startswith(b"BM"):
        return "BMP"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    return "GIF image" if start.startswith(b"GIF8") else "not an image"


def _with_pillow(path: str | os.PathLike[str], file: BinaryIO, format: str, start: bytes, max_pixels: int) -> Picture:
    image = PLUGINS[format](file)
    bits, channels = 8, len(image.getbands())
    if format == "PNG":
        header = png.Header.parse(start)
        bits, channels = header.bits, header.channels
    elif format == "BMP":
        bits = 1  # at least; Pillow does not tell
    check_size(path, file, image.size, bits=bits * channels, expansion=EXPANSION[format], max_pixels=max_pixels)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise InputError(path, f"animation of {frames} frames; save the frame that is meant as an image of its own")
    image.load()
    orientation = orientation_of(image)
    lossy = format in ("JPEG", "WebP")
    if bits == 16 and channels > 1:
        file.seek(0)
        pixels = png.decode16(file.read())
        if channels in (2, 4):
            warn_if_alpha_varies(path, pixels[..., -1])
            pixels = pixels[..., :-1]
        return Picture(pixels, bits, lossy, orientation)
    return Picture(image, bits, lossy, orientation)


def orientation_of(image: Image.Image) -> int:
    """EXIF's way from the stored to the displayed frame, 1..8; see `picture.upright`."""
    try:
        return image.getexif().get(274, 1)
    except Exception:  # metadata that cannot be read is no reason to refuse the pixels
        return 1


@contextlib.contextmanager
def refusing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever decoders raise on bytes that they cannot read into `InputError`."""
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(path, "too large for memory") from error
    except Exception as error:  # on damaged files Pillow, tifffile and zlib raise more than a dozen types
        raise InputError(path, f"cannot be read: {error}") from error
