"""Data sets of images with numbered objects."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import UsageError
from ..task_names import TaskName
from .classes import voc_palette
from .dataset import InstanceSet, Problem
from .layouts import SPLITS
from .listing import Listing, by_name

LOOKED_FOR = "images/{train,val,test}/NAME.png and instances/{train,val,test}/NAME.png"


def open_instances(root: Path, names: Sequence[str] | None = None, *, task: TaskName = "instances") -> InstanceSet:
    """Open `images/SPLIT/NAME.png` with `instances/SPLIT/NAME.png`: 0 is background, other numbers one object each.

    Where there are several classes, `masks/SPLIT/NAME.png` tells them: 0 is background, 255 is ignored.

    Args:
        root: Folder of the data set.
        names: The classes in the order of their indices in masks, the background first; by default one, "object".
        task: "instances" or "detection".

    Raises:
        UsageError: There is no image or no folder of instances, or no class beside the background.

    >>> from sweepseg.data import nuclei_sample
    >>> open_instances(nuclei_sample().root, ["background", "nucleus"]).classes
    ('nucleus',)
    """
    classes = tuple(names or ("background", "object"))[1:]
    if not classes:
        raise UsageError(f"{root} has the background as its only class; name the objects below it in classes.txt")
    listing = Listing()
    for split in SPLITS:
        images, instances = (by_name(root / part / split) for part in ("images", "instances"))
        if images or instances:
            listing.add(split, root / "images" / split, images, root / "instances" / split, instances)
    samples = {split: found for split, found in listing.splits.items() if found}
    if not any(sample.annotated for found in samples.values() for sample in found):
        raise UsageError(f"{root} holds no image with numbered objects; looked for {LOOKED_FOR}")
    if len(classes) > 1:
        for split, found in samples.items():
            masks = by_name(root / "masks" / split)
            samples[split] = tuple(replace(one, class_mask=masks.get(one.name, [None])[0]) for one in found)
            listing.problems += [
                Problem(one.mask, f"no mask in masks/{split} tells the classes of its objects; add it")
                for one in samples[split]
                if one.mask is not None and one.class_mask is None
            ]
    return InstanceSet(
        root=root,
        layout="instances",
        task=task,
        classes=classes,
        palette=voc_palette(len(classes) + 1)[1:],
        splits=samples,
        problems=tuple(listing.problems),
    )
