"""What an image file says about its pixels before any of them is decoded."""

import math
import os
from dataclasses import dataclass
from typing import BinaryIO

from PIL import ImageFile

from ..errors import InputError
from . import png, tiff
from .decode import EXPANSION, PLUGINS, SUFFIXES, format_of, orientation_of, refusing
from .files import open_regular

TURNED = range(2, 9)  # orientations
PALETTE, YCBCR, JPEG = 3, 6, 7  # photometric interpretations and a compression of TIFF


@dataclass(frozen=True)
class Header:
    """The size and kind of the stored pixels.

    Attributes:
        format: PNG, JPEG, TIFF, BMP or WebP.
        height: Rows.
        width: Columns.
        samples: Numbers that are stored for a pixel.
        bits: Bits of one of them.
        expansion: The most bytes of pixels that one byte of the file can stand for.
        indexed: Whether pixels are indices of a palette.
        alpha: Whether the last one is transparency.
        white_is_zero: Whether low values of grey are bright.
        turned: Whether rows and columns are not those of the displayed image.
        trouble: What makes it impossible to read parts of the image, or to read them as `read_image` does.
    """

    format: str
    height: int
    width: int
    samples: int
    bits: int
    expansion: float
    indexed: bool
    alpha: bool
    white_is_zero: bool
    turned: bool
    trouble: str | None


def exceeds(path: str | os.PathLike[str], max_pixels: int) -> bool:
    """Whether an image is one that `read_image` refuses for its number of pixels.

    What has no header that can be read does not count as large: `read_image` says what is wrong with it.
    """
    try:
        with open_regular(path) as file, refusing(path):
            header = read_header(file)
    except InputError:
        return False
    return header.height * header.width > max_pixels * 4 // max(4, header.samples)


def read_header(file: BinaryIO) -> Header:
    """Read the header of an image file; whatever is wrong with one raises one of many exceptions, see `refusing`."""
    start = file.read(32)
    file.seek(0)
    format = format_of(start)
    if format not in SUFFIXES:
        raise ValueError(format)
    if format == "TIFF":
        return _tiff(file)
    image = PLUGINS[format](file)
    channels = png.Header.parse(start).channels if format == "PNG" else len(image.getbands())
    turned = _turned(image, file)
    troubles = {
        f"{format} images": format not in ("PNG", "JPEG"),
        "animations": getattr(image, "n_frames", 1) > 1,
        "interlaced PNGs": bool(image.info.get("interlace")),
        "progressive JPEGs": bool(image.info.get("progressive")),
        "CMYK JPEGs": format == "JPEG" and channels == 4,
        "images turned by EXIF orientation": turned,
    }
    return Header(
        format,
        image.height,
        image.width,
        channels,
        bits=png.Header.parse(start).bits if format == "PNG" else 8,
        expansion=EXPANSION[format],
        indexed=image.mode == "P",
        alpha=format == "PNG" and channels in (2, 4),
        white_is_zero=False,
        turned=turned,
        trouble=_first(troubles),
    )


def _tiff(file: BinaryIO) -> Header:
    directories = tiff.read_directories(file)
    first = directories[0]

    def number(tag: int, default: int) -> int:
        return tiff.read_numbers(first, tag, default)[0]

    photometric, samples = number(tiff.PHOTOMETRIC, tiff.BLACK_IS_ZERO), number(tiff.SAMPLES, 1)
    compression = number(tiff.COMPRESSION, 1)
    bits = tiff.read_numbers(first, tiff.BITS, 1)
    pages = [page for page in directories if not tiff.read_numbers(page, tiff.SUBFILE, 0)[0] & 0b101]
    turned = number(tiff.ORIENTATION, 1) in TURNED
    color = photometric in (tiff.WHITE_IS_ZERO, tiff.BLACK_IS_ZERO, tiff.RGB) or (
        (photometric == PALETTE and max(bits) <= 8) or (photometric, compression) == (YCBCR, JPEG)
    )
    troubles = {
        "TIFFs of several pages": len(pages) != 1 or pages[0] is not first,
        "volumes": number(tiff.DEPTH, 1) != 1,
        "TIFFs of this kind of colour": not color,
        f"TIFFs of {bits[0]}-bit samples": len(set(bits)) > 1
        or bits[0] not in ((1, 2, 4, 8, 16, 32) if samples == 1 else (8, 16, 32)),
        "images turned by their orientation": turned,
    }
    return Header(
        "TIFF",
        number(tiff.HEIGHT, 0),
        number(tiff.WIDTH, 0),
        samples,
        bits=max(bits),
        expansion=tiff.EXPANSION.get(compression, math.inf),
        indexed=photometric == PALETTE,
        alpha=samples == tiff.COLORS.get(photometric, 0) + 1 and number(tiff.EXTRA_SAMPLES, 0) in (1, 2),
        white_is_zero=photometric == tiff.WHITE_IS_ZERO,
        turned=turned,
        trouble=_first(troubles),
    )


def _turned(image: ImageFile.ImageFile, file: BinaryIO) -> bool:
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode it to look behind the pixels
        return b"eXIf" in png.chunk_kinds(file)
    return orientation_of(image) in TURNED


def _first(troubles: dict[str, bool]) -> str | None:
    return next((trouble for trouble, present in troubles.items() if present), None)
