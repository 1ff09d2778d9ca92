import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sweepseg.data import open_dataset
from sweepseg.tasks import TASKS
from sweepseg.tasks.evaluation import evaluate

CLASSES = 3


class Threshold(nn.Module):
    """Class 0, 1 or 2 for dark, middle and bright pixels of one channel."""

    def __init__(self, shift: float = 0.0):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, image):
        label = ((image[:, 0] + self.shift) * CLASSES).long().clamp(0, CLASSES - 1)
        return nn.functional.one_hot(label, CLASSES).permute(0, 3, 1, 2).float()


@pytest.fixture
def pictures(tmp_path):
    """Two pictures of different sizes with masks and one without; label = third of the brightness, some ignored."""
    draw = np.random.default_rng(0)
    targets = []
    for name, size in (("a", (5, 7)), ("b", (9, 4)), ("c", (6, 6))):
        image = draw.integers(0, 256, size, dtype=np.uint8)
        target = np.minimum(image.astype(int) * CLASSES // 256, CLASSES - 1).astype(np.uint8)
        target[draw.random(size) < 0.2] = 255
        for kind, array in (("images", image), ("masks", target)):
            folder = tmp_path / kind / "val"
            folder.mkdir(parents=True, exist_ok=True)
            if not (kind == "masks" and name == "c"):
                Image.fromarray(array).save(folder / f"{name}.png")
        targets.append((image, target))
    (tmp_path / "classes.txt").write_text("dark\nmiddle\nbright\n")
    return open_dataset(tmp_path), targets[:2]


def scores_of(pictures, shift, **options):
    dataset, _ = pictures
    model = Threshold(shift)
    return evaluate(model, dataset, "val", TASKS["multiclass"](CLASSES), in_channels=1, **options)


def test_right_labels_score_one_and_pictures_without_masks_do_not_count(pictures):
    scores = scores_of(pictures, 0.0, boundary=True)
    assert scores["mean_iou"] == 1
    assert scores["mean_boundary_f1"] == 1


def test_pixels_are_pooled_over_pictures_of_any_size(pictures):
    """Against intersections and unions counted over all annotated pixels at once."""
    shift = 0.1
    image, target = (np.concatenate([pair[i].ravel() for pair in pictures[1]]) for i in (0, 1))
    mask = np.clip(((image.astype(np.float32) / 255 + shift) * CLASSES).astype(int), 0, CLASSES - 1)[target != 255]
    target = target[target != 255]
    ious = [((mask == k) & (target == k)).sum() / ((mask == k) | (target == k)).sum() for k in range(CLASSES)]
    scores = scores_of(pictures, shift)
    assert 0 < scores["mean_iou"] < 1
    np.testing.assert_allclose(scores["iou"].numpy(), ious)
    assert "mean_boundary_f1" not in scores


def test_progress_sees_every_sample(pictures):
    seen = []
    scores_of(pictures, 0.0, progress=lambda samples: [seen.append(s.name) or s for s in samples])
    assert seen == ["a", "b", "c"]
