"""The objects that a model finds in one image: to be looked at and saved."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..data.classes import voc_palette
from ..io.files import atomic_write
from ..io.images import encode_png
from ..io.masks import overlay
from ..metrics_instances import objects_in
from ..models.segmenter import ModelConfig
from .segmentation import Segmentation, shown_bytes


class FoundObject(NamedTuple):
    """One of the objects in an image.

    Attributes:
        number: Its number in the mask.
        label: The name of its class.
        score: How sure the model is of it, 0 to 1.
        box: First row, first column, one past the last of both.
        area: Its pixels.
    """

    number: int
    label: str
    score: float
    box: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True, kw_only=True)
class FoundObjects(Segmentation):
    """The objects that a model finds in an image.

    Attributes:
        mask: The number of the object of each pixel, int32 (H, W); 0 is background.
        probabilities: See `tasks.Instances.probabilities`.
        objects: What is known of each, in the order of their numbers.
    """

    objects: tuple[FoundObject, ...]

    def overlay(self, alpha: float = 0.5) -> np.ndarray:
        """The image with each object painted over in a colour of its own, uint8 (H, W, 3)."""
        colors = voc_palette(256)[1:]
        palette = [(0, 0, 0), *(colors[number % len(colors)] for number in range(len(self.objects)))]
        return overlay(shown_bytes(self.image), self.mask, palette, alpha)

    def save(self, path: str | Path) -> None:
        """Write the numbers as a PNG of 16 bits and, beside it, the objects as `<stem>.json`.

        Args:
            path: The PNG.
        """
        height, width = self.mask.shape
        facts = {"height": height, "width": width, "objects": [one._asdict() for one in self.objects]}
        atomic_write(Path(path), encode_png(Image.fromarray(self.mask.astype(np.uint16))))
        atomic_write(Path(path).with_suffix(".json"), json.dumps(facts, indent=1).encode())


def listed(found: np.ndarray, config: ModelConfig) -> tuple[FoundObject, ...]:
    """The objects in what an object task decodes, float32 (3, H, W): number, class and score of each pixel's object.

    Raises:
        ValueError: There are more than a mask of 16 bits can number.
    """
    objects = objects_in(found[0].astype(np.int32))
    if len(objects.numbers) > 65535:
        raise ValueError(f"{len(objects.numbers)} objects were found, a mask of 16 bits takes 65535; cut the image")
    classes, scores = (plane.ravel()[objects.first].tolist() for plane in found[1:])
    return tuple(
        FoundObject(number, config.classes[int(label) - 1], round(score, 6), tuple(box), area)
        for number, label, score, box, area in zip(
            objects.numbers.tolist(), classes, scores, objects.boxes.tolist(), objects.areas.tolist(), strict=True
        )
    )
