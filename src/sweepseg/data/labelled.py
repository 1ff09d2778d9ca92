"""Data sets of images that each have a class: a folder for each class, or the four files of MNIST and its relatives."""

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, UsageError
from ..io.idx import read_idx
from .classes import voc_palette
from .dataset import LabelledSet, Problem, Sample
from .layouts import SPLITS
from .listing import by_name

IDX_SPLITS = {"train": "train", "val": "val", "t10k": "test", "test": "test"}  # how the files begin -> split
LOOKED_FOR = "{train,val,test}/CLASS/NAME.png, or train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"

Splits = dict[str, tuple[Sample, ...]]


def open_labelled(root: Path, names: Sequence[str] | None = None) -> LabelledSet:
    """Open `SPLIT/CLASS/NAME.png`, or `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, compressed by gzip or not.

    Args:
        root: Folder of the data set.
        names: The classes in the order of their indices; by default the names of the training folders in their
            alphabetic order, or the numbers that occur.

    Raises:
        UsageError: The folder has neither, no training image, or fewer than two classes.
        InputError: An IDX file is damaged, or images and labels differ in number.
    """
    splits, problems = idx_files(root, names), list[Problem]()
    layout = "idx"
    if not splits:
        layout, (splits, problems) = "class folders", _class_folders(root)
    if not any(splits.values()):
        raise UsageError(f"{root} holds no image with a class; looked for {LOOKED_FOR}")
    found = {sample.text for sample in splits.get("train", ()) if sample.text is not None}
    if names is None:
        names = sorted(found, key=int) if layout == "idx" else sorted(found)
    if len(names) < 2:
        raise UsageError(f"{root} has {len(names)} classes in train; name 2 or more, one a line, in classes.txt")
    return LabelledSet(
        root=root,
        layout=layout,
        task="classification",
        classes=tuple(names),
        palette=voc_palette(len(names)),
        splits={split: samples for split, samples in splits.items() if samples},
        problems=tuple(problems),
    )


def _class_folders(root: Path) -> tuple[Splits, list[Problem]]:
    splits: Splits = {}
    problems = []
    for split in SPLITS:
        samples = []
        for name, paths in by_name(root / split).items():
            text, _, rest = name.partition("/")
            if rest:
                samples += [Sample(name, path, None, text=text) for path in paths]
            else:
                problems += [Problem(path, f"lies in no class; move it to {split}/CLASS/{path.name}") for path in paths]
        splits[split] = tuple(samples)
    return splits, problems


def idx_files(root: Path, names: Sequence[str] | None = None) -> Splits:
    """The pictures of the IDX files in a folder, with their classes; arguments and errors as of `open_labelled`."""
    numbered = dict(enumerate(names or ()))
    splits: Splits = {}
    files = {path.name: path for path in sorted(root.iterdir())}
    for name, path in files.items():
        matched = re.fullmatch(r"(train|val|t10k|test)-images[-.]idx3-ubyte(\.gz)?", name)
        if not matched:
            continue
        partner = name.replace("-images", "-labels").replace("idx3", "idx1")
        if partner not in files:
            raise UsageError(f"{path} has no {partner} beside it; add the labels")
        images, labels = read_idx(path), read_idx(files[partner])
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            shapes = f"{partner} is of shape {labels.shape} and {name} {images.shape}"
            raise InputError(files[partner], f"{shapes}; wanted is a label for each image (N, H, W)")
        splits[IDX_SPLITS[matched[1]]] = tuple(
            Sample(f"{number:05}", path, None, text=numbered.get(label, str(label)), page=number)
            for number, label in enumerate(labels.tolist())
        )
    return splits
