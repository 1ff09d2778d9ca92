"""Digits that partly hide each other, one after the other: a ConvLSTM gives one object a step until none is left.

The two minutes that this takes show how it goes and find hardly a digit; recipes/digits_objects.yaml takes half an
hour.

python examples/few_objects.py
"""

import sweepseg
from sweepseg.data import digit_sample


def main(output: str = "runs/few_objects", steps: int = 200) -> None:
    """Train on the scenes that come with sweepseg, print AP50 on val, and list the digits of a test picture."""
    trained = sweepseg.train(
        sweepseg.Settings(
            data="digits",
            task="detection",
            model="rsis",
            output=output,
            steps=steps,
            scale=(0.85, 1.15),
            flip=False,
            ema=0.97,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    for found in sweepseg.segment(trained.model, digit_sample().splits["test"][0].image).objects:
        print(f"{found.label}, score {found.score:.2f}, rows and columns {found.box}")


if __name__ == "__main__":
    main()
