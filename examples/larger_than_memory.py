"""A picture that does not fit in memory, segmented in parts with the mask that it would get as a whole.

python examples/larger_than_memory.py
"""

from pathlib import Path

import numpy as np
import tifffile

import sweepseg
from sweepseg.io import read_image


def main(output: str = "runs/larger_than_memory", side: int = 4096) -> None:
    """Lay nuclei side by side to a large picture and segment it with the bundled model in at most 700 MB."""
    pictures = Path(output) / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    nuclei = read_image(sweepseg.nuclei_sample().splits["test"][0].image)[..., 0]
    tiled = np.tile(nuclei, (side // len(nuclei) + 1, side // nuclei.shape[1] + 1))[:side, :side]
    tifffile.imwrite(pictures / "large.tif", tiled, tile=(256, 256))
    model = sweepseg.load(sweepseg.bundled_model())
    sweepseg.predict(pictures, model, f"{output}/masks", memory=700_000_000, say=print, note=print)
    print(f"look at {output}/masks/large.png")


if __name__ == "__main__":
    main()
