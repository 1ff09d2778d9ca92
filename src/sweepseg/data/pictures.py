"""Data sets of pictures alone, to learn to make such pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import InputError, UsageError
from .dataset import PictureSet, Problem, Sample
from .labelled import LOOKED_FOR as IDX_LOOKED_FOR
from .labelled import idx_files
from .layouts import SPLITS
from .listing import by_name
from .pairs import read_pixels


def open_pictures(root: Path, names: Sequence[str] | None = None) -> PictureSet:
    """Open `SPLIT/.../NAME.png`, such as class folders, or the IDX files of MNIST; what classes there are is ignored.

    Grey pictures are drawn in black and white, see `pairs.draw`; of others each channel has 256 values.

    Args:
        root: Folder of the data set.
        names: Not used.

    Raises:
        UsageError: There is no picture, or none that can be read.
        InputError: An IDX file is damaged.
    """
    splits, problems = {split: [*samples] for split, samples in idx_files(root).items()}, list[Problem]()
    layout = "idx"
    if not splits:
        layout = "folders"
        for split in SPLITS:
            files = by_name(root / split)
            splits[split] = [Sample(name, paths[0], None) for name, paths in files.items()]
            doubles = [path for paths in files.values() for path in paths[1:]]
            problems += [Problem(path, f"has the same name as another in {split}; rename it") for path in doubles]
    if not any(splits.values()):
        raise UsageError(f"{root} holds no picture; looked for {IDX_LOOKED_FOR}")
    grey = _channels(sample for samples in splits.values() for sample in samples) == 1
    count = 2 if grey else 256
    return PictureSet(
        root=root,
        layout=layout,
        task="generation",
        classes=tuple(map(str, range(count))),
        palette=tuple((value * 255 // (count - 1),) * 3 for value in range(count)),
        splits={
            split: tuple(
                replace(sample, mask=sample.image, text=None, drawn=number if grey else None)
                for number, sample in enumerate(samples)
            )
            for split, samples in splits.items()
            if samples
        },
        problems=tuple(problems),
    )


def _channels(samples: Iterable[Sample]) -> int:
    """The channels of the first picture that can be read; `check` lists those that cannot."""
    for sample in samples:
        try:
            return read_pixels(sample).shape[2]
        except InputError as error:
            refusal = error
    raise UsageError(f"no picture can be read; the last: {refusal}")
