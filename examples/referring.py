"""Find what a sentence means, such as "the seven left of the three": a GRU reads it, sweeps carry it over the picture.

python examples/referring.py
"""

import sweepseg
from sweepseg.data import open_by_name


def main(output: str = "runs/referring", steps: int = 500) -> None:
    """Train on sentences about digit scenes, print the overall IoU on val, and answer three sentences of test."""
    trained = sweepseg.train(
        sweepseg.Settings(
            data="digits",
            task="referring",
            model="sweepnet_referring",
            output=output,
            steps=steps,
            batch_size=16,
            ema=0.97,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    for sample in open_by_name("digits", task="referring").splits["test"][:3]:
        mask = sweepseg.segment(trained.model, sample.image, sample.sentence).mask
        print(f"{sample.sentence}: {mask.sum()} pixels")


if __name__ == "__main__":
    main()
