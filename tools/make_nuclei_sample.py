"""Make the bundled nuclei sample (`src/sweepseg/data/nuclei`) from a folder of Data Science Bowl 2018 pictures.

Usage: python tools/make_nuclei_sample.py SOURCE TARGET

SOURCE holds `images/NAME.png`, `masks/NAME.png` (16-bit, one id per nucleus), `train.txt` (the names that may be used)
and `kinds.txt` (name, kind, count). The same source gives the same files, byte for byte, with one release of Pillow.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

# How many pictures for train and for test of each kind and size (width, height): few colour pictures, whose files are
# four times as large, and more of what is common.
QUOTAS = {
    ("colour", (320, 256)): (6, 3),
    ("fluorescence", (256, 256)): (12, 4),
    ("fluorescence", (347, 260)): (1, 1),
    ("fluorescence", (360, 360)): (3, 2),
    ("fluorescence", (640, 512)): (1, 1),
    ("fluorescence", (696, 520)): (4, 1),
    ("fluorescence", (1272, 603)): (1, 0),
}
LONGEST = {"colour": 256, "fluorescence": 360}  # side that is kept whole, in pixels
CROP = 288  # side of what is kept of a fluorescence picture that is larger


def choose(source: Path) -> dict[str, list[tuple[str, str]]]:
    """The names and kinds of each split: of every group the ones evenly spaced in the number of nuclei."""
    allowed = set((source / "train.txt").read_text().split())
    groups: dict[tuple, list[tuple[int, str]]] = {group: [] for group in QUOTAS}
    for line in (source / "kinds.txt").read_text().splitlines():
        name, kind, nuclei = line.split()
        if name in allowed:
            with Image.open(source / "images" / f"{name}.png") as image:
                groups[kind, image.size].append((int(nuclei), name))
    chosen: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for (kind, size), (train, test) in QUOTAS.items():
        ranked = sorted(groups[kind, size])
        places = np.linspace(0, len(ranked) - 1, train + test).round().astype(int)
        tested = set(np.linspace(0, train + test - 1, test + 2).round().astype(int)[1:-1])
        for order, place in enumerate(places):
            chosen["test" if order in tested else "train"].append((ranked[place][1], kind))
    validated = chosen["train"][3::7]
    return chosen | {"train": [c for c in chosen["train"] if c not in validated], "val": validated}


def centre_crop(array: np.ndarray, longest: int) -> np.ndarray:
    """The middle of ``array`` (H, W, ...), at most ``longest`` pixels high and wide."""
    rows, columns = (slice((n - min(n, longest)) // 2, (n + min(n, longest)) // 2) for n in array.shape[:2])
    return array[rows, columns]


def main(source: Path, target: Path) -> None:
    """Write images, masks and instances of all splits under ``target``."""
    for split, pictures in choose(source).items():
        folders = {part: target / part / split for part in ("images", "masks", "instances")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        for name, kind in pictures:
            image = np.asarray(Image.open(source / "images" / f"{name}.png"))
            instances = np.asarray(Image.open(source / "masks" / f"{name}.png")).astype(np.uint16)
            longest = CROP if max(image.shape) > LONGEST["fluorescence"] else LONGEST[kind]
            image, instances = centre_crop(image, longest), centre_crop(instances, longest)
            if (image == image[..., :1]).all():
                image = image[..., 0]
            ids, numbered = np.unique(instances, return_inverse=True)
            instances = (numbered + (ids[0] != 0)).reshape(instances.shape).astype(np.uint16)  # 1..N without gaps
            Image.fromarray(image).save(folders["images"] / f"{name}.png", optimize=True)
            Image.fromarray((instances > 0).astype(np.uint8)).save(folders["masks"] / f"{name}.png", optimize=True)
            Image.fromarray(instances).save(folders["instances"] / f"{name}.png", optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
