"""What a line of handwritten digits reads, without knowing where one ends: convolutions, two LSTMs and CTC.

python examples/text_lines.py
"""

import sweepseg
from sweepseg.data import digit_lines


def main(output: str = "runs/text_lines", steps: int = 1500) -> None:
    """Train on the lines that come with sweepseg, print the accuracy on val, and read three test lines."""
    trained = sweepseg.train(
        sweepseg.Settings(
            data="digit_lines",
            model="crnn",
            output=output,
            steps=steps,
            batch_size=16,
            learning_rate=4e-3,
            colour=0.2,
            ema=0.98,
            precision="bfloat16",
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    for sample in digit_lines().splits["test"][:3]:
        print(f"{sample.text} was read as {sweepseg.recognise(trained.model, sample.image).text}")


if __name__ == "__main__":
    main()
