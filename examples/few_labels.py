"""A quarter of the masks, and all of the pictures: a mean teacher labels the others.

python examples/few_labels.py
"""

import sweepseg


def main(output: str = "runs/few_labels", steps: int = 150) -> None:
    """Train on a quarter of the masks alone, then with the pictures that have none too, and print both mIoU."""
    for consistency in (0.0, 1.0):
        trained = sweepseg.train(
            sweepseg.Settings(
                data="nuclei",
                output=f"{output}/{consistency:g}",
                labels=0.25,
                consistency=consistency,
                steps=steps,
                batch_size=4,
                crop=(96, 96),
                flip_vertical=True,
                learning_rate=4e-3,
                ema=0.97,
                validate_every=1000,
            ),
            say=print,
        )
        print(f"consistency {consistency:g}: {trained.headline}")


if __name__ == "__main__":
    main()
