"""The data that comes with the package."""

import os
from importlib import resources
from pathlib import Path

from PIL import Image

from ..errors import OutputError
from ..io.files import remove_stale_temporaries, temporary_folder
from .dataset import SegmentationSet, Task
from .digit_scenes import EDITION, NAMES, scene
from .opening import open_dataset

SCENES = {"train": 400, "val": 50, "test": 100}


def nuclei_sample() -> SegmentationSet:
    """40 microscope pictures of cell nuclei with masks (24 train, 4 val, 12 test; binary), enough to try everything on.

    Source: Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl, Nature Methods
    16, 2019. CC0; `nuclei/NOTICE` says what was changed.

    >>> {split: len(samples) for split, samples in nuclei_sample().splits.items()}
    {'train': 24, 'val': 4, 'test': 12}
    """
    return open_dataset(_nuclei())


def digit_sample() -> SegmentationSet:
    """550 scenes of handwritten digits (400 train, 50 val, 100 test; 11 classes), small enough to train on in seconds.

    They are `digit_scenes.scene` of seed 0, written when they are first asked for, 5 MB in `~/.cache/sweepseg` or in
    the folder that `XDG_CACHE_HOME` names: as files they go the way of every other data set. Beside images and masks
    lie `instances/SPLIT/NAME.png`, `Scene.instances`.

    Raises:
        OutputError: They cannot be written there.
    """
    return open_dataset(_digits())


def open_by_name(data: str, *, task: Task | None = None) -> SegmentationSet:
    """The data set that `open_dataset` finds at ``data``; "nuclei" is `nuclei_sample` and "digits" `digit_sample`.

    Raises:
        UsageError: See `open_dataset`.
        OutputError: See `digit_sample`.
    """
    bundled = {"nuclei": _nuclei, "digits": _digits}
    return open_dataset(bundled[data]() if data in bundled else data, task=task)


def _nuclei() -> Path:
    return Path(str(resources.files(__package__).joinpath("nuclei")))


def _digits() -> Path:
    """The folder of the digit scenes, which is there as a whole or not at all."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sweepseg")
        folder = cache / f"digits-{EDITION}"
        if not folder.is_dir():
            remove_stale_temporaries(cache)
            with temporary_folder(cache) as temporary:
                _write_scenes(temporary)
                try:
                    temporary.rename(folder)
                except OSError:  # another process was faster
                    if not folder.is_dir():
                        raise
    except (OutputError, RuntimeError) as error:  # the latter: nobody knows where the user's home is
        raise OutputError(f"{error}; name a folder for the digit scenes in XDG_CACHE_HOME") from None
    return folder


def _write_scenes(folder: Path) -> None:
    """The digit scenes in the default layout."""
    for split, count in SCENES.items():
        folders = {part: folder / part / split for part in ("images", "masks", "instances")}
        for place in folders.values():
            place.mkdir(parents=True)
        for index in range(count):
            made = scene(0, split, index)
            for part, pixels in (("images", made.image), ("masks", made.mask), ("instances", made.instances)):
                Image.fromarray(pixels).save(folders[part] / f"{index:03}.png")
    (folder / "classes.txt").write_text("\n".join(("background", *NAMES)))
    (folder / "NOTICE").write_bytes(resources.files(__package__).joinpath("digits", "NOTICE").read_bytes())
