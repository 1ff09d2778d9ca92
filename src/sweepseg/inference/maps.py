"""The maps of numbers that a model finds in one image: to be looked at and saved."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..io.maps import write_map
from .segmentation import Segmentation, mask_files, shown_bytes


@dataclass(frozen=True)
class FoundMaps(Segmentation):
    """The maps of numbers that a model finds in an image.

    Attributes:
        mask: Each map in its unit, float32 (K, H, W); `config.classes` names them.
        probabilities: The same.
    """

    def overlay(self, alpha: float = 0.5) -> np.ndarray:
        """The image under each of its maps, side by side, uint8 (H, K * W, 3).

        A map runs from black, its smallest number, over red and yellow to white, its largest.
        """
        lowest, highest = (side(self.mask, axis=(1, 2), keepdims=True) for side in (np.min, np.max))
        share = (self.mask - lowest) / np.maximum(highest - lowest, np.finfo(np.float32).tiny)  # (K, H, W)
        colour = 255 * (3 * share[..., None] - [0, 1, 2]).clip(0, 1)
        return np.concatenate([*np.rint((1 - alpha) * shown_bytes(self.image) + alpha * colour).astype(np.uint8)], 1)

    def save(self, path: str | Path) -> None:
        """Write the map as a TIFF of float32.

        Args:
            path: The file; for several maps a folder, which gets `<map>.tif` for each.
        """
        for file, values in zip(mask_files(Path(path), self.config), self.mask, strict=True):
            write_map(file, values)
