"""Two bodies in a volume that look the same and are told apart by which lies further right: six-way sweeps.

python examples/volumes.py
"""

import runpy
from pathlib import Path

import sweepseg


def main(output: str = "runs/volumes", steps: int = 60) -> None:
    """Make volumes, train a model on them, and write the labels of a test volume as NIfTI with its affine."""
    data = Path(output) / "data"
    make_phantoms = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "make_phantoms.py"))
    make_phantoms["main"](data)
    trained = sweepseg.train(
        sweepseg.Settings(
            data=str(data),
            model="sweepnet_volume_small",
            output=f"{output}/model",
            hold_out="1/5",
            steps=steps,
            batch_size=2,
            flip=False,  # left and right are classes
            scale=(0.9, 1.1),
            learning_rate=4e-3,
            loss="cross_entropy + dice",
            ema=0.9,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    scan = sweepseg.open_dataset(data).splits["test"][0].image
    sweepseg.segment(trained.model, scan).save(f"{output}/labels.nii.gz")
    print(f"{output}/labels.nii.gz lies over {scan}")


if __name__ == "__main__":
    main()
