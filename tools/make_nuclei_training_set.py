"""Lay out the annotated Data Science Bowl 2018 pictures for training, with masks and numbered nuclei.

Usage: python tools/make_nuclei_training_set.py SOURCE TARGET [--fifth]

SOURCE is that of `make_nuclei_sample.py`. TARGET gets `images`, `masks` and `instances`. In `train` stands every
picture that may be used but those whose crops are the test pictures of the bundled sample. With --fifth every fifth
picture that may be used, by name, stands in `val` and the others in `train`.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from sweepseg import nuclei_sample


def main(source: Path, target: Path, *, fifth: bool = False) -> None:
    """Copy images and instances, and turn the numbers of these into background (0) and nucleus (1)."""
    names = sorted({*(source / "train.txt").read_text().split()})
    tested = {sample.name for sample in nuclei_sample().splits["test"]}
    held_out = {*names[::5]} if fifth else tested
    splits = {"train": [name for name in names if name not in held_out], "val": names[::5] if fifth else []}
    for split, chosen in splits.items():
        images, masks, instances = (target / part / split for part in ("images", "masks", "instances"))
        for name in chosen:
            for folder in (images, masks, instances):
                folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / "images" / f"{name}.png", images / f"{name}.png")
            shutil.copyfile(source / "masks" / f"{name}.png", instances / f"{name}.png")
            with Image.open(source / "masks" / f"{name}.png") as numbers:
                Image.fromarray((np.asarray(numbers) > 0).astype(np.uint8)).save(masks / f"{name}.png")
    shutil.copyfile(nuclei_sample().root / "classes.txt", target / "classes.txt")


if __name__ == "__main__":
    folders = [argument for argument in sys.argv[1:] if argument != "--fifth"]
    if len(folders) != 2:
        sys.exit(__doc__)
    main(*map(Path, folders), fifth="--fifth" in sys.argv)
