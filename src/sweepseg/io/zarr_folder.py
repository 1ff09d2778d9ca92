"""Windows of Zarr folders: plain arrays and OME-Zarr images."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import InputError
from .decode import refusing
from .image_windows import Windows, check_kind


@contextmanager
def open_folder(path: str | os.PathLike[str]) -> Iterator[Windows]:
    """Open a Zarr folder; see `windows.open_windows`."""
    if find_spec("zarr") is None:
        raise InputError(path, 'Zarr is read by a package of its own; pip install "sweepseg[zarr]"')
    import zarr

    with zarr.config.set({"async.concurrency": 1}):  # each chunk that is decoded at once takes memory
        with refusing(path):
            array, axes = _image(path, zarr.open(zarr.storage.LocalStore(path, read_only=True), mode="r"))
            windows = ZarrWindows(path, array, axes)
        yield windows


def _image(path: str | os.PathLike[str], node: Any) -> tuple[Any, str]:
    """The array of an image, and the letters of its axes.

    Source: OME-Zarr 0.4 and 0.5, https://ngff.openmicroscopy.org/0.5/#multiscale-md
    """
    if hasattr(node, "shape"):
        return node, "yxc"[: node.ndim]
    attributes = node.attrs.asdict()
    scales = attributes.get("ome", attributes).get("multiscales")
    if not scales:
        raise InputError(path, "neither an array nor an OME-Zarr image; name the array that is meant")
    return node[scales[0]["datasets"][0]["path"]], "".join(axis["name"] for axis in scales[0]["axes"])


class ZarrWindows(Windows):
    """Windows of a Zarr array.

    Args:
        path: The folder.
        array: The open array.
        axes: A letter for each of its axes: y, x, perhaps c, and others of length 1.
    """

    def __init__(self, path: str | os.PathLike[str], array: Any, axes: str):
        length = dict(zip(axes, array.shape, strict=False))
        others = {axis: size for axis, size in length.items() if axis not in "yxc" and size != 1}
        if len(axes) != array.ndim or not {"y", "x"} <= length.keys() or others:
            raise InputError(path, f"an array {array.shape}; give (H, W), (H, W, C) or an OME-Zarr image of one plane")
        if 0 in array.shape:
            raise InputError(path, f"an array {array.shape} is no image")
        self.path, self.array, self.axes = path, array, axes
        self.height, self.width, self.channels = length["y"], length["x"], length.get("c", 1)
        self.dtype = np.dtype(array.dtype)
        rows, columns = (array.chunks[axes.index(axis)] for axis in "yx")
        check_kind(path, self.dtype, (rows, columns, math.prod(array.chunks) // (rows * columns)))
        self.from_top = False

    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        parts = {"y": slice(top, bottom), "x": slice(left, right), "c": slice(None)}
        with refusing(self.path):
            pixels = self.array[tuple(parts.get(axis, 0) for axis in self.axes)]
        kept = [axis for axis in self.axes if axis in parts]
        pixels = pixels.transpose([kept.index(axis) for axis in "yxc" if axis in kept])
        pixels = np.ascontiguousarray(pixels, self.dtype.newbyteorder("="))
        return pixels.reshape(bottom - top, right - left, self.channels)
