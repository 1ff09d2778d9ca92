"""How large an image may be in a given amount of memory, and in which parts a larger one fits."""

import weakref
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..errors import UsageError
from ..io.image_windows import Windows
from ..layers.stages import StagedModel, Swept
from ..models.segmenter import Segmenter
from .out_of_core import OutOfCore
from .segment import segment
from .windows import segment_windows
from .work_folder import WorkFolder

BASE = 372_000_000  # bytes of a process that has loaded torch and a small model; measured
READING = 100_000_000  # that GDAL or Zarr and GDAL's cache take, 80 MB, and what gaps grow by in hours
WORKSPACE = 2.25  # peak of the process over that of its tensors: kernels allocate too; 1.2 to 2.1 were measured
WORKSPACE_IN_PARTS = 3.5  # the same where maps of many sizes come and go and leave gaps; 2.0 to 3.3 were measured
SIDE = 64  # rows and columns of the image that is segmented to see what a pixel takes
DEPTH = 16  # slices, rows and columns of a volume to the same end
WINDOWS = range(512, 0, -64)  # rows and columns of windows


def max_pixels(model: Segmenter, memory: int) -> int:
    """The most pixels that one image may have, from the tensors that are alive at once while a small one is segmented.

    Args:
        model: The model.
        memory: Bytes for the whole process.

    Raises:
        UsageError: Not even the process without an image fits.
    """
    if memory <= BASE:
        raise UsageError(f"{memory / 1e6:g} MB are too little: sweepseg takes {BASE / 1e6:g} MB without any image")
    return int((memory - BASE) / _pixel_bytes(model))


def plan(model: Segmenter, image: Windows, memory: int, *, written: int) -> OutOfCore:
    """The largest windows and strips with which `segment_windows` keeps to an amount of memory.

    Args:
        model: The model.
        image: The image.
        memory: Bytes for the whole process.
        written: Bytes a pixel that are written from windows.

    Raises:
        ValueError: Not even the smallest fit, or the model needs the whole picture.
    """
    network = cast(StagedModel, model.network)
    in_windows, in_strips = (WORKSPACE_IN_PARTS * peak for peak in _peaks(model))
    available = memory - BASE - READING

    def runner(window: int, strip: int) -> OutOfCore:
        return OutOfCore(network, image.height, image.width, window=(window, window), strip=strip)

    def window_bytes(window: int) -> float:
        return max(in_windows * runner(window, WINDOWS[0]).window_pixels, written * window * image.width)

    shortest = network.total_stride
    least = max(window_bytes(WINDOWS[-1]), in_strips * shortest * image.width)
    if least > available:
        raise ValueError(
            f"{image.width}x{image.height} pixels take {(BASE + READING + least) / 1e6:.0f} MB even in the smallest "
            f"parts, but {memory / 1e6:g} MB are allowed"
        )
    window = next(side for side in WINDOWS if window_bytes(side) <= available)
    strip = min(WINDOWS[0], int(available / max(1, in_strips * image.width))) // shortest * shortest
    return runner(window, strip)


def check_tile(model: Segmenter, width: int, memory: int, *, tile: int, written: int) -> None:
    """Refuse tiles that do not fit in an amount of memory.

    Args:
        model: The model.
        width: Columns of the image.
        memory: Bytes for the whole process.
        tile: Rows and columns of a tile.
        written: Bytes a pixel that are written from windows of that size.

    Raises:
        ValueError: They do not fit.
    """
    least = BASE + READING + max(_pixel_bytes(model) * tile**2, written * tile * width)
    if least > memory:
        raise ValueError(
            f"tiles of {tile}x{tile} pixels take {least / 1e6:.0f} MB, but {memory / 1e6:g} MB are allowed"
        )


def _pixel_bytes(model: Segmenter) -> float:
    """Bytes that a process takes for a pixel of an image, or a voxel of a volume, that is segmented whole."""
    volume = np.zeros((DEPTH, DEPTH, DEPTH, len(model.config.mean)), np.float32)
    image = volume if model.volumes else _Blank(model).read(0, SIDE, 0, SIDE)
    with _Alive() as alive, suppress(ValueError):  # a model that gives NaN is refused with its first image
        segment(model, image, next(iter(model.config.words), None))  # where it takes a sentence, any word will do
    return WORKSPACE * alive.peak / image[..., 0].size


def _peaks(model: Segmenter) -> tuple[float, float]:
    """Bytes of tensors that are alive at once: for a pixel that is read for a window, and for one of a strip."""
    in_strips = outside = 0
    runner = OutOfCore(cast(StagedModel, model.network), SIDE, SIDE, window=(SIDE, SIDE), strip=SIDE)

    def enter(*_: object) -> None:
        nonlocal outside
        outside, alive.peak = alive.peak, alive.now

    def leave(*_: object) -> None:
        nonlocal in_strips
        in_strips = max(in_strips, alive.peak)
        alive.peak = max(outside, alive.peak)

    with ExitStack() as stack:
        for stage in cast(StagedModel, model.network).stages.values():
            if isinstance(stage, Swept):
                for hook in (stage.register_forward_pre_hook(enter), stage.register_forward_hook(leave)):
                    stack.callback(hook.remove)
        work = stack.enter_context(closing(WorkFolder(Path(stack.enter_context(TemporaryDirectory())))))
        with _Alive() as alive, suppress(ValueError):
            segment_windows(model, _Blank(model), runner, work)
    return alive.peak / SIDE**2, in_strips / SIDE**2


class _Blank(Windows):
    """A small image as a model wants it, all black."""

    height = width = SIDE
    from_top = False

    def __init__(self, model: Segmenter):
        self.channels, self.dtype = len(model.config.mean), np.dtype(np.float32)
        self.black = (model.config.input_range or (0, 1))[0]

    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return np.full((bottom - top, right - left, self.channels), self.black, np.float32)


class _Alive(TorchDispatchMode):
    """Follows how many bytes of tensors made within it are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: weakref.WeakSet = weakref.WeakSet()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip what never runs here, torch would import 70 MB of its compiler

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        result = op(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (storage := tensor.untyped_storage()) not in self.known:
                self.known.add(storage)
                self._count(storage.nbytes())
                weakref.finalize(storage, self._count, -storage.nbytes())
        return result

    def _count(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)
