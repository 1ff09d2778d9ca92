"""Segmenting one image in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..io.images import fit_channels, read_image, to_unit
from ..io.masks import overlay, write_mask
from ..models.segmenter import Segmenter
from ..tasks import TASKS


@dataclass(frozen=True)
class Segmentation:
    """What a model says about one image.

    Attributes:
        mask: Class indices, uint8 (H, W); for multilabel 0 or 1 for each class, (K, H, W).
        probabilities: float32 (K, H, W) in [0, 1]; for binary that of the object, (1, H, W).
        classes: Names of the classes.
        palette: Colours (red, green, blue) of the classes, 0 to 255.
        image: The image as it was segmented, float32 (H, W, C) in [0, 1].
    """

    mask: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    image: np.ndarray

    def overlay(self, alpha: float = 0.5) -> np.ndarray:
        """The image with its classes painted over it, uint8 (H, W, 3).

        Args:
            alpha: Strength of the colours, 0 to 1.
        """
        shown = np.rint(self.image * 255).astype(np.uint8)
        if self.mask.ndim == 2:
            return overlay(shown, self.mask, self.palette, alpha)
        for mask, color in zip(self.mask, self.palette, strict=True):
            shown = overlay(shown, mask, ((0, 0, 0), color), alpha)
        return shown

    def save(self, path: str | Path) -> None:
        """Write the mask as an index PNG whose palette shows the classes' colours."""
        write_mask(Path(path), self.mask, self.palette)


def segment(model: Segmenter, image: str | Path | np.ndarray) -> Segmentation:
    """Segment one image.

    Args:
        model: What `sweepseg.load` returned.
        image: A file, or an array (H, W) or (H, W, C): uint8, uint16, or float in the model's input range. Grey images
            are repeated to colour and colour ones turned grey where the model wants it.

    Raises:
        InputError: The file cannot be read.
        ValueError: The array does not suit the model.

    >>> import sweepseg
    >>> model = sweepseg.load(sweepseg.bundled_model())
    >>> sweepseg.segment(model, np.zeros((30, 50), np.uint8)).mask.shape
    (30, 50)
    """
    pixels = read_image(Path(image)) if isinstance(image, str | Path) else np.asarray(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    unit = fit_channels(to_unit(pixels, model.config.input_range), len(model.config.mean))
    batch = torch.from_numpy(np.ascontiguousarray(unit.transpose(2, 0, 1)))[None]
    task = TASKS[model.config.task](len(model.config.classes))
    with torch.inference_mode():
        logits = model(batch.to(model.mean.device, memory_format=torch.channels_last))
        mask, probabilities = task.decode(logits)[0], task.probabilities(logits)[0]
    return Segmentation(
        mask.cpu().numpy(), probabilities.cpu().numpy(), model.config.classes, model.config.palette, unit
    )
