"""Segmenting an image that does not fit in memory, window by window."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..io.image_windows import Windows
from ..io.images import fit_channels, to_unit
from ..layers.stages import StagedModel
from ..models.segmenter import Segmenter
from ..tasks import TASKS
from .map_files import Box, MapFile
from .out_of_core import OutOfCore
from .segment import Segmentation

BAND = 8_000_000  # bytes of an image that is copied at once


def segment_windows(
    model: Segmenter, image: Windows, folder: Path, *, window: int, strip: int
) -> Generator[tuple[Box, Segmentation], None, None]:
    """Segment an image; the windows come row by row, each row from the left, and cover it without overlap.

    Args:
        model: What `sweepseg.load` returned.
        image: What `io.windows.open_windows` returned.
        folder: An empty folder, where files grow in the meantime.
        window: Rows and columns of a window.
        strip: Rows that sweeps take at once.

    Raises:
        InputError: A window cannot be read.
        ValueError: A sweep of the model needs the whole picture, or the image does not suit the model.
    """
    task = TASKS[model.config.task](len(model.config.classes))

    def unit(box: Box) -> np.ndarray:
        return fit_channels(to_unit(read(*box), model.config.input_range), len(model.config.mean))

    def normalised(box: Box) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(unit(box).transpose(2, 0, 1)))[None]
        return (batch - model.mean) / model.std

    with ExitStack() as stack:
        read = stack.enter_context(_copied(image, folder / "image")) if image.from_top else image.read
        network, size = cast(StagedModel, model.network), (image.height, image.width)
        runner = OutOfCore(network, normalised, *size, folder, window=(window, window), strip=strip)
        for box, logits in stack.enter_context(closing(runner.run())):
            mask, probabilities = task.decode(logits)[0], task.probabilities(logits)[0]
            yield box, Segmentation(mask.numpy(), probabilities.numpy(), unit(box), model.config)


@contextmanager
def _copied(image: Windows, path: Path) -> Iterator[Callable[..., np.ndarray]]:
    """The method ``read`` of an image, from a copy of its pixels in a file."""
    dtype = torch.from_numpy(np.empty(0, image.dtype)).dtype
    rows = max(1, BAND // (image.width * image.channels * image.dtype.itemsize))
    with MapFile(path, image.channels, image.height, image.width, dtype=dtype) as file:
        for top in range(0, image.height, rows):
            box = Box(top, min(top + rows, image.height), 0, image.width)
            file.write(box, torch.from_numpy(image.read(*box)).permute(2, 0, 1)[None])
        yield lambda *box: file.read(Box(*box))[0].permute(1, 2, 0).numpy()
