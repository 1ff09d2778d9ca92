"""The data that comes with the package."""

from importlib import resources
from pathlib import Path

from .dataset import SegmentationSet, Task
from .opening import open_dataset


def nuclei_sample() -> SegmentationSet:
    """40 microscope pictures of cell nuclei with masks (24 train, 4 val, 12 test; binary), enough to try everything on.

    Source: Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl, Nature Methods
    16, 2019. CC0; `nuclei/NOTICE` says what was changed.

    >>> {split: len(samples) for split, samples in nuclei_sample().splits.items()}
    {'train': 24, 'val': 4, 'test': 12}
    """
    return open_dataset(_nuclei())


def open_by_name(data: str, *, task: Task | None = None) -> SegmentationSet:
    """The data set that `open_dataset` finds at ``data``, or `nuclei_sample` by the name "nuclei".

    Raises:
        UsageError: See `open_dataset`.
    """
    return open_dataset(_nuclei() if data == "nuclei" else data, task=task)


def _nuclei() -> Path:
    return Path(str(resources.files(__package__).joinpath("nuclei")))
