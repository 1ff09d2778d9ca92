"""Which of ten digits a picture shows: sweeps along rows and columns, and a score for each class.

python examples/classification.py
"""

import sweepseg
from sweepseg.data import digit_glyphs


def main(output: str = "runs/classification", steps: int = 300) -> None:
    """Train on the digits that come with sweepseg, print the accuracy on val, and name three test pictures."""
    trained = sweepseg.train(
        sweepseg.Settings(
            data="digit_glyphs",
            model="sweepnet_classifier",
            output=output,
            steps=steps,
            batch_size=32,
            scale=(0.9, 1.1),
            flip=False,
            ema=0.97,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    for sample in digit_glyphs().splits["test"][:3]:
        answer = sweepseg.recognise(trained.model, sample.image)
        print(f"{sample.name}: {answer.text}, probability {answer.probability:.2f}")


if __name__ == "__main__":
    main()
