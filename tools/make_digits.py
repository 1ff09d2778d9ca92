"""Make the bundled sheet of digits (`src/sweepseg/data/digits/glyphs.png`) from scikit-learn's copy.

Usage: python tools/make_digits.py TARGET

Row r of the sheet holds the digits r, 8 x 8 pixels each, in the order of the original file; blank tiles fill the rows.
The 17 levels of ink, 0 to 16, are stored as 0, 15, ..., 240. The same file comes out with one release of Pillow.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def main(target: Path) -> None:
    """Write the sheet to ``target``."""
    digits = load_digits()
    rows = [digits.images[digits.target == digit].astype(np.uint8) for digit in range(10)]
    sheet = np.zeros((len(rows), max(map(len, rows)), 8, 8), np.uint8)
    for row, glyphs in zip(sheet, rows, strict=True):
        row[: len(glyphs)] = glyphs * 15
    Image.fromarray(sheet.transpose(0, 2, 1, 3).reshape(80, -1)).save(target, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
