"""Draw pictures of a data set, their annotation, and what models say of them.

Usage: python tools/show_segmentations.py DATA SPLIT TARGET MODEL [MODEL ...]

The pictures are chosen by the mean IoU that the first model has on each: the worst, the best, and two that stand evenly
between them. A model is a folder of a run, or "bundled".
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import sweepseg
from sweepseg.data import open_by_name
from sweepseg.data.pairs import read_pair
from sweepseg.io.masks import overlay
from sweepseg.metrics import ConfusionMatrix

ROWS, HEIGHT, GAP = 4, 200, 4  # pictures; pixels


def tile(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) in `HEIGHT` rows, with a white edge at the right and below."""
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    resized = Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.LANCZOS)
    return np.pad(np.asarray(resized), ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def mean_iou(mask: np.ndarray, truth: np.ndarray, num_classes: int) -> float:
    """Of one picture, in percent."""
    metric = ConfusionMatrix(num_classes)
    metric.update(torch.from_numpy(mask), torch.from_numpy(truth))
    return 100 * metric.compute()["mean_iou"].item()


def main(data: str, split: str, target: Path, folders: list[str]) -> None:
    """Write the chosen pictures below each other to ``target`` and print what they are."""
    dataset = open_by_name(data)
    models = [sweepseg.load(sweepseg.bundled_model() if name == "bundled" else name) for name in folders]
    shown = []
    for sample in dataset.splits[split]:
        _, truth = read_pair(dataset, sample, len(models[0].config.mean))
        results = [sweepseg.segment(model, sample.image) for model in models]
        scores = [mean_iou(result.mask, truth, len(dataset.classes)) for result in results]
        rgb = results[0].overlay(alpha=0)  # the picture itself
        pictures = [rgb, overlay(rgb, truth.astype(np.uint8), dataset.palette), *(r.overlay() for r in results)]
        shown.append((scores, sample.name, np.concatenate([tile(picture) for picture in pictures], axis=1)))
    shown.sort(key=lambda one: one[0])
    chosen = [shown[round(i * (len(shown) - 1) / (ROWS - 1))] for i in range(ROWS)]
    for scores, name, _ in chosen:
        print(name, *(f"{score:.1f}" for score in scores))
    width = max(row.shape[1] for _, _, row in chosen)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for _, _, row in chosen]
    Image.fromarray(np.concatenate(rows)).quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
