"""Segmenting one image or volume in memory."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.pairs import scaled
from ..errors import InputError, UsageError
from ..io.files import is_volume
from ..io.images import fit_channels, read_image
from ..io.masks import overlay, write_mask
from ..io.nifti import MAX_VOXELS, read_volume, write_labels
from ..io.picture import MAX_PIXELS
from ..layers.stages import LAYOUT
from ..models.segmenter import ModelConfig, Segmenter
from ..tasks import TASKS, Generation, Recognition, Task


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
    shown = np.rint((image if image.shape[2] == 3 else image[..., :1]) * 255).astype(np.uint8)
    if config.task != "multilabel":
        return overlay(shown, masks[0], config.palette, alpha)
    for mask, color in zip(masks, config.palette, strict=True):
        shown = overlay(shown, mask, ((0, 0, 0), color), alpha)
    return shown


def mask_files(path: Path, config: ModelConfig) -> list[Path]:
    """The files that `Segmentation.save` writes."""
    return [path / f"{name}.png" for name in config.classes] if config.task == "multilabel" else [path]


def segment(model: Segmenter, image: str | Path | np.ndarray) -> Segmentation:
    """Segment one image or, with a model for volumes, one volume.

    Args:
        model: What `sweepseg.load` returned.
        image: A file, or an array (H, W) or (H, W, C): uint8, uint16, or float in the model's input range, which is
            [0, 1] unless its config says otherwise. Grey becomes RGB and RGB grey where the model wants it. Of a volume
            a NIfTI file, or an array (D, H, W) or (D, H, W, C) in the orientation of `io.nifti.read_volume`.

    Raises:
        InputError: The file cannot be read.
        ValueError: The image does not suit the model, or makes it return something that is not finite.
        UsageError: The model says one thing of a whole image; see `recognise`.

    >>> import sweepseg
    >>> model = sweepseg.load(sweepseg.bundled_model())
    >>> sweepseg.segment(model, np.zeros((30, 50), np.uint8)).mask.shape
    (30, 50)
    """
    path = Path(image) if isinstance(image, str | Path) else None
    pixels = np.asarray(image) if path is None else read(model, path)
    unit = as_input(model, pixels)
    with torch.inference_mode():
        logits = model(as_batch(model, unit))
    found = decoded(model, unit, logits)
    return replace(found, volume=path) if model.volumes else found


def read(model: Segmenter, path: Path, *, max_pixels: int | None = None) -> np.ndarray:
    """The image or volume in a file, whichever the model takes.

    Args:
        model: The model.
        path: The file.
        max_pixels: Larger ones are refused; None for as many as the readers allow.

    Raises:
        InputError: It cannot be read, or is of the other kind.
    """
    if is_volume(path) and not model.volumes:
        raise InputError(path, f"is a volume, but {model.config.builder} takes images; use a model for volumes")
    if model.volumes:
        return read_volume(path, max_voxels=MAX_VOXELS if max_pixels is None else max_pixels)
    return read_image(path, max_pixels=MAX_PIXELS if max_pixels is None else max_pixels)


def as_input(model: Segmenter, image: np.ndarray) -> np.ndarray:
    """An image as the model wants it, float32 (H, W, C) in [0, 1]; arguments and errors are those of `segment`."""
    pixels = np.asarray(image)
    axes, wanted = (4, "(D, H, W) or (D, H, W, C)") if model.volumes else (3, "(H, W) or (H, W, C)")
    pixels = pixels[..., None] if pixels.ndim == axes - 1 else pixels
    if pixels.ndim != axes or not pixels.size:
        what = "a volume" if model.volumes else "an image"
        raise ValueError(f"got {what} of shape {pixels.shape}; give {wanted}, none of them 0")
    return to_input(model, pixels)


def decoded(model: Segmenter, unit: np.ndarray, logits: Tensor) -> Segmentation:
    """What logits (1, K, H, W) say about what `as_input` returned.

    Raises:
        ValueError: They are not finite.
    """
    task = mask_task(model)
    mask, probabilities = task.decode(logits)[0], task.probabilities(logits)[0]
    return Segmentation(mask.cpu().numpy(), probabilities.cpu().numpy(), unit, model.config)


def mask_task(model: Segmenter) -> Task:
    """The task of a model.

    Raises:
        UsageError: It says one thing of a whole image, or makes pictures.
    """
    task = TASKS[model.config.task](len(model.config.classes))
    if isinstance(task, Recognition):
        raise UsageError(f"the model is for task {task.name} and gives no mask; use sweepseg predict or recognise")
    if isinstance(task, Generation):
        raise UsageError("the model is for task generation, which makes pictures; use sweepseg generate")
    return task


def to_input(model: Segmenter, pixels: np.ndarray) -> np.ndarray:
    """Pixels (H, W, C) of any type as the model takes them, float32 in [0, 1] with its number of channels."""
    return fit_channels(scaled(pixels, model.config.input_range), len(model.config.mean))


def as_batch(model: Segmenter, unit: np.ndarray) -> Tensor:
    """What `to_input` returned as a batch of one, (1, C, H, W), where the model lies."""
    batch = torch.from_numpy(np.ascontiguousarray(np.moveaxis(unit, -1, 0)))[None]
    return batch.to(model.mean.device, memory_format=LAYOUT[batch.dim() - 2])
