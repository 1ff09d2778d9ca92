"""Every pixel is of a numbered nucleus or of the background: objects over stuff, in COCO's panoptic files.

python examples/panoptic.py
"""

from pathlib import Path

import torch

import sweepseg
from sweepseg.data import read_pair
from sweepseg.inference.panoptic import annotate, merge
from sweepseg.io.coco_panoptic import Panoptic, write_ids, write_panoptic
from sweepseg.metrics_panoptic import PanopticQuality

CLASSES = ("background", "nucleus")


def main(output: str = "runs/panoptic", steps: int = 100) -> None:
    """Train a model of objects on the nuclei that come with sweepseg, write what it says of val, and print PQ."""
    settings = sweepseg.Settings(
        data="nuclei",
        task="instances",
        output=f"{output}/model",
        steps=steps,
        batch_size=4,
        crop=(192, 192),
        flip_vertical=True,
        loss="cross_entropy + dice",
        ema=0.97,
        validate_every=1000,
    )
    model = sweepseg.train(settings, say=print).model
    dataset = sweepseg.open_dataset(sweepseg.nuclei_sample().root, task="instances")
    metric, annotations = PanopticQuality(len(CLASSES), stuff=[0]), []
    for number, sample in enumerate(dataset.splits["val"]):
        _, target = read_pair(dataset, sample, in_channels=len(model.config.mean))
        planes = merge(sweepseg.segment(model, sample.image), CLASSES)
        metric.update(torch.from_numpy(planes)[None], torch.from_numpy(target)[None])
        ids, annotation = annotate(planes, [1, 2], image_id=number, file_name=f"{sample.name}.png")
        write_ids(Path(output, annotation.file_name), ids)
        annotations.append(annotation)
    kinds = tuple({"id": label, "name": name, "isthing": label - 1} for label, name in enumerate(CLASSES, 1))
    write_panoptic(Path(output, "panoptic.json"), Panoptic(tuple(annotations), kinds))
    print(", ".join(f"{name} {100 * value:.1f}" for name, value in metric.compute().items() if value.dim() == 0))


if __name__ == "__main__":
    main()
