"""Making pictures, pixel by pixel, or the rest of one that has begun."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Sample
from ..data.pairs import draw, read_pixels, require_bytes, to_values
from ..errors import InputError, UsageError
from ..io.images import fit_channels
from ..models.pixel_rnn import PixelPredictor
from ..models.segmenter import Segmenter
from ..tasks import Generation


def generate(
    model: Segmenter,
    count: int = 1,
    *,
    size: tuple[int, int] = (28, 28),
    seed: int = 0,
    begun: np.ndarray | None = None,
    listen: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Draw pictures from a model, each pixel from its probabilities after the pixels before it.

    Only the row of a pixel is computed for it; what the rows above say stays in the model's state.

    Args:
        model: What `sweepseg.load` returned, of task generation.
        count: Pictures, made side by side.
        size: Height and width; best those of the pictures that the model has learned from.
        seed: Seed of the draws. Picture n is the same whatever the count, but for rounding.
        begun: Upper rows (h, W, C) that all pictures share, uint8, such as those of `read_picture`. Default: none.
        listen: Called after every row with the rows that are done and their number.

    Returns:
        Pictures, uint8 (count, H, W, C).

    Raises:
        UsageError: The model is of another task, or the count, size or rows cannot be.
        ValueError: The model returns something that is not finite.

    >>> from sweepseg.models.folder import build
    >>> from sweepseg.models.segmenter import ModelConfig
    >>> values = {"task": "generation", "classes": ("0", "1"), "palette": ((0, 0, 0), (255, 255, 255))}
    >>> arguments = {"num_classes": 2, "in_channels": 1}
    >>> config = ModelConfig(builder="pixel_rnn_row", arguments=arguments, mean=(0.1,), std=(0.3,), **values)
    >>> generate(build(config).eval(), 3, size=(4, 5)).shape
    (3, 4, 5, 1)
    """
    task, network = _generator(model)
    (height, width), channels = size, network.in_channels
    if min(count, height, width) < 1:
        raise UsageError(f"{count} pictures of {height} x {width} pixels; give at least 1 of each")
    pictures = np.zeros((count, height, width, channels), np.int64)
    known = 0
    if begun is not None:
        known = len(begun)
        if begun.shape != (known, width, channels) or known > height:
            raise UsageError(f"the rows are {begun.shape}; give (rows, {width}, {channels}), at most {height} rows")
        pictures[:, :known] = to_values(begun, task.num_classes, Path("begun")).transpose(1, 2, 0)
    draws = np.stack([np.random.Generator(np.random.PCG64([seed, n])).random(pictures.shape[1:]) for n in range(count)])

    def run(first: int, last: int, state: list | None) -> tuple[Tensor, list]:
        rows = torch.from_numpy(pictures[:, first:last]).permute(0, 3, 1, 2) / (task.num_classes - 1)
        return network.run(model.normalised(rows.float().to(model.mean.device)), state)

    with torch.inference_mode():
        state = run(0, known, None)[1] if known else None
        listen(known, height)
        for row in range(known, height):
            for column in range(width):
                for channel in range(channels):
                    log_p = task.decode(run(row, row + 1, state)[0])[:, :, channel, 0, column]
                    reached = log_p.double().exp().cumsum(1).cpu().numpy()  # (count, num_classes)
                    passed = reached[:, :-1] <= draws[:, row, column, channel, None]
                    pictures[:, row, column, channel] = passed.sum(1)
            state = run(row, row + 1, state)[1]
            listen(row + 1, height)
    return (pictures * 255 // (task.num_classes - 1)).astype(np.uint8)


def read_picture(model: Segmenter, path: str | Path) -> np.ndarray:
    """A picture as the model has learned such, drawn in black and white where it knows no grey: uint8 (H, W, C).

    Raises:
        UsageError: The model is of another task.
        InputError: The file cannot be read or does not suit the model.
    """
    task, network = _generator(model)
    path = Path(path)
    pixels = require_bytes(read_pixels(Sample(path.stem, path, path)), path)
    try:
        fitting = fit_channels(pixels, network.in_channels)
    except ValueError as error:
        raise InputError(path, str(error)) from None
    return draw(fitting, 0) if task.num_classes == 2 else fitting


def _generator(model: Segmenter) -> tuple[Generation, PixelPredictor]:
    """The task and the network of a model that makes pictures."""
    if model.config.task != Generation.name:
        raise UsageError(f"the model is for task {model.config.task} and makes no pictures; train one for generation")
    return Generation(len(model.config.classes)), cast(PixelPredictor, model.network)
