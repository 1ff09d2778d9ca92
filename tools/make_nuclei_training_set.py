"""Lay out the annotated Data Science Bowl 2018 pictures for the training of the bundled nuclei model.

Usage: python tools/make_nuclei_training_set.py SOURCE TARGET

SOURCE is that of `make_nuclei_sample.py`. TARGET gets `images/train` and `masks/train` with every picture that may be
used but those whose crops are the test pictures of the bundled sample.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from sweepseg import nuclei_sample


def main(source: Path, target: Path) -> None:
    """Copy the images and turn instance ids into background (0) and nucleus (1)."""
    tested = {sample.name for sample in nuclei_sample().splits["test"]}
    images, masks = target / "images" / "train", target / "masks" / "train"
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(set((source / "train.txt").read_text().split()) - tested):
        shutil.copyfile(source / "images" / f"{name}.png", images / f"{name}.png")
        with Image.open(source / "masks" / f"{name}.png") as instances:
            Image.fromarray((np.asarray(instances) > 0).astype(np.uint8)).save(masks / f"{name}.png")
    shutil.copyfile(nuclei_sample().root / "classes.txt", target / "classes.txt")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
