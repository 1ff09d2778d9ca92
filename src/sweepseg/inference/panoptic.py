"""Objects, and the classes of the pixels that belong to none, merged to one answer: panoptic segmentation."""

from collections.abc import Sequence

import numpy as np

from ..errors import UsageError
from ..io.coco_panoptic import Annotation, segments_in
from .objects import FoundObjects


def merge(found: FoundObjects, classes: Sequence[str], mask: np.ndarray | None = None) -> np.ndarray:
    """Objects over a mask of classes: things are what objects can be, all other classes are stuff.

    Where the mask names a thing and there is no object, is void: which one it would be, nobody said.

    Args:
        found: The objects, whose classes are among ``classes``.
        classes: Names of things and stuff in the order of their indices.
        mask: The class of each pixel, (H, W), such as `Segmentation.mask`. Default: the first one everywhere.

    Returns:
        Number and class of the segment of each pixel, int64 (2, H, W), for `PanopticQuality`; stuff has number 0, void
        class -1.

    Raises:
        UsageError: A class of the objects is not among ``classes``, or the mask is of another size.

    Source: Kirillov et al. 2019, Panoptic Segmentation, arXiv:1801.00868, section 7; objects do not overlap here.
    """
    unknown = [name for name in found.config.classes if name not in classes]
    if unknown:
        raise UsageError(f"objects can be {unknown[0]}, which is not among the classes {', '.join(classes)}; add it")
    if mask is not None and mask.shape != found.mask.shape:
        raise UsageError(f"the mask is {mask.shape}, the objects are {found.mask.shape}; give those of one image")
    things = [classes.index(name) for name in found.config.classes]
    labels = np.zeros(found.mask.shape, np.int64) if mask is None else mask.astype(np.int64)
    labels[np.isin(labels, things)] = -1
    for one in found.objects:
        labels[found.mask == one.number] = classes.index(one.label)
    return np.stack([found.mask.astype(np.int64), labels])


def annotate(
    planes: np.ndarray, categories: Sequence[int], *, image_id: int | str, file_name: str
) -> tuple[np.ndarray, Annotation]:
    """What `merge` gave in COCO's form, for `coco_panoptic.write_ids` and `write_panoptic`.

    Args:
        planes: int64 (2, H, W).
        categories: The id of each class's category.
        image_id: Of the picture.
        file_name: Of the PNG.

    Returns:
        The ids (H, W), 0 for void, and the annotation of the picture.
    """
    numbers, labels = planes
    ids = np.where(numbers > 0, numbers, numbers.max(initial=0) + 1 + labels)  # stuff behind all objects
    ids[labels < 0] = 0
    known, first = np.unique(ids, return_index=True)
    named = {number: categories[labels.flat[place]] for number, place in zip(known.tolist(), first, strict=True)}
    return ids, Annotation(image_id, file_name, segments_in(ids, named))
