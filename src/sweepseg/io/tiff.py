"""TIFF: Pillow reads what it reads at full depth, tifffile the rest."""

import logging
import math
import os
from itertools import islice
from typing import BinaryIO

import numpy as np
from PIL import TiffImagePlugin

from ..errors import InputError
from .picture import Picture, check_size, warn_if_alpha_varies

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
ORIENTATION, SAMPLES, EXTRA_SAMPLES, SAMPLE_FORMAT, DEPTH, NODATA = 274, 277, 338, 339, 32997, 42113

UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # sample formats
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # photometric interpretations
COLORS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, 3: 1, 5: 4, 6: 3}  # and palette, CMYK, YCbCr -> samples a pixel

# The most bytes of pixels that one byte of the file can stand for: none, LZW, deflate (two numbers), PackBits.
EXPANSION = {1: 1, 5: 1500, 8: 1032, 32946: 1032, 32773: 64}
LOSSY = {6, 7, 34892, 50001, 50002}  # JPEG in three ways, WebP, JPEG XL

MAX_DIRECTORIES = 100


def decode(path: str | os.PathLike[str], file: BinaryIO, max_pixels: int) -> Picture:
    """Read the one image of a TIFF; smaller copies of it (overviews) and transparency masks are passed over.

    Raises:
        InputError: The file holds several images, is too large, or its kind of samples is not read.
    """
    directories = read_directories(file)
    if not directories or WIDTH not in directories[0]:
        raise InputError(path, "cut short: its directory is missing")
    first = directories[0]
    pages = [page for page in directories if not read_numbers(page, SUBFILE, 0)[0] & 0b101]
    if len(pages) != 1 or pages[0] is not first:
        raise InputError(path, f"{len(pages)} pages; save the page that is meant as a file of its own")

    if read_numbers(first, DEPTH, 1) != (1,):
        raise InputError(path, "a volume; save the slice that is meant as a file of its own")
    (width,), (height,), (samples,) = (read_numbers(first, tag, 1) for tag in (WIDTH, HEIGHT, SAMPLES))
    bits, formats = set(read_numbers(first, BITS, 1)), set(read_numbers(first, SAMPLE_FORMAT, UNSIGNED))
    (compression,) = read_numbers(first, COMPRESSION, 1)
    (photometric,) = read_numbers(first, PHOTOMETRIC, BLACK_IS_ZERO)
    check_size(
        path,
        file,
        (width, height),
        bits=max(bits) * samples,
        expansion=EXPANSION.get(compression, math.inf),
        max_pixels=max_pixels * 4 // max(4, samples),
    )
    alpha = samples == COLORS.get(photometric, 0) + 1 and read_numbers(first, EXTRA_SAMPLES, 0)[0] in (1, 2)
    known = samples == COLORS.get(photometric, 0) + alpha and len(bits) == len(formats) == 1
    kind = (bits.pop(), formats.pop())
    lossy = compression in LOSSY
    nodata = str(first[NODATA]) if NODATA in first else None

    exact = [(16, UNSIGNED), (32, SIGNED), (32, FLOAT)] if (photometric, samples) == (BLACK_IS_ZERO, 1) else []
    if known and (kind in exact or (kind[0] <= 8 and kind[1] == UNSIGNED)):
        file.seek(0)
        image = TiffImagePlugin.TiffImageFile(file)
        image.load()  # Pillow turns TIFFs upright by itself
        return Picture(image, kind[0], lossy, nodata=nodata)

    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise InputError(path, f"TIFF of photometric interpretation {photometric} is not read; save it as grey or RGB")
    pixels = _with_tifffile(path, file)
    if kind[0] != pixels.dtype.itemsize * 8:
        raise InputError(path, f"TIFF of {kind[0]}-bit samples is not read; save it with 8 or 16 bits")
    if photometric == WHITE_IS_ZERO:
        if pixels.dtype.kind != "u":
            raise InputError(path, f"TIFF of {pixels.dtype} where 0 is white is not read; save it with 0 as black")
        pixels = np.iinfo(pixels.dtype).max - pixels
    if alpha:
        warn_if_alpha_varies(path, pixels[..., -1])
        pixels = pixels[..., :-1]
    return Picture(pixels, kind[0], lossy, read_numbers(first, ORIENTATION, 1)[0], nodata)


def _with_tifffile(path: str | os.PathLike[str], file: BinaryIO) -> np.ndarray:
    try:
        import tifffile
    except ImportError as error:
        raise InputError(path, 'this kind of TIFF needs tifffile; pip install "sweepseg[tiff]"') from error
    file.seek(0)
    log = tifffile.logger()
    level = log.level
    log.setLevel(logging.CRITICAL)  # it complains of tags that are not needed; what is wrong with pixels raises
    try:
        page = tifffile.TiffFile(file).pages[0]
        pixels = page.asarray()
    finally:
        log.setLevel(level)
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels[..., None] if page.axes == "YX" else pixels  # (H, W, C)


def read_directories(file: BinaryIO) -> list[TiffImagePlugin.ImageFileDirectory_v2]:
    """The image file directories, each once, however their chain runs."""

    def chain():
        file.seek(0)
        start = file.read(8)
        if start[2:3] == b"+":
            start += file.read(8)  # BigTIFF
        offset, seen = TiffImagePlugin.ImageFileDirectory_v2(start).next, set()
        while offset and offset not in seen:
            seen.add(offset)
            file.seek(offset)
            directory = TiffImagePlugin.ImageFileDirectory_v2(start)
            directory.load(file)
            yield directory
            offset = directory.next

    return list(islice(chain(), MAX_DIRECTORIES))


def read_numbers(directory: TiffImagePlugin.ImageFileDirectory_v2, tag: int, default: int) -> tuple[int, ...]:
    """The values of a tag, of which one that is missing has the default."""
    value = directory.get(tag, default)
    return value if isinstance(value, tuple) else (value,)
