"""Draw the picture of docs/digit-scenes.md.

Usage: python tools/show_digits.py TARGET
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from sweepseg.data.classes import voc_palette
from sweepseg.data.digit_scenes import clip, line, scene

PALETTE = np.array(voc_palette(11), np.uint8)
WIDTH = 528  # of the sheet in its own pixels, which are doubled at last


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures of one height in a row, (H + 2, `WIDTH`, 3), on white."""
    row = np.concatenate([np.pad(p, ((0, 2), (0, 2), (0, 0)), constant_values=255) for p in pictures], axis=1)
    return np.pad(row, ((0, 0), (0, WIDTH - row.shape[1]), (0, 0)), constant_values=255)


def main(target: Path) -> None:
    """Write test scenes, their masks, a clip, its instances and three lines to ``target``."""
    scenes = [scene(0, "test", index) for index in range(8)]
    moving = clip(0, "test", 0, frames=16)
    lines = [line(0, "test", index) for index in range(3)]
    rows = [
        beside(*(one.image for one in scenes)),
        beside(*(PALETTE[one.mask] for one in scenes)),
        beside(*moving.image[::2]),
        beside(*PALETTE[moving.instances[::2]]),
        beside(*(one.image for one in lines)),
    ]
    sheet = Image.fromarray(np.concatenate(rows)).quantize(256, dither=Image.Dither.NONE)
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST).save(target, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
