"""Objects told apart by their cores: depths by brute force, decoding of what is known, a run from training to files."""

import numpy as np
import pytest
import torch
from PIL import Image

from sweepseg.data import nuclei_sample, open_dataset
from sweepseg.data.pairs import read_pair
from sweepseg.errors import UsageError
from sweepseg.metrics_instances import shared_pixels
from sweepseg.models.folder import load
from sweepseg.tasks import Instances
from sweepseg.tasks import instances as module
from sweepseg.tasks.evaluation import evaluate
from sweepseg.tasks.instances import depth
from sweepseg.training.fit import train
from sweepseg.training.settings import Settings


def numbered(height=12, width=15):
    """Touching and overlapping rectangles, one of a single pixel, one on the border."""
    numbers = np.zeros((height, width), np.int64)
    for number, box in ((9, np.s_[2:7, 2:8]), (4, np.s_[5:9, 8:11]), (65535, np.s_[0:2, 9:15]), (2, np.s_[10, 3])):
        numbers[box] = number
    numbers[7, 9] = -1
    return numbers


def test_depth_by_brute_force():
    numbers = numbered()
    wanted, padded = np.zeros(numbers.shape), np.pad(numbers, 1)
    places = np.argwhere(np.ones_like(padded)).reshape(*padded.shape, 2)
    for number in (2, 4, 9, 65535):
        others = places[padded != number]
        distances = np.zeros(numbers.shape)
        for row, column in np.argwhere(numbers == number):
            distances[row, column] = np.sqrt(((others - [row + 1, column + 1]) ** 2).sum(1).min())
        wanted += distances / distances.max()
    np.testing.assert_allclose(depth(numbers), wanted, atol=1e-12)
    assert depth(numbers)[10, 3] == 1 and not depth(np.zeros((3, 4), np.int64)).any()


def logits_of(target, classes):
    """The logits of a network that knows the target (2, H, W)."""
    labels = torch.from_numpy(target[1]).clamp_min(0)
    known = 8.0 * torch.nn.functional.one_hot(labels, classes + 1).permute(2, 0, 1)
    core = torch.from_numpy(depth(target[0]) >= 0.5).float()
    return torch.cat([known, 8 * core[None] - 4])[None]


def test_what_is_known_is_decoded_to_itself():
    target = np.stack([numbered(), np.where(numbered() == 4, 2, (numbered() > 0).astype(np.int64))])
    found = Instances(2).decode(logits_of(target, 2))[0].numpy()
    shared = shared_pixels(found[0].astype(int), target[0])  # (4, 4)
    assert shared.shape == (4, 4) and (shared.argmax(1) == [3, 2, 1, 0]).all()
    assert shared.sum() == (target[0] > 0).sum() and shared.max(1).sum() >= shared.sum() - 2  # pixels of a corner
    assert (found[1] == target[1].clip(0)).sum() >= found[1].size - 2
    own = found[0] == 2  # which is all of it one object's
    assert found[2][own] == pytest.approx(torch.tensor([8.0, 0.0, 0.0]).softmax(0)[0].item(), rel=1e-5)
    assert not found[2][found[0] == 0].any()


def test_nuclei_that_touch_are_told_apart():
    dataset, task = open_dataset(nuclei_sample().root, task="instances"), Instances(1)
    metric = task.metric()
    for sample in dataset.splits["val"]:
        _, target = read_pair(dataset, sample, in_channels=3)
        metric.update(task.decode(logits_of(target, 1)), torch.from_numpy(target)[None])
    scores = metric.compute()
    assert scores["object_jaccard"] > 0.97 and scores["symmetric_best_dice"] > 0.97 and scores["ap50"] > 0.97


def test_a_speck_without_a_core_is_no_object():
    logits = torch.full((1, 3, 1, 3), -8.0)
    logits[0, 1, 0, 1] = 8.0
    assert not Instances(1).decode(logits).any()


def test_targets_are_derived_view_by_view():
    numbers = [torch.from_numpy(numbered()), torch.zeros(12, 15, dtype=torch.int64)]
    targets = [torch.stack([one, one.clamp(-1, 1)]) for one in numbers]
    images, batch = Instances(1).batch([torch.rand(3, 12, 15) for _ in range(2)], targets)
    assert images.shape == (2, 3, 12, 15) and batch.shape == (2, 2, 12, 15)
    assert torch.equal(batch[0, 0], targets[0][1]) and not batch[1].any()
    assert torch.equal(batch[0, 1], torch.from_numpy(depth(numbered()) >= 0.5).long())


def test_loss_by_definition():
    task, logits = Instances(2), torch.randn(2, 4, 3, 5)
    target = torch.stack([torch.randint(-1, 3, (2, 3, 5)), torch.randint(0, 2, (2, 3, 5))], 1)
    classes, core = target[:, 0], target[:, 1].double()
    p, q = logits[:, :3].double().softmax(1), logits[:, 3].double().sigmoid()
    counted = classes >= 0
    expected = -p.gather(1, classes.clamp_min(0)[:, None])[:, 0].log()[counted].mean()
    expected -= (core * q.log() + (1 - core) * (1 - q).log())[counted].mean()
    assert task.loss({"cross_entropy": 1.0})(logits, target).item() == pytest.approx(expected.item(), rel=1e-5)
    ignored = target.clone()
    ignored[:, 0] = -1
    assert task.loss({"cross_entropy": 1.0})(logits, ignored) == 0


@pytest.mark.parametrize("junk", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_or_of_another_shape_are_refused(junk):
    logits = torch.zeros(2, 3, 4, 5)
    logits[1, 2, 3, 4] = junk
    with pytest.raises(ValueError, match=r"1 non-finite values .* image 1, channel 2"):
        Instances(1).decode(logits)
    with pytest.raises(ValueError, match=r"this task wants \(batch, 4"):
        Instances(2).decode(logits)


def test_what_cannot_be_done_is_said_at_once(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install .sweepseg\[instances\]"):
        Instances(1)


def test_a_run_learns_to_see_objects(tmp_path):
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        for part in ("images", "instances"):
            (tmp_path / "data" / part / split).mkdir(parents=True)
        for name in "ab":
            numbers = np.zeros((40, 48), np.uint16)
            for number in range(4):  # dark squares before noise, in b none
                top, left = 10 * number, draw.integers(0, 40)
                numbers[top : top + 8, left : left + 8] = (name == "a") * (300 + number)
            image = np.where(numbers > 0, 20, draw.integers(150, 256, numbers.shape)).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / "data" / "images" / split / f"{name}.png")
            Image.fromarray(numbers).save(tmp_path / "data" / "instances" / split / f"{name}.png")
    settings = Settings(
        data=str(tmp_path / "data"),
        task="instances",
        output=str(tmp_path / "run"),
        model="sweepnet_nano",
        steps=12,
        batch_size=2,
        crop=(32, 32),
        ema=0.0,
        scale=(1.0, 1.0),
        validate_every=1000,
    )
    trained = train(settings)
    losses = [row["loss"] for row in trained.history]
    assert losses[-1] < 0.85 * losses[0] and trained.headline.startswith("AP50")
    dataset = open_dataset(tmp_path / "data", task="instances")
    scores = evaluate(load(tmp_path / "run"), dataset, "val", Instances(1), in_channels=1, boundary=True)
    assert trained.history[-1]["val_count_error"] == scores["count_error"] and "mean_boundary_f1" not in scores
