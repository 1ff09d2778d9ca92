"""Finding everything that is wrong with a data set before a training run does."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError, printable
from ..io.files import is_volume
from ..io.nifti import read_affine
from .dataset import DataSet, Problem, Sample
from .pairs import check_size, read_pixels, read_target, scaled
from .statistics import Progress, count_ignored, count_labels


@dataclass
class SplitReport:
    """What one split holds.

    Attributes:
        samples: Images that could be read.
        annotated: Masks, or other annotations, that could be read.
        sizes: Images of each (width, height), volumes of each (width, height, depth).
        channels: Images of each number of channels.
        dtypes: Images of each pixel type.
        class_pixels: Pixels of each class, int64 (K,); where there are no masks, images or characters.
        ignored: Pixels that do not count; for multilabel and maps summed over the classes.
    """

    class_pixels: np.ndarray
    samples: int = 0
    annotated: int = 0
    ignored: int = 0
    sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)

    @property
    def class_shares(self) -> np.ndarray:
        """Share of each class in the labels that are not ignored, float64 (K,); 0 where there are none."""
        return self.class_pixels / max(self.class_pixels.sum(), 1)


@dataclass(frozen=True)
class Report:
    """What `check` found: every problem of the data set, and what each split holds."""

    dataset: DataSet
    problems: tuple[Problem, ...]
    splits: dict[str, SplitReport]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What has to be mended before training."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What may be meant so."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    def __str__(self) -> str:
        data = self.dataset
        lines = [f"{printable(data.root)}: layout {data.layout}, {data.task}, {len(data.classes)} classes"]
        for split, part in self.splits.items():
            annotations = "masks" if data.unit == "pixel" else "annotated"
            lines.append(f"{split}: {part.samples} images, {part.annotated} {annotations}")
            lines.append(f"  sizes: {_listed({'x'.join(map(str, size)): n for size, n in part.sizes.most_common()})}")
            lines.append(f"  channels: {_listed(part.channels)}; types: {_listed(part.dtypes)}")
            for name, pixels, share in zip(data.classes, part.class_pixels, part.class_shares, strict=True):
                if part.annotated and data.listed:
                    lines.append(f"  {printable(name)}: {pixels} {data.unit}s ({share:.2%})")
            if part.ignored:
                lines.append(f"  ignored: {part.ignored} pixels")
        lines += [f"{p.severity}: {printable(p.path)}: {printable(p.reason)}" for p in self.errors + self.warnings]
        return "\n".join(lines)


def check(dataset: DataSet, *, progress: Progress = iter) -> Report:
    """Read every file of a data set and list all that is wrong, instead of stopping at the first.

    Errors are files that are missing, superfluous, double or unreadable, sizes that differ, labels that are no class,
    lossy or colour-coded masks without a table, and empty splits. Warnings are masks in which all is ignored and
    classes without a pixel.

    Args:
        dataset: The data set.
        progress: Called with the samples of each split; hands them on and may draw a bar, as `rich.progress.track`.

    >>> from sweepseg.data import nuclei_sample
    >>> report = check(nuclei_sample())
    >>> report.problems, report.splits["train"].annotated
    ((), 24)
    """
    problems = list(dataset.problems)
    if dataset.volumes and dataset.input_range is not None:
        problems.append(
            Problem(dataset.root, "holds volumes, which are standardised one by one; leave out input_range")
        )
    if not dataset.volumes:
        every = (sample.image for samples in dataset.splits.values() for sample in samples)
        problems += [Problem(path, "is a volume among images; keep one kind") for path in filter(is_volume, every)]
    splits: dict[str, SplitReport] = {}
    for split, samples in dataset.splits.items():
        splits[split] = part = SplitReport(np.zeros(len(dataset.classes), np.int64))
        for sample in progress(samples):
            problems += _check_sample(dataset, sample, part)
        if part.annotated and dataset.listed:
            problems += [
                Problem(dataset.root, f"the class {name} has no {dataset.unit} in {split}", "warning")
                for name, pixels in zip(dataset.classes, part.class_pixels, strict=True)
                if not pixels
            ]
    return Report(dataset, tuple(problems), splits)


def _check_sample(dataset: DataSet, sample: Sample, part: SplitReport) -> list[Problem]:
    """Count one sample into ``part``; what is wrong with image, annotation and the two together."""
    problems = []
    size = None
    try:
        image = read_pixels(sample)  # (H, W, C) or (D, H, W, C)
        size = image.shape[:-1]
        part.samples += 1
        part.sizes[size[::-1]] += 1
        part.channels[image.shape[-1]] += 1
        part.dtypes[str(image.dtype)] += 1
        scaled(image, dataset.input_range)
    except InputError as error:
        problems.append(Problem(Path(str(error.path)), error.reason))
    except ValueError as error:
        problems.append(Problem(sample.image, str(error)))
    if not sample.annotated:  # whether it should be there was asked when the files were listed
        return problems
    try:
        target = read_target(dataset, sample)
        part.annotated += 1
        part.class_pixels += count_labels(dataset, target)
        ignored = count_ignored(dataset, target)
        part.ignored += ignored
        if sample.mask is not None and ignored == target.size:
            problems.append(Problem(sample.mask, "every pixel is ignored, so nothing is learned from it", "warning"))
        if size is not None and target.ndim >= 2:
            check_size(sample, size, target)
        if size is not None and len(size) == 3 and sample.mask is not None:
            _check_place(sample.image, sample.mask)
    except InputError as error:
        problems.append(Problem(Path(str(error.path)), error.reason))
    return problems


def _check_place(image: Path, mask: Path) -> None:
    """Refuse a mask whose affine is not that of its volume: it would be turned otherwise when it is read."""
    if not np.allclose(read_affine(image), read_affine(mask), atol=1e-3):  # mm
        raise InputError(
            mask, f"lies elsewhere than {image.name}: their affines differ; save it with that of the volume"
        )


def _listed(counts: Mapping[int, int] | Mapping[str, int]) -> str:
    """The first five values with their counts, and how many more there are."""
    shown = ", ".join(f"{value} ({count})" for value, count in list(counts.items())[:5])
    return f"{shown} and {len(counts) - 5} more" if len(counts) > 5 else shown
