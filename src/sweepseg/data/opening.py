"""Opening a data set: its layout, its task and what its mask values mean, all found out from the folder."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import yaml

from ..errors import InputError, UsageError
from ..io.masks import read_mask
from ..task_names import TaskName
from .classes import Label, checked, named, parse_lines, read_classes, voc_palette
from .dataset import Color, DataSet, Sample, SegmentationSet
from .instances import open_instances
from .labelled import open_labelled
from .layouts import LAYOUTS, recognise
from .lines import open_lines
from .maps import open_maps
from .pictures import open_pictures
from .referring import open_referring

IGNORE_INDEX = 255
OPENERS: dict[str, Callable[[Path, Sequence[str] | None], DataSet]] = {  # tasks without masks of classes
    "classification": open_labelled,
    "sequence": open_lines,
    "generation": open_pictures,
    "instances": open_instances,
    "detection": partial(open_instances, task="detection"),
    "referring": open_referring,
    "regression": open_maps,
}

_log = logging.getLogger(__name__)


def open_dataset(root: str | Path, *, task: TaskName | None = None, classes: Sequence[str] | None = None) -> DataSet:
    """Open the data set in a folder; its layout is recognised by the folders and names in it.

    The classes are those of ``classes``, else of `classes.json` or `classes.txt` in the folder (see
    `classes.read_classes`), else of the layout, else as many as the largest label of the training masks says.

    Binary and multilabel masks hold 0, 1 and 255 = ignored. Where training masks hold 0 and 255 and never 1, 255 is the
    object, which is logged.

    Args:
        root: Folder of the data set, in one of `layouts.LAYOUTS`; or, for a folder that does not tell its classes and
            cannot be changed, a YAML file with its path from there as ``root``, and ``classes`` as below.
        task: "binary", "multiclass" or "multilabel"; found out when None: multilabel if the masks are folders, binary
            if there are two classes. For "classification" see `labelled.open_labelled`, for "sequence"
            `lines.open_lines`, for "generation" `pictures.open_pictures`, for "instances" and "detection"
            `instances.open_instances`, for "referring" `referring.open_referring`, for "regression" `maps.open_maps`.
        classes: Lines of `classes.txt`; mere names are those of the mask values 0, 1, 2, ...; binary takes two,
            background and object. Without masks only the names count.

    Raises:
        UsageError: No such folder, no known layout, no image, a class file or task that does not fit, or classes that
            would have to be counted in masks of which none can be read.

    >>> from sweepseg.data import nuclei_sample
    >>> dataset = open_dataset(nuclei_sample().root)
    >>> dataset.layout, dataset.task, dataset.classes
    ('default', 'binary', ('background', 'nucleus'))
    """
    root = Path(root)
    if root.suffix in (".yaml", ".yml") and root.is_file():
        root, described = _read_description(root)
        classes = described if classes is None else classes
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; name the folder of a data set")
    if task in OPENERS:
        labels = _labels_in(classes) if classes is not None else read_classes(root)
        return OPENERS[task](root, None if labels is None else [label.name for label in labels])
    layout, listing = recognise(root)
    if not any(listing.splits.values()):
        raise UsageError(f"{root} holds no image; looked for {LAYOUTS[layout].looks_for}")
    train = listing.splits.get("train", ())
    task = _task_of_files(root, task, [sample for samples in listing.splits.values() for sample in samples])

    ignored: Iterable[int] = ()
    labels = _labels_in(classes) if classes is not None else read_classes(root)
    if labels is None and listing.labels is not None:
        labels, ignored = listing.labels, listing.ignored
    if labels is None:
        labels = _count_labels(root, train, task)
    learned = [label for label in labels if not label.ignored]
    task = task or ("binary" if len(learned) == 2 else "multiclass")
    if task == "binary" and len(learned) != 2:
        raise UsageError(f"{root} has {len(learned)} classes; binary takes two, background and object: change the task")
    if len(learned) > IGNORE_INDEX:
        raise UsageError(
            f"{root} has {len(learned)} classes; at most {IGNORE_INDEX} fit, as index 255 means ignored; "
            "numbered objects are one class, a range in classes.txt: 1-65535 object"
        )

    colors = {label.color: label.value for label in labels if label.color is not None} or None
    remap = {IGNORE_INDEX: IGNORE_INDEX}
    if task == "multilabel":
        remap |= {0: 0, 1: 1}
    else:
        remap |= dict.fromkeys(ignored, IGNORE_INDEX)
        remap |= {value: IGNORE_INDEX for label in labels if label.ignored for value in label.values}
        remap |= {value: index for index, label in enumerate(learned) for value in label.values}
    if task != "multiclass" and remap[IGNORE_INDEX] == IGNORE_INDEX and _only_0_and_255(train, colors):
        _log.warning("%s: the masks hold 0 and 255 and never 1, so 255 is read as the object, not as ignored", root)
        remap = {0: 0, 255: 1}

    return SegmentationSet(
        root=root,
        layout=layout,
        task=task,
        classes=tuple(label.name for label in learned),
        palette=tuple(label.color or color for label, color in zip(learned, voc_palette(len(learned)), strict=True)),
        splits={split: samples for split, samples in listing.splits.items() if samples},
        remap=remap,
        colors=colors,
        ignore_index=IGNORE_INDEX,
        problems=tuple(listing.problems),
    )


def _read_description(path: Path) -> tuple[Path, list[str]]:
    """The folder that a YAML file names, and its lines of `classes.txt`."""
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
    match described:
        case {"root": str(root), "classes": [*lines], **rest} if not rest and {*map(type, lines)} == {str}:
            return path.parent / root, lines
    raise UsageError(f"{path} does not describe a data set; write root: FOLDER and classes: [0 ground, 128-255 road]")


def _labels_in(lines: Sequence[str]) -> tuple[Label, ...]:
    try:
        return checked(parse_lines(lines), "classes")
    except ValueError as error:
        raise UsageError(f"classes: {error}") from None


def _task_of_files(root: Path, task: TaskName | None, samples: Iterable[Sample]) -> TaskName | None:
    """The task as far as the files tell: folders of masks are multilabel, and nothing else is."""
    if task is not None and task not in get_args(TaskName):
        raise UsageError(f"the task {task!r} is unknown; choose one of {', '.join(get_args(TaskName))}")
    folders = any(sample.mask is not None and sample.mask.is_dir() for sample in samples)
    if task is not None and folders != (task == "multilabel"):
        raise UsageError(
            f"the masks of {root} are {'folders' if folders else 'files'}, but the task is {task}; "
            "multilabel, and no other task, has a folder of masks for every image: masks/train/NAME/CLASS.png"
        )
    return "multilabel" if folders else task


def _count_labels(root: Path, train: Sequence[Sample], task: TaskName | None) -> tuple[Label, ...]:
    """Labels for masks that nothing names: the files of multilabel, else the values up to the largest."""
    files = [path for sample in train for path in sample.mask_files()]
    if not files:
        raise UsageError(f"{root} has no training mask to tell the classes from; write their names into classes.txt")
    if task == "multilabel":
        return named(sorted({path.stem for path in files}))
    values: set[int] = set()
    refusals = []
    for path in files:
        try:
            values.update(np.unique(read_mask(path)).tolist())
        except InputError as error:  # `check` lists them; here one mask that can be read is enough
            refusals.append(error)
    if not values:
        raise UsageError(f"no training mask can be read, so the classes are unknown; the first: {refusals[0]}")
    largest = max(values - {IGNORE_INDEX}, default=0)
    if task == "binary" or (task is None and (largest == 1 or values == {0, IGNORE_INDEX})):
        return named(("background", "object"))
    return named([f"class {value}" for value in range(largest + 1)])


def _only_0_and_255(samples: Iterable[Sample], colors: Mapping[Color, int] | None) -> bool:
    """Whether these are all the values in masks that can be read, and 255 is one of them."""
    seen: set[int] = set()
    for path in (path for sample in samples for path in sample.mask_files()):
        try:
            seen.update(np.unique(read_mask(path, colors=colors)).tolist())
        except InputError:  # `check` lists them
            continue
        if not seen <= {0, 255}:
            return False
    return 255 in seen
