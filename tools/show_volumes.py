"""Draw the picture of docs/volumes.md: a slice of each volume, its annotation, and what a model says.

Usage: python tools/show_volumes.py VOLUMES LABELS PREDICTED TARGET

The first three are folders of NIfTI files that sort alike. The slice shown is the one with most of the annotation.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from sweepseg.data.classes import voc_palette
from sweepseg.io.nifti import read_labels, read_volume

PALETTE = np.array(voc_palette(256), np.uint8)
ZOOM = 6


def panel(volume: Path, *labels: Path) -> np.ndarray:
    """A slice in grey and, beside it, the same slice of each file of labels, uint8 (h, w, 3), right side up."""
    values, maps = read_volume(volume)[..., 0], [read_labels(path) for path in labels]
    place = int((maps[0] > 0).sum((1, 2)).argmax())
    low, high = np.percentile(values, (1, 99))
    grey = np.rint(255 * np.clip((values[place] - low) / (high - low), 0, 1)).astype(np.uint8)
    tiles = [grey[..., None].repeat(3, axis=2), *(PALETTE[one[place]] for one in maps)]
    return np.concatenate([np.pad(tile[::-1], ((0, 1), (0, 1), (0, 0)), constant_values=255) for tile in tiles], axis=1)


def main(volumes: Path, labels: Path, predicted: Path, target: Path) -> None:
    """Write the panels beside each other to ``target``."""
    files = zip(*(sorted(folder.glob("*.nii*")) for folder in (volumes, labels, predicted)), strict=True)
    panels = [panel(*paths) for paths in files]
    height = max(len(one) for one in panels)
    padded = [np.pad(one, ((0, height - len(one)), (0, 2), (0, 0)), constant_values=255) for one in panels]
    sheet = Image.fromarray(np.concatenate(padded, axis=1)).quantize(256, dither=Image.Dither.NONE)
    sheet.resize((ZOOM * sheet.width, ZOOM * sheet.height), Image.Resampling.NEAREST).save(target, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
