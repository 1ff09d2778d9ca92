"""How far each pixel of a cell nucleus is from its border: a map of numbers instead of classes.

python examples/regression.py
"""

import sweepseg


def main(output: str = "runs/regression", steps: int = 150) -> None:
    """Train on distances in the nuclei that come with sweepseg, print R2 on val, and write those of a test picture."""
    trained = sweepseg.train(
        sweepseg.Settings(
            data="nuclei",
            task="regression",
            output=output,
            steps=steps,
            batch_size=4,
            crop=(128, 128),
            flip_vertical=True,
            colour=0.0,
            learning_rate=4e-3,
            ema=0.95,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    found = sweepseg.segment(trained.model, sweepseg.nuclei_sample().splits["test"][0].image)
    found.save(f"{output}/distance.tif")
    print(f"up to {found.mask.max():.1f} pixels from the border; all of them in {output}/distance.tif")


if __name__ == "__main__":
    main()
