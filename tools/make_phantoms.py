"""Make a data set of small volumes: bright ellipsoids in noise, two of each, told apart by which lies further right.

Usage: python tools/make_phantoms.py TARGET

Writes 12 volumes to train on and 3 to test on, some 24 voxels a side, in the layout of nnU-Net. The two ellipsoids of a
volume look the same, so what class a voxel has can only be told by one who sees the other ellipsoid. Nothing in it
comes from a scan.
"""

import json
import sys
from pathlib import Path

import nibabel
import numpy as np

LABELS = {"background": 0, "left": 1, "right": 2}
AFFINE = np.array(
    [[1.5, 0, 0, -20], [0, 1.5, 0, -30], [0, 0, 2, 10], [0, 0, 0, 1]]
)  # mm; axes run to right, front, top


def phantom(draw: np.random.Generator, side: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A volume and its labels, float32 and uint8 (x, y, z); each axis has ``side`` voxels or up to a quarter more."""
    size = draw.integers(side, side + side // 4 + 1, 3)
    place = np.indices(size)
    labels = np.zeros(size, np.uint8)
    first = draw.uniform(0.22, 0.32)
    for label, right in ((1, first), (2, first + draw.uniform(0.32, 0.42))):
        centre = np.array([right, *draw.uniform(0.3, 0.7, 2)]) * size
        radius = draw.uniform(0.11, 0.16, 3) * size
        labels[(((place.T - centre) / radius) ** 2).sum(-1).T < 1] = label
    slope = draw.uniform(-0.5, 0.5, 3) / size
    shading = 1 + (place.T @ slope).T  # as of a coil that lies closer to one side
    volume = (300 + 250 * (labels > 0)) * shading + draw.normal(0, 60, size)
    return volume.astype(np.float32), labels


def main(target: Path, train: int = 12, test: int = 3, side: int = 24) -> None:
    """Write the data set to ``target``."""
    draw = np.random.default_rng(0)
    for part, count in (("Tr", train), ("Ts", test)):
        for i in range(count):
            volume, labels = phantom(draw, side)
            for folder, values, suffix in (("images", volume, "_0000"), ("labels", labels, "")):
                path = target / f"{folder}{part}" / f"phantom_{i:02}{suffix}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                nibabel.Nifti1Image(values, AFFINE).to_filename(path)
    description = {"channel_names": {"0": "none"}, "labels": LABELS, "numTraining": train, "file_ending": ".nii.gz"}
    (target / "dataset.json").write_text(json.dumps(description, indent=2))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
