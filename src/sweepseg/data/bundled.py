"""The data that comes with the package."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..errors import OutputError
from ..io.files import remove_stale_temporaries, temporary_folder
from ..task_names import TaskName
from .dataset import DataSet, InputRange
from .digit_scenes import EDITION, FULL_INK, NAMES, enlarged, glyphs, line, scene
from .digit_sentences import described
from .layouts import SPLITS
from .opening import open_dataset

SCENES = {"train": 400, "val": 50, "test": 100}
LINES = {"train": 2000, "val": 100, "test": 500}
DESCRIBED = {"train": 4000, "val": 50, "test": 300}  # scenes, each with up to `SAID` sentences
SAID = 4
GLYPH_SIDE = 28  # pixels, as in MNIST


def nuclei_sample() -> DataSet:
    """40 microscope pictures of cell nuclei with masks (24 train, 4 val, 12 test; binary), enough to try everything on.

    Source: Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl, Nature Methods
    16, 2019. CC0; `nuclei/NOTICE` says what was changed.

    >>> {split: len(samples) for split, samples in nuclei_sample().splits.items()}
    {'train': 24, 'val': 4, 'test': 12}
    """
    return open_dataset(_nuclei())


def digit_sample() -> DataSet:
    """550 scenes of handwritten digits (400 train, 50 val, 100 test; 11 classes), small enough to train on in seconds.

    They are `digit_scenes.scene` of seed 0, written when they are first asked for, 5 MB in `~/.cache/sweepseg` or in
    the folder that `XDG_CACHE_HOME` names: as files they go the way of every other data set. Beside images and masks
    lie `instances/SPLIT/NAME.png`, `Scene.instances`.

    Raises:
        OutputError: They cannot be written there.
    """
    return open_by_name("digits")


def digit_glyphs() -> DataSet:
    """The 1,797 handwritten digits themselves (1200 train, 200 val, 397 test; 10 classes), grey, 28 x 28 pixels.

    Raises:
        OutputError: As `digit_sample`.
    """
    return open_by_name("digit_glyphs")


def digit_lines() -> DataSet:
    """2600 lines of three to eight handwritten digits (2000 train, 100 val, 500 test), `digit_scenes.line` of seed 0.

    Raises:
        OutputError: As `digit_sample`.
    """
    return open_by_name("digit_lines")


def open_by_name(data: str, *, task: TaskName | None = None, input_range: InputRange | None = None) -> DataSet:
    """The data set that `open_dataset` finds at ``data``, or the one of this name that comes with the package.

    Args:
        data: A folder, a YAML file or a name; "digits" for task referring is "digit_sentences".
        task: See `open_dataset`.
        input_range: That of the data set.

    Raises:
        UsageError: See `open_dataset`.
        OutputError: See `digit_sample`.
    """
    data = "digit_sentences" if (data, task) == ("digits", "referring") else data
    folder, usual_task = (BUNDLED[data].folder(), BUNDLED[data].task) if data in BUNDLED else (data, None)
    return replace(open_dataset(folder, task=task or usual_task), input_range=input_range)


def _nuclei() -> Path:
    return Path(str(resources.files(__package__).joinpath("nuclei")))


def _written(name: str, write: Callable[[Path], None]) -> Path:
    """A folder that ``write`` fills, which is there as a whole or not at all."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sweepseg")
        folder = cache / f"{name}-{EDITION}"
        if not folder.is_dir():
            remove_stale_temporaries(cache)
            with temporary_folder(cache) as temporary:
                write(temporary)
                notice = resources.files(__package__).joinpath("digits", "NOTICE").read_bytes()
                (temporary / "NOTICE").write_bytes(notice)
                try:
                    temporary.rename(folder)
                except OSError:  # another process was faster
                    if not folder.is_dir():
                        raise
    except (OutputError, RuntimeError) as error:  # the latter: nobody knows where the user's home is
        raise OutputError(f"{error}; name a folder for {name} in XDG_CACHE_HOME") from None
    return folder


def write_scenes(folder: Path, counts: Mapping[str, int]) -> None:
    """Write the first digit scenes of seed 0 of each split, as many as ``counts`` says, in the default layout."""
    for split, count in counts.items():
        folders = {part: folder / part / split for part in ("images", "masks", "instances")}
        for place in folders.values():
            place.mkdir(parents=True)
        for index in range(count):
            made = scene(0, split, index)
            for part, pixels in (("images", made.image), ("masks", made.mask), ("instances", made.instances)):
                Image.fromarray(pixels).save(folders[part] / f"{index:03}.png")
    (folder / "classes.txt").write_text("\n".join(("background", *NAMES)))


def _write_glyphs(folder: Path) -> None:
    """The glyphs in folders of their classes."""
    for split in SPLITS:
        for name, rows in zip(NAMES, glyphs(split), strict=True):
            (folder / split / name).mkdir(parents=True)
            for index, ink in enumerate(enlarged(rows, GLYPH_SIDE, GLYPH_SIDE) * 255 // FULL_INK):
                Image.fromarray(ink.astype("uint8")).save(folder / split / name / f"{index:03}.png")
    (folder / "classes.txt").write_text("\n".join(NAMES))


def _write_lines(folder: Path) -> None:
    """The lines with a table of what they read."""
    for split, count in LINES.items():
        (folder / split).mkdir()
        rows = []
        for index in range(count):
            made = line(0, split, index)
            Image.fromarray(made.image).save(folder / split / f"{index:04}.png")
            rows.append(f"{index:04}.png\t{made.text}\n")
        (folder / split / "labels.tsv").write_text("".join(rows))


def _write_sentences(folder: Path) -> None:
    """Digit scenes with tables of sentences."""
    (folder / "sentences").mkdir()
    for split, count in DESCRIBED.items():
        folders = {part: folder / part / split for part in ("images", "instances")}
        for place in folders.values():
            place.mkdir(parents=True)
        rows = []
        for index in range(count):
            made = described(0, split, index, SAID)
            for part, pixels in (("images", made[0].scene.image), ("instances", made[0].scene.instances)):
                Image.fromarray(pixels).save(folders[part] / f"{index:04}.png")
            rows += [f"{index:04}.png\t{','.join(map(str, one.numbers))}\t{one.sentence}\n" for one in made]
        (folder / "sentences" / f"{split}.tsv").write_text("".join(rows))


class Bundled(NamedTuple):
    """Where a data set of the package lies, and its task where masks do not tell it."""

    folder: Callable[[], Path]
    task: TaskName | None = None


BUNDLED = {
    "nuclei": Bundled(_nuclei),
    "digits": Bundled(lambda: _written("digits", lambda folder: write_scenes(folder, SCENES))),
    "digit_glyphs": Bundled(lambda: _written("digit_glyphs", _write_glyphs), "classification"),
    "digit_lines": Bundled(lambda: _written("digit_lines", _write_lines), "sequence"),
    "digit_sentences": Bundled(lambda: _written("digit_sentences", _write_sentences), "referring"),
}
