"""Segmenting an image that does not fit in memory, window by window."""

import os

import numpy as np
import torch

from ..io.image_windows import Windows
from ..models.segmenter import Segmenter
from ..tasks import task_for
from .map_files import Box, MapFile, cut
from .out_of_core import OutOfCore
from .segment import as_batch, to_input
from .tiles import Tiles
from .work_folder import WorkFolder

BAND = 8_000_000  # bytes of an image that is copied at once


def segment_windows(model: Segmenter, image: Windows, runner: OutOfCore | Tiles, work: WorkFolder) -> MapFile:
    """Segment an image in parts.

    Args:
        model: What `sweepseg.load` returned.
        image: What `io.windows.open_windows` or `copied` returned.
        runner: In which parts: what `memory.plan` returned, for the result of `segment`, or `Tiles`.
        work: Where files grow in the meantime; what is done by its record is not done again.

    Returns:
        The masks, uint8 (1, N, H, W): one, or for multilabel one for each class.

    Raises:
        InputError: A window cannot be read.
        ValueError: The image does not suit the model, or makes it return something that is not finite.
    """
    task, size = task_for(model.config), (image.height, image.width)

    def read(box: Box) -> torch.Tensor:
        return model.normalised(as_batch(model, to_input(model, image.read(*box))))

    masks = work.map("masks", count_masks(model), *size, dtype=torch.uint8)
    for box, logits in runner.run(read, work):
        mask = task.decode(logits)
        masks.write(box, mask if mask.dim() == 4 else mask[:, None])
    return masks


def count_masks(model: Segmenter) -> int:
    """How many masks an image gets: one, or for multilabel one for each class."""
    return len(model.config.classes) if model.config.task == "multilabel" else 1


class Copy(Windows):
    """A copy of an image in a file of plain samples, for one that can only be read quickly from the top."""

    from_top = False

    def __init__(self, image: Windows, work: WorkFolder):
        self.path, self.georeference, self.dtype = image.path, image.georeference, image.dtype
        self.height, self.width, self.channels = image.height, image.width, image.channels
        dtype = torch.from_numpy(np.empty(0, image.dtype)).dtype
        self.file = work.map("image", image.channels, image.height, image.width, dtype=dtype)
        for box in work.steps(bands(image)):
            self.file.write(box, torch.from_numpy(image.read(*box)).permute(2, 0, 1)[None])

    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return self.file.read(Box(top, bottom, left, right))[0].permute(1, 2, 0).numpy()


def bands(image: Windows) -> list[Box]:
    """The parts of an image in which `Copy` reads it, from the top; none where it need not be copied."""
    rows = max(1, BAND // (image.width * image.channels * image.dtype.itemsize))
    return [*cut(image.height, image.width, rows, image.width)] if image.from_top else []


class Array(Windows):
    """An image in memory, (H, W, C)."""

    from_top = False

    def __init__(self, pixels: np.ndarray, path: str | os.PathLike[str]):
        self.path, self.pixels, self.dtype = path, pixels, pixels.dtype
        self.height, self.width, self.channels = pixels.shape

    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return self.pixels[top:bottom, left:right]
