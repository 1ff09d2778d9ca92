"""Segmenting one image or volume in memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.pairs import scaled
from ..data.words import numbered, unknown_words
from ..errors import InputError, UsageError
from ..io.files import is_volume
from ..io.images import fit_channels, read_image
from ..io.nifti import MAX_VOXELS, read_volume
from ..io.picture import MAX_PIXELS
from ..layers.stages import LAYOUT
from ..models.segmenter import Segmenter
from ..tasks import Generation, Numbered, Recognition, Regression, Task, task_for
from .maps import FoundMaps
from .objects import FoundObjects, listed
from .segmentation import Segmentation


def segment(model: Segmenter, image: str | Path | np.ndarray, text: str | None = None) -> Segmentation:
    """Segment one image or, with a model for volumes, one volume.

    Args:
        model: What `sweepseg.load` returned.
        image: A file, or an array (H, W) or (H, W, C): uint8, uint16, or float in the model's input range, which is
            [0, 1] unless its config says otherwise. Grey becomes RGB and RGB grey where the model wants it. Of a volume
            a NIfTI file, or an array (D, H, W) or (D, H, W, C) in the orientation of `io.nifti.read_volume`.
        text: What to find, for a model of task referring; words that it does not know are passed over.

    Returns:
        What the model says; where it numbers objects, a `FoundObjects`, and for regression a `FoundMaps`.

    Raises:
        InputError: The file cannot be read.
        ValueError: The image does not suit the model, or makes it return something that is not finite.
        UsageError: The model says one thing of a whole image; see `recognise`. Or there is no sentence for a model that
            takes one, one for a model that takes none, or one that cannot be understood.

    >>> import sweepseg
    >>> model = sweepseg.load(sweepseg.bundled_model())
    >>> sweepseg.segment(model, np.zeros((30, 50), np.uint8)).mask.shape
    (30, 50)
    """
    told = as_told(model, text)
    path = Path(image) if isinstance(image, str | Path) else None
    pixels = np.asarray(image) if path is None else read(model, path)
    unit = as_input(model, pixels)
    with torch.inference_mode():
        logits = model(as_batch(model, unit), *told)
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
        ValueError: They are not finite, or find more objects than a mask can number.
    """
    task = task_of(model)
    found, probabilities = task.decode(logits)[0].cpu().numpy(), task.probabilities(logits)[0].cpu().numpy()
    if isinstance(task, Numbered):
        numbers, objects = found[0].astype(np.int32), listed(found, model.config)
        return FoundObjects(numbers, probabilities, unit, model.config, objects=objects)
    kind = FoundMaps if isinstance(task, Regression) else Segmentation
    return kind(found, probabilities, unit, model.config)


def as_told(model: Segmenter, text: str | None) -> tuple[Tensor, ...]:
    """What a model is told beside the image: the words (1, L) of a sentence, or nothing; errors as of `segment`."""
    known = model.config.words
    if text is None and not known:
        return ()
    if not known:
        raise UsageError(f"the text is {text!r}, but the model is for task {model.config.task}; leave it out")
    if text is None:
        raise UsageError("the model finds what a sentence means; say it with --text or text, such as 'the left dog'")
    try:
        unknown_words(text, known)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return (torch.from_numpy(numbered(text, known))[None].to(model.mean.device),)


def mask_task(model: Segmenter) -> Task:
    """The task of a model whose masks are made pixel by pixel, so that they can be made in parts and averaged.

    Raises:
        UsageError: It says one thing of a whole image, takes it as a whole, or makes pictures.
    """
    task = task_of(model)
    if not task.in_parts:
        raise UsageError(f"the model is for task {task.name}, which takes images as a whole; use sweepseg predict")
    return task


def task_of(model: Segmenter) -> Task:
    """The task of a model that gives masks, be it of classes, of numbered objects or of numbers.

    Raises:
        UsageError: It says one thing of a whole image, or makes pictures.
    """
    task = task_for(model.config)
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
