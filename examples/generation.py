"""New handwritten digits, pixel by pixel: Row LSTMs say how likely each pixel is white after those before it.

python examples/generation.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import sweepseg


def main(output: str = "runs/generation", steps: int = 200) -> None:
    """Train on the digits that come with sweepseg, print the nats of a picture, and draw eight new ones."""
    trained = sweepseg.train(
        sweepseg.Settings(
            data="digit_glyphs",
            task="generation",
            model="pixel_rnn_row",
            output=output,
            steps=steps,
            batch_size=16,
            ema=0.97,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    pictures = sweepseg.generate(trained.model, 8, seed=0)
    Image.fromarray(np.hstack(pictures[..., 0])).save(Path(output) / "made.png")
    print(f"look at {Path(output) / 'made.png'}")


if __name__ == "__main__":
    main()
