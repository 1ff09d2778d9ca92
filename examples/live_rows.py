"""Rows of a line-scan sensor: rows in, mask rows out, 98 rows later, for as long as the sensor runs.

python examples/live_rows.py
"""

import numpy as np

import sweepseg
from sweepseg.io import read_image


def main(output: str = "runs/live_rows", steps: int = 100) -> None:
    """Train a model that never looks up from below, then let a picture of nuclei come in row by row."""
    trained = sweepseg.train(
        sweepseg.Settings(
            data="nuclei",
            model="sweepnet_nano_causal",
            output=output,
            steps=steps,
            batch_size=4,
            crop=(128, 128),
            flip_vertical=True,
            ema=0.97,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    picture = read_image(sweepseg.nuclei_sample().splits["test"][0].image)
    segmenter, mask = sweepseg.StreamingSegmenter(trained.model), []
    for row, pixels in enumerate(picture):
        mask.append(segmenter.push(pixels[None]))
        if row % 100 == 99:
            print(f"{row + 1} rows in, {sum(map(len, mask))} mask rows out")
    mask.append(segmenter.finish())
    same = np.array_equal(np.concatenate(mask), sweepseg.segment(trained.model, picture).mask)
    print(f"the same mask as that of the whole picture: {same}")


if __name__ == "__main__":
    main()
