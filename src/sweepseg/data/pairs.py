"""Reading one sample as the arrays that a model is trained and measured on."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io.files import is_volume
from ..io.idx import read_idx
from ..io.images import fit_channels, read_image, to_unit
from ..io.maps import read_map
from ..io.masks import read_mask
from ..io.nifti import read_volume, standardised
from .dataset import DataSet, InputRange, MapSet, Sample, SegmentationSet
from .distance import border_distance
from .words import numbered


def read_pair(dataset: DataSet, sample: Sample, in_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Read image and target of a sample.

    Args:
        dataset: The data set that holds the sample.
        sample: The sample.
        in_channels: C, the channels wanted; grey pictures are repeated, colour ones turned grey.

    Returns:
        The image, float32 (C, H, W) in [0, 1], and the target, int64 (H, W) or, for multilabel, (K, H, W): class
        indices (0 and 1 for binary and multilabel) and `dataset.ignore_index`; for classification the class, (), and
        for sequences the characters, (L,); for generation the values of the image, (C, H, W); for instances and
        detection the number and the class of the object of each pixel, both 0 where there is none, (2, H, W); for
        referring 1 where a pixel is of what the sentence means, else 0; for regression the maps, float32 (K, H, W), NaN
        where nothing is known. Volumes are (C, D, H, W), standardised, with a target (D, H, W).

    Raises:
        InputError: A file cannot be read, the sizes differ, there is no annotation, or it holds what is no label.

    >>> from sweepseg.data import nuclei_sample
    >>> dataset = nuclei_sample()
    >>> image, target = read_pair(dataset, dataset.splits["test"][0], in_channels=3)
    >>> image.shape[0], image.dtype, target.dtype, image.shape[1:] == target.shape
    (3, dtype('float32'), dtype('int64'), True)
    """
    image = read_input(sample, in_channels, input_range=dataset.input_range)
    target = read_target(dataset, sample)
    if target.ndim >= 2:
        check_size(sample, image.shape[1:], target)
    return image, target


