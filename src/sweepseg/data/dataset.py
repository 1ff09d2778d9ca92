"""What a data set is: samples by split, classes, and how mask values become classes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np

from ..errors import UsageError
from ..io.files import is_volume
from ..task_names import TaskName
from .outlines import Outline

Color = tuple[int, int, int]
InputRange = tuple[float, float]


@dataclass(frozen=True)
class Sample:
    """One image and its annotation.

    Attributes:
        name: Path of the image relative to its split's folder, without suffix, with forward slashes.
        image: The image file.
        mask: The mask file; for multilabel, and for several maps, the folder with one file a class; None where there is
            no annotation.
        channels: The files of further channels, where each channel has a file of its own; ``image`` holds the first.
        field_of_view: A mask that is 0 where the image shows nothing, which is ignored; None where all of it counts.
        text: The annotation where it is a word: the class of the image, or what it reads.
        class_mask: The mask that tells the classes of the objects that ``mask`` numbers; None where there is one class,
            or no objects.
        drawn: Whether each pixel is drawn, white with the probability that its brightness says, and if so which picture
            of its split it is, counted from 0; else None, and pixels are as stored.
        page: Which picture of the image file it is, counted from 0, where a file holds many; else None.
        sentence: What the model is told to find; None where it is told nothing.
        numbers: Those in ``mask`` of the objects that the sentence means.
        outline: In their place the outline of the object, which is from the file ``mask``.
    """

    name: str
    image: Path
    mask: Path | None
    channels: tuple[Path, ...] = ()
    field_of_view: Path | None = None
    text: str | None = None
    class_mask: Path | None = None
    page: int | None = None
    drawn: int | None = None
    sentence: str | None = None
    numbers: tuple[int, ...] = ()
    outline: Outline | None = None

    @property
    def annotated(self) -> bool:
        """Whether it can be learned from and measured on."""
        return self.mask is not None or self.text is not None

    def mask_files(self) -> list[Path]:
        """The files of the annotation: one, for multilabel one a class, without annotation none."""
        if self.mask is None:
            return []
        return sorted(self.mask.iterdir()) if self.mask.is_dir() else [self.mask]


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set; an error keeps it from being trained on, a warning does not."""

    path: Path
    reason: str
    severity: Literal["error", "warning"] = "error"


