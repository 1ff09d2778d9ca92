"""Opening images that are larger than memory, to read them window by window."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

from .image_windows import Windows
from .raster import open_raster
from .zarr_folder import open_folder


def open_windows(path: str | os.PathLike[str]) -> AbstractContextManager[Windows]:
    """Open a TIFF (also GeoTIFF, COG and BigTIFF), PNG or JPEG file, or a Zarr folder.

    Values and channels are those of `images.read_image`, except that JPEGs may differ by a few levels where colour is
    stored at half resolution, which another decoder interpolates. Missing pixels of a GeoTIFF come as what is stored.
    A Zarr folder is an array (H, W) or (H, W, C), or an OME-Zarr image, of which the full resolution is read.

    Raises:
        InputError: The file cannot be read in windows, for the reason that it names, or a package is missing.

    >>> import sweepseg
    >>> with open_windows(sweepseg.nuclei_sample().root / "images" / "val" / "0c2550a23b8a.png") as image:
    ...     image.read(0, 20, 100, 130).shape
    (20, 30, 3)
    """
    return open_folder(path) if Path(path).is_dir() else open_raster(path)