def read_unlabelled(dataset: DataSet, sample: Sample, in_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the image of a sample as `read_pair` does, and a target of that form that is 0 wherever it shows anything.

    Raises:
        InputError: A file cannot be read, or the sizes differ.
    """
    image = read_input(sample, in_channels, input_range=dataset.input_range)
    planes = (len(dataset.classes),) if dataset.task == "multilabel" else ()
    return image, _in_view(dataset, sample, np.zeros((*planes, *image.shape[1:]), np.int64))


def read_input(sample: Sample, in_channels: int, *, input_range: InputRange | None = None) -> np.ndarray:
    """The image of `read_pair`: float32 (C, H, W) in [0, 1] or (C, D, H, W) standardised."""
    pixels = read_pixels(sample)
    try:
        image = fit_channels(scaled(pixels, input_range), in_channels)  # (H, W, C)
    except ValueError as error:
        raise InputError(sample.image, str(error)) from None
    return np.ascontiguousarray(np.moveaxis(image, -1, 0))


def read_pixels(sample: Sample) -> np.ndarray:
    """The image as stored, (H, W, C) or (D, H, W, C), or as drawn; channels in files of their own are stacked."""
    pixels = _read_stored(sample)
    return pixels if sample.drawn is None else draw(require_bytes(pixels, sample.image), sample.drawn)


def draw(pixels: np.ndarray, number: int) -> np.ndarray:
    """A picture in black and white: 255 with the probability of the pixel's value over 255, else 0.

    The numbers come from numpy's PCG64 of seed 0, one after the other for the pixels of picture 0, 1, 2, ...

    Args:
        pixels: uint8, of one size in all pictures.
        number: Which picture it is.

    >>> draw(np.full((1, 4, 1), 128, np.uint8), 0).ravel()
    array([  0, 255, 255, 255], dtype=uint8)
    """
    stream = np.random.Generator(np.random.PCG64(0).advance(number * pixels.size))
    return np.where(stream.random(pixels.shape) < pixels / 255, 255, 0).astype(np.uint8)


def _read_stored(sample: Sample) -> np.ndarray:
    if sample.page is not None:
        return read_idx(sample.image)[sample.page][..., None]
    read = read_volume if is_volume(sample.image) else read_image
    parts = [read(path) for path in (sample.image, *sample.channels)]
    for path, part in zip(sample.channels, parts[1:], strict=True):
        if (part.shape[:-1], part.dtype) != (parts[0].shape[:-1], parts[0].dtype):
            first = f"{sample.image.name} is {_size(parts[0].shape[:-1])} {parts[0].dtype}"
            raise InputError(path, f"is {_size(part.shape[:-1])} {part.dtype} but {first}; convert one of them")
    return np.concatenate(parts, axis=-1)


def scaled(pixels: np.ndarray, input_range: InputRange | None = None) -> np.ndarray:
    """Pixels (H, W, C) in [0, 1], see `to_unit`; volumes (D, H, W, C) `standardised`."""
    return standardised(pixels) if pixels.ndim == 4 else to_unit(pixels, input_range)


def read_target(dataset: DataSet, sample: Sample) -> np.ndarray:
    """The target of `read_pair`."""
    return TARGETS[dataset.task](dataset, sample)


def read_told(dataset: DataSet, sample: Sample) -> tuple[np.ndarray, ...]:
    """What a model gets beside the image: nothing, or the numbers of the words of its sentence, int64 (L,)."""
    return () if sample.sentence is None else (numbered(sample.sentence, dataset.words),)


def _read_class(dataset: DataSet, sample: Sample) -> np.ndarray:
    """The index of the class of an image, int64 ()."""
    if sample.text not in dataset.classes:
        known = ", ".join(dataset.classes)
        raise InputError(sample.image, f"is of the class {sample.text}, which is none of {known}; move or remove it")
    return np.array(dataset.classes.index(sample.text), np.int64)


def _read_line(dataset: DataSet, sample: Sample) -> np.ndarray:
    """The indices of the characters of a line, int64 (L,)."""
    numbers = {character: index for index, character in enumerate(dataset.classes)}
    text = sample.text or ""
    unknown = "".join(sorted({*text} - {*numbers}))
    if unknown:
        known = "".join(dataset.classes)
        raise InputError(sample.image, f"reads {text!r}, but {unknown!r} is not among {known!r}; add it to classes.txt")
    return np.array([numbers[character] for character in text], np.int64)


def _read_values(dataset: DataSet, sample: Sample) -> np.ndarray:
    """The values of a picture itself, 0 to K - 1, int64 (C, H, W)."""
    return to_values(read_pixels(sample), len(dataset.classes), sample.image)


def to_values(pixels: np.ndarray, count: int, path: Path) -> np.ndarray:
    """Pixels (H, W, C), uint8, in ``count`` steps: int64 (C, H, W), 0 to count - 1; ``path`` is named in errors."""
    pixels = require_bytes(pixels, path)
    return np.ascontiguousarray((pixels.astype(np.int64) * (count - 1) // 255).transpose(2, 0, 1))


def require_bytes(pixels: np.ndarray, path: Path) -> np.ndarray:
    """The pixels, which have to be uint8, since each of their values is learned by itself.

    Raises:
        InputError: They are not; it names ``path``.
    """
    if pixels.dtype != np.uint8:
        raise InputError(path, f"is {pixels.dtype}, of too many values to learn one by one; convert it to uint8")
    return pixels


def _read_objects(dataset: DataSet, sample: Sample) -> np.ndarray:
    """Number and class of the object of each pixel, int64 (2, H, W); an object's class is its most frequent one."""
    if sample.mask is None:
        raise InputError(sample.image, "has no mask")
    numbers = read_mask(sample.mask).astype(np.int64)
    if numbers.min() < 0:
        raise InputError(sample.mask, f"numbers objects from {numbers.min()}; they are 1 or more, the background is 0")
    if sample.class_mask is None:
        return np.stack([numbers, (numbers > 0).astype(np.int64)])
    known = {value: value for value in (*range(len(dataset.classes) + 1), 255)}
    labels = remap_labels(read_mask(sample.class_mask), known, sample.class_mask)
    if labels.shape != numbers.shape:
        sizes = f"is {_size(labels.shape)} but {sample.mask.name} is {_size(numbers.shape)}"
        raise InputError(sample.class_mask, f"{sizes}; resize one of them")
    numbers = np.where(labels == 255, dataset.ignore_index, numbers)
    found, position = np.unique(numbers, return_inverse=True)
    votes = np.zeros((len(found), 256), np.int64)
    np.add.at(votes, (position.ravel(), labels.ravel()), 1)
    unknown = found[(found > 0) & ~votes[:, 1:].any(1)]
    if unknown.size:
        raise InputError(
            sample.class_mask, f"is background at all of object {unknown[0]}; give it a class or remove it"
        )
    classes = np.where(found > 0, votes[:, 1:].argmax(1) + 1, found)  # the background and what is ignored stay
    return np.stack([numbers, classes[position].reshape(numbers.shape)])


def _read_meant(dataset: DataSet, sample: Sample) -> np.ndarray:
    """1 for the pixels of what the sentence means, else 0; int64 (H, W)."""
    if sample.mask is None:
        raise InputError(sample.image, "has no mask")
    if sample.outline is not None:
        return sample.outline.mask.astype(np.int64)
    numbers = read_mask(sample.mask)
    missing = sorted({*sample.numbers} - ({*np.unique(numbers).tolist()} - {0}))
    if missing:
        raise InputError(sample.mask, f"has no object {missing[0]}, which {sample.sentence!r} means")
    return np.isin(numbers, sample.numbers).astype(np.int64)


def _read_maps(dataset: MapSet, sample: Sample) -> np.ndarray:
    """The maps of an image, float32 (K, H, W)."""
    if sample.mask is None:
        raise InputError(sample.image, "has no map")
    if dataset.distances:
        return border_distance(read_mask(sample.mask).astype(np.int64)).astype(np.float32)[None]
    if len(dataset.classes) == 1 and sample.mask.is_file():
        return read_map(sample.mask)[None]
    return _stacked(sample, dataset.classes, read_map, "save one, all NaN if nothing is known of it")


def _read_mask(dataset: SegmentationSet, sample: Sample) -> np.ndarray:
    """The class of each pixel, int64 (H, W) or, for multilabel, (K, H, W)."""
    return _in_view(dataset, sample, _read_labels(dataset, sample))


def _in_view(dataset: DataSet, sample: Sample, target: np.ndarray) -> np.ndarray:
    """The target, ignored where the image shows nothing."""
    if sample.field_of_view is None:
        return target
    seen = read_mask(sample.field_of_view) != 0  # (H, W)
    if seen.shape != target.shape[-2:]:
        sizes = f"is {_size(seen.shape)} but the mask is {_size(target.shape[-2:])}"
        raise InputError(sample.field_of_view, f"{sizes}; resize one of them")
    return np.where(seen, target, dataset.ignore_index)


def _read_labels(dataset: SegmentationSet, sample: Sample) -> np.ndarray:
    """The target before the field of view is regarded."""
    if sample.mask is None:
        raise InputError(sample.image, "has no mask")
    if dataset.task != "multilabel":
        return _read_file(dataset, sample.mask)
    read = partial(_read_file, dataset)
    return _stacked(sample, dataset.classes, read, "add one, all 0 if there is none of it")


def _stacked(sample: Sample, names: Sequence[str], read: Callable[[Path], np.ndarray], remedy: str) -> np.ndarray:
    """The files of a sample's folder in the order of their names, (K, H, W); ``remedy`` is for one that is missing."""
    assert sample.mask is not None
    files = {path.stem: path for path in sample.mask_files()}
    for name in names:
        if name not in files:
            raise InputError(sample.mask, f"holds no mask of the class {name}; {remedy}")
    for name in files.keys() - {*names}:
        raise InputError(files[name], f"is named like none of the classes {', '.join(names)}; rename it")
    channels = [read(files[name]) for name in names]
    for name, channel in zip(names, channels, strict=True):
        if channel.shape != channels[0].shape:
            first = f"that of {names[0]} is {_size(channels[0].shape)}"
            raise InputError(files[name], f"is {_size(channel.shape)} but {first}; resize one of them")
    return np.stack(channels)


def check_size(sample: Sample, size: tuple[int, ...], target: np.ndarray) -> None:
    """Refuse a target (..., H, W) that is not of its image's ``size`` (H, W); of volumes with a D in front."""
    if target.shape[-len(size) :] != size:
        assert sample.mask is not None
        found = target.shape[-len(size) :]
        sizes = f"mask {sample.mask.name} is {_size(found)} but its image is {_size(size)}"
        raise InputError(sample.mask, f"{sizes}; resize one of them")


def remap_labels(values: np.ndarray, remap: Mapping[int, int], path: Path) -> np.ndarray:
    """The class of each mask value, int64 of the same shape; ``path`` is named in errors.

    Raises:
        InputError: A value has no class.
    """
    largest = max(remap)
    table = np.full(largest + 2, -1, np.int64)  # the last entry, index -1 too, answers for values outside of the table
    table[list(remap)] = list(remap.values())
    target = table[np.clip(values.astype(np.int64), -1, largest + 1)]
    if target.min(initial=0) < 0:
        wrong, counts = np.unique(values[target < 0], return_counts=True)
        listed = ", ".join(f"{value} ({count} pixels)" for value, count in zip(wrong[:8], counts[:8], strict=True))
        more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        remedy = "name the others in classes.txt, soft edges as a range: 128-255 road"
        allowed = f"allowed are {_ranges(set(remap))}; {remedy}"
        raise InputError(path, f"holds labels that are no class: {listed}{more}; {allowed}")
    return target


def _read_file(dataset: SegmentationSet, path: Path) -> np.ndarray:
    return remap_labels(read_mask(path, colors=dataset.colors), dataset.remap, path)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[::-1]))


def _ranges(values: set[int]) -> str:
    """Integers in short: {0, 1, 2, 255} becomes "0..2, 255"."""
    starts = sorted(v for v in values if v - 1 not in values)
    ends = sorted(v for v in values if v + 1 not in values)
    return ", ".join(f"{a}..{b}" if a < b else str(a) for a, b in zip(starts, ends, strict=True))


# task -> what is read as the target of a sample, before augmentation
TARGETS: dict[str, Callable[[Any, Sample], np.ndarray]] = {
    "binary": _read_mask,
    "multiclass": _read_mask,
    "multilabel": _read_mask,
    "classification": _read_class,
    "sequence": _read_line,
    "generation": _read_values,
    "instances": _read_objects,
    "detection": _read_objects,
    "referring": _read_meant,
    "regression": _read_maps,
}
