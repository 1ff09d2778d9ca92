"""Cell nuclei that touch, told apart and numbered.

python examples/many_objects.py
"""

import sweepseg


def main(output: str = "runs/many_objects", steps: int = 100) -> None:
    """Train on the nuclei that come with sweepseg, print AP50 on val, and number the nuclei of a test picture."""
    trained = sweepseg.train(
        sweepseg.Settings(
            data="nuclei",
            task="instances",
            output=output,
            steps=steps,
            batch_size=4,
            crop=(192, 192),
            flip_vertical=True,
            loss="cross_entropy + dice",
            ema=0.97,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    found = sweepseg.segment(trained.model, sweepseg.nuclei_sample().splits["test"][0].image)
    found.save(f"{output}/numbers.png")  # and what is known of each object in numbers.json
    print(f"{len(found.objects)} nuclei, the first of {found.objects[0].area} pixels" if found.objects else "no nuclei")


if __name__ == "__main__":
    main()