class MissingMask(Problem):
    """An image without its mask; fine where pictures without labels are learned from."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set as found on disk; no pixel is held in memory.

    Attributes:
        root: Its folder.
        layout: Name of the layout it was recognised as.
        task: What is learned from it, a key of `tasks.TASKS`; `pairs.TARGETS` says what that makes of a sample.
        classes: Names of the K classes in the order of their indices; of lines of text their characters.
        palette: K colours (red, green, blue), 0..255.
        splits: The samples of "train", "val" and "test"; splits without samples are absent.
        ignore_index: Target value of what counts neither in the loss nor in metrics.
        input_range: Values of the images that become 0 and 1; None: those of the integer type, floats are in [0, 1].
        problems: What is wrong with the list of files itself; `check.check` adds what is wrong inside of them.
        words: The words of sentences that are known, in the order of their numbers; none where there are no sentences.
        unit: What labels are counted in: "pixel", "image", "character" or "object".
        listed: Whether `check` counts class by class, and warns of those that never occur.
    """

    root: Path
    layout: str
    task: TaskName
    classes: tuple[str, ...]
    palette: tuple[Color, ...]
    splits: Mapping[str, tuple[Sample, ...]]
    ignore_index: int = 255
    input_range: InputRange | None = None
    problems: tuple[Problem, ...] = ()
    words: tuple[str, ...] = ()
    unit: ClassVar[str]
    listed: ClassVar[bool] = True

    @property
    def volumes(self) -> bool:
        """Whether its samples are volumes, (D, H, W), by the names of their files."""
        images = [sample.image for samples in self.splits.values() for sample in samples]
        return bool(images) and all(map(is_volume, images))

    def hold_out(self, prefix: str) -> Self:
        """The same set where the training samples named ``prefix...`` form "val", in place of any former "val".

        With sequence names as prefixes this is leave-one-sequence-out validation: frames of one sequence never stand
        on both sides. ``1/5`` holds out every fifth sample in the order of their names instead: the 5th, the 10th, ...

        Raises:
            UsageError: No training sample, or every one, has the prefix.
        """
        train = self.splits.get("train", ())
        share = re.fullmatch(r"1/([1-9][0-9]*)", prefix)
        names = sorted(sample.name for sample in train)
        chosen = {*names[int(share[1]) - 1 :: int(share[1])]} if share else {n for n in names if n.startswith(prefix)}
        held = tuple(sample for sample in train if sample.name in chosen)
        kept = tuple(sample for sample in train if sample.name not in chosen)
        if not held or not kept:
            raise UsageError(
                f"{len(held)} of {len(train)} training samples of {self.root} start with {prefix!r}; "
                "name a prefix that some of them have, but not all, or a share such as 1/5"
            )
        return replace(self, splits={**self.splits, "train": kept, "val": held})

    def keep_labels(self, share: float, draw: np.random.Generator) -> Self:
        """The same set with a share of the annotations of its training samples; the others stay without.

        Of equal draws a smaller share lies within a larger one, so a curve over shares adds labels and takes none away.

        Args:
            share: Above 0, up to 1.
            draw: The only source of randomness.

        Raises:
            UsageError: No annotation is left.
        """
        train = self.splits.get("train", ())
        names = sorted(sample.name for sample in train if sample.annotated)
        kept = {names[i] for i in draw.permutation(len(names))[: round(share * len(names))]}
        if not kept:
            raise UsageError(
                f"a share of {share:g} of the {len(names)} annotated training samples of {self.root} is none; "
                "give a larger one, or annotate some"
            )
        samples = tuple(
            sample if sample.name in kept else replace(sample, mask=None, class_mask=None, text=None)
            for sample in train
        )
        return replace(self, splits={**self.splits, "train": samples})

    def forgive_missing_masks(self) -> Self:
        """The same set, in which it is no problem that training samples have no mask."""
        images = {sample.image for sample in self.splits.get("train", ())}
        problems = (p for p in self.problems if not (isinstance(p, MissingMask) and p.path in images))
        return replace(self, problems=tuple(problems))


@dataclass(frozen=True, kw_only=True)
class SegmentationSet(DataSet):
    """Images with masks: its layout is a key of `layouts.LAYOUTS`, its task binary, multiclass or multilabel.

    Attributes:
        remap: Class, or `ignore_index`, of every value that may stand in a mask; any other value is an error.
        colors: Mask value of every colour that may stand in a colour-coded mask, or None without a table of colours.
    """

    remap: Mapping[int, int]
    colors: Mapping[Color, int] | None = None
    unit = "pixel"


@dataclass(frozen=True, kw_only=True)
class LabelledSet(DataSet):
    """Images with the class of each, in `Sample.text`."""

    ignore_index: int = -1
    unit = "image"


@dataclass(frozen=True, kw_only=True)
class LineSet(DataSet):
    """Images of lines with what each reads, in `Sample.text`; the classes are the characters that occur."""

    ignore_index: int = -1
    unit = "character"


@dataclass(frozen=True, kw_only=True)
class PictureSet(DataSet):
    """Pictures that are their own target; the classes are the values of a channel, 2 or 256."""

    ignore_index: int = -1
    unit = "pixel"
    listed = False


@dataclass(frozen=True, kw_only=True)
class InstanceSet(DataSet):
    """Images with numbered objects in `Sample.mask`; the classes are those of objects, without the background."""

    ignore_index: int = -1
    unit = "object"


@dataclass(frozen=True, kw_only=True)
class ReferringSet(DataSet):
    """Images with sentences, and masks of what each sentence means; the classes are background and object."""

    unit = "pixel"


@dataclass(frozen=True, kw_only=True)
class MapSet(DataSet):
    """Images with maps of numbers in `Sample.mask`, NaN where nothing is known; the classes are the maps.

    Attributes:
        distances: Whether ``mask`` numbers objects, and the map is the distance in pixels to the border of each.
    """

    distances: bool = False
    unit = "pixel"
