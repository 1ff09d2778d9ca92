"""What a model says about one image or volume, pixel by pixel: to be looked at and saved."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..io.masks import overlay, write_mask
from ..io.nifti import write_labels
from ..models.segmenter import ModelConfig


@dataclass(frozen=True)
class Segmentation:
    """What a model says about one image; all of a volume has a D in front of the H.

    Attributes:
        mask: Class indices, uint8 (H, W); for multilabel 0 or 1 for each class, (K, H, W).
        probabilities: float32 (K, H, W) in [0, 1]; for binary that of the object, (1, H, W).
        image: The image as it was segmented, float32 (H, W, C) in [0, 1]; a volume standardised.
        config: The model's; it names the classes and their colours.
        volume: The file of a volume, whose place in space its labels keep; None for images and arrays.
    """

    mask: np.ndarray
    probabilities: np.ndarray
    image: np.ndarray
    config: ModelConfig
    volume: Path | None = None

    def overlay(self, alpha: float = 0.5) -> np.ndarray:
        """The image with its classes painted over it, uint8 (H, W, 3); of images that are no RGB the first channel.

        Args:
            alpha: Strength of the colours, 0 to 1.

        Raises:
            ValueError: It is a volume.
        """
        if self.image.ndim == 4:
            raise ValueError("a volume has no overlay; save its labels and lay them over it in a viewer")
        masks = self.mask if self.mask.ndim == 3 else self.mask[None]
        return paint(self.image, masks, self.config, alpha)

    def save(self, path: str | Path) -> None:
        """Write the mask as an index PNG whose palette shows the classes' colours; labels of a volume as NIfTI.

        Args:
            path: The file; for multilabel a folder, which gets `<class>.png` for each class.

        Raises:
            ValueError: It is a volume that came as an array, which has no place in space; `io.nifti.write_labels`
                takes one.
        """
        path = Path(path)
        if self.image.ndim == 4:
            if self.volume is None:
                raise ValueError("a volume that came as an array has no affine; write mask with io.nifti.write_labels")
            write_labels(path, self.mask, self.volume)
            return
        if self.mask.ndim == 2:
            write_mask(path, self.mask, self.config.palette)
            return
        for file, mask in zip(mask_files(path, self.config), self.mask, strict=True):
            write_mask(file, mask, ((0, 0, 0), (255, 255, 255)))


def paint(image: np.ndarray, masks: np.ndarray, config: ModelConfig, alpha: float = 0.5) -> np.ndarray:
    """Paint classes over an image, see `Segmentation.overlay`.

    Args:
        image: float32 (H, W, C) in [0, 1].
        masks: uint8 (N, H, W): one, or for multilabel one for each class.
        config: The model's.
        alpha: Strength of the colours, 0 to 1.
    """
    shown = shown_bytes(image)
    if config.task != "multilabel":
        return overlay(shown, masks[0], config.palette, alpha)
    for mask, color in zip(masks, config.palette, strict=True):
        shown = overlay(shown, mask, ((0, 0, 0), color), alpha)
    return shown


def shown_bytes(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) in [0, 1] as something to look at, uint8 (H, W, 1 or 3)."""
    return np.rint((image if image.shape[2] == 3 else image[..., :1]) * 255).astype(np.uint8)


def mask_files(path: Path, config: ModelConfig) -> list[Path]:
    """The files that `Segmentation.save` writes masks to, and `FoundMaps.save` maps."""
    suffix = ".tif" if config.task == "regression" else ".png"
    return [path / f"{name}{suffix}" for name in config.classes] if _has_folder(config) else [path]


def answer_path(stem: Path, config: ModelConfig, *, volumes: bool = False) -> Path:
    """What `save` takes for an image of this stem: a file, or a folder where each class has a file."""
    if _has_folder(config):
        return stem
    suffix = ".nii.gz" if volumes else ".tif" if config.task == "regression" else ".png"
    return stem.with_name(stem.name + suffix)


def _has_folder(config: ModelConfig) -> bool:
    return config.task == "multilabel" or (config.task == "regression" and len(config.classes) > 1)
