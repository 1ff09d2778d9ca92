import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sweepseg.data import open_dataset
from sweepseg.layers.stages import Local, StagedModel
from sweepseg.models.segmenter import ModelConfig, Segmenter
from sweepseg.models.video import TimeBlock, VideoModel
from sweepseg.tasks import TASKS
from sweepseg.tasks.evaluation import evaluate, evaluate_videos, masks

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


class CountsFrames(nn.Module):
    """A recurrence whose output and state are the number of frames so far, everywhere."""

    def forward(self, clip, state=None):
        counts = (0 if state is None else state) + torch.arange(1, clip.shape[1] + 1)
        return torch.ones_like(clip) * counts.view(-1, 1, 1, 1), counts[-1]


def test_a_model_with_memory_sees_each_video_in_order_from_its_start(tmp_path):
    """One that labels the third frame of each video: frames are in disorder, one is missing and one not annotated."""
    for name in ("a_10", "a_9", "a_8", "a_12", "a_13", "b_1", "b_2", "b_3"):
        (tmp_path / "images" / "val").mkdir(parents=True, exist_ok=True)
        (tmp_path / "masks" / "val").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "images" / "val" / f"{name}.png")
        if name != "b_2":
            Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "masks" / "val" / f"{name}.png")
    (tmp_path / "classes.txt").write_text("nothing\nobject\n")
    block = TimeBlock(CountsFrames(), 1, 1)
    nn.init.ones_(block.project.weight)
    picture = StagedModel(
        {"in": Local(nn.Identity(), ["image"], halo=0), "out": Local(nn.Identity(), ["in"], halo=0)},
        total_stride=1,
        in_channels=1,
    )
    config = ModelConfig(builder="", task="binary", classes=("a", "b"), palette=(), mean=(2.5,), std=(1.0,))
    model = Segmenter(VideoModel(picture, {"in": block}), config)  # logit = number of the frame - 2.5
    found = masks(model, open_dataset(tmp_path), "val", TASKS["binary"](), in_channels=1)
    assert [(video, bool(mask.all())) for video, mask, _ in found] == [
        *(("a", False), ("a", False), ("a", True), ("a_12", False), ("a_12", False)),
        *(("b", False), ("b", True)),
    ]


def test_scores_of_videos_are_means_over_videos(tmp_path):
    """A model that is right in the one video and sees nothing in the other, of ten frames each."""
    for video, bright in (("a", 255), ("b", 90)):
        for number in range(10):
            for part, value in (("images", bright), ("masks", 1)):
                pixels = np.zeros((12, 12), np.uint8)
                pixels[3:9, 3:9] = value
                (tmp_path / part / "val").mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / part / "val" / f"{video}_{number}.png")
    (tmp_path / "classes.txt").write_text("nothing\nobject\n")

    class Bright(nn.Module):
        def __init__(self):
            super().__init__()
            self.threshold = nn.Parameter(torch.tensor(0.5))

        def forward(self, image):
            return image - self.threshold

    scores = evaluate_videos(Bright(), open_dataset(tmp_path), "val", TASKS["binary"](), in_channels=1)
    wanted = {"J": 0.5, "J_recall": 0.5, "J_decay": 0.0, "F": 0.5, "F_recall": 0.5, "F_decay": 0.0, "J&F": 0.5}
    share_of_background = 108 / 144  # what the wrong one has right
    assert scores == {**wanted, "video_consistency": (1 + share_of_background) / 2}
