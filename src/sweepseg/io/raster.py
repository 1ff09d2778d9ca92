"""Windows of TIFF, PNG and JPEG files, through GDAL; none of its other drivers and no second file is ever opened."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from ..errors import InputError, printable
from .decode import refusing
from .files import open_regular
from .header import Header, read_header
from .image_windows import CHUNK, Georeference, Windows, check_kind
from .picture import check_size

DRIVERS = {"TIFF": "GTiff", "PNG": "PNG", "JPEG": "JPEG"}
OPTIONS = {
    "GDAL_CACHEMAX": CHUNK,  # bytes
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
    "GDAL_PNG_SINGLE_BLOCK": False,
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": False,  # takes a file that is cut short for a whole one
}

logger = logging.getLogger(__name__)


@contextmanager
def gdal() -> Iterator[ModuleType]:
    """Rasterio, with GDAL's settings for this block.

    Raises:
        ImportError: It is not installed.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings(), rasterio.Env(**OPTIONS):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield rasterio


@contextmanager
def open_raster(path: str | os.PathLike[str]) -> Iterator[Windows]:
    """Open an image file; see `windows.open_windows`."""
    with open_regular(path) as file, refusing(path):
        header = read_header(file)
        size = (header.width, header.height)
        bits = header.bits * header.samples
        check_size(path, file, size, bits=bits, expansion=header.expansion, max_pixels=sys.maxsize)
        large = f"{header.width}x{header.height} pixels are too large for memory"
        if header.trouble:
            raise InputError(path, f"{large}, and {header.trouble} cannot be read in parts; save it as a tiled TIFF")
    if find_spec("rasterio") is None:
        raise InputError(path, f'{large}; pip install "sweepseg[geo]" to read it in parts')
    with _dataset(path, header.format) as dataset:
        with refusing(path):
            windows = RasterWindows(path, header, dataset)
        yield windows


def read_georeference(path: str | os.PathLike[str]) -> Georeference:
    """Read where an image of any format lies on Earth; of turned images this is not known.

    Raises:
        InputError: The file is damaged.
        ImportError: Rasterio is not installed.
    """
    with open_regular(path) as file, refusing(path):
        header = read_header(file)
    if header.format != "TIFF" or header.turned:
        return Georeference()
    with _dataset(path, header.format) as dataset:
        return Georeference(dataset.crs, dataset.transform, dataset.nodata)


@contextmanager
def _dataset(path: str | os.PathLike[str], format: str) -> Iterator[Any]:
    """Open a file with the driver of its format. Whatever GDAL asks for by name, it is given this file."""

    def opener(name: str, mode: str = "rb") -> BinaryIO:
        return open_regular(path)

    with gdal() as rasterio, ExitStack() as stack:
        with refusing(path), _telling():
            dataset = stack.enter_context(rasterio.open("image", driver=DRIVERS[format], opener=opener))
        yield dataset


@contextmanager
def _telling() -> Iterator[None]:
    """Raise what GDAL says is wrong instead of "see previous exception"."""
    try:
        yield
    except OSError as error:
        raise error.__cause__ or error from None


class RasterWindows(Windows):
    """Windows of a dataset that rasterio opened.

    Args:
        path: The file.
        header: What it says about itself.
        dataset: The open dataset.
    """

    def __init__(self, path: str | os.PathLike[str], header: Header, dataset: Any):
        self.path, self.header, self.dataset = path, header, dataset
        self.height, self.width = dataset.shape
        self.samples = [*range(1, header.samples + 1 - header.alpha)]
        self.dtype = np.dtype(dataset.dtypes[0])
        if header.white_is_zero and self.dtype.kind == "f":
            raise InputError(path, "TIFF of float32 where 0 is white is not read; save it with 0 as black")
        self.table = None
        if header.indexed:
            self.table = np.zeros((256, 3), np.uint8)
            for index, color in dataset.colormap(1).items():
                self.table[index] = color[:3]
        self.channels = 3 if header.indexed else len(self.samples)
        rows, columns = dataset.block_shapes[0]
        interleaved = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL"
        check_kind(path, self.dtype, (rows, columns, dataset.count if interleaved else 1))
        self.from_top = columns >= self.width and rows < self.height
        self.georeference = Georeference(dataset.crs, dataset.transform, dataset.nodata)
        if header.alpha:
            logger.warning("%s has an alpha channel; it is left out", printable(path))

    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        with refusing(self.path), _telling():
            samples = self.dataset.read(self.samples, window=((top, bottom), (left, right)))  # (C, h, w)
        pixels = np.ascontiguousarray(samples.transpose(1, 2, 0))
        if self.table is not None:
            return self.table[pixels[..., 0]]
        if self.header.bits < 8:
            pixels *= np.uint8(255 // (2**self.header.bits - 1))
        return np.iinfo(self.dtype).max - pixels if self.header.white_is_zero else pixels
