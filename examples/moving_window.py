"""Videos from the nuclei that come with sweepseg: a window moves over each picture, every frame has noise of its own.

python examples/moving_window.py runs/video/data
"""

import sys
from pathlib import Path

import numpy as np

import sweepseg
from sweepseg.data.pairs import read_pair
from sweepseg.io.images import write_image
from sweepseg.io.masks import write_mask
from sweepseg.io.video import video_writer

FRAMES, SIDE, NOISE = 16, 96, 0.05  # NOISE in units of the image range


def main(root: Path) -> None:
    """Write a data set of videos in the default layout, and the first test video as `clip.webm` beside it."""
    dataset = sweepseg.nuclei_sample()
    for split, samples in dataset.splits.items():
        for place, sample in enumerate(samples):
            image, target = read_pair(dataset, sample, in_channels=1)
            draw = np.random.default_rng([place, len(samples)])
            start, end = (draw.integers(0, np.array(target.shape) - SIDE) for _ in range(2))
            frames = []
            for number, (row, column) in enumerate(np.linspace(start, end, FRAMES).round().astype(int)):
                window = np.s_[row : row + SIDE, column : column + SIDE]
                noisy = image[0][window] + NOISE * draw.standard_normal((SIDE, SIDE))
                frames.append((noisy.clip(0, 1) * 255).round().astype(np.uint8)[..., None])
                name = Path(split, sample.name, f"{number:05}.png")
                write_image(root / "images" / name, frames[-1])
                write_mask(root / "masks" / name, target[window])
            if (split, place) == ("test", 0):
                with video_writer(root.parent / "clip.webm") as write:
                    for frame in frames:
                        write(frame.repeat(3, axis=2))
    (root / "classes.txt").write_text("\n".join(dataset.classes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
