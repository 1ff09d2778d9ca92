"""Each system learns: in seconds it finds digits that it never saw before textured backgrounds."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sweepseg.data.digit_scenes import clip
from sweepseg.models import MODELS
from sweepseg.models.video import VideoModel

BARS = {  # steps, and IoU of all digits together; background everywhere has 0
    "conv_lstm": (40, 0.4),  # measured: 0.53
    "pixel_lstm": (25, 0.4),  # 0.54
    "cnn_baseline": (25, 0.4),  # 0.54
    "conv_gru": (20, 0.4),  # 0.54
    "region_gru": (20, 0.5),  # 0.65
    "simple_rnn": (40, 0.65),  # 0.83
    "time_distributed": (15, 0.2),  # 0.29
}
FRAMES = 2


def clips(split, count):
    """Moving digits: frames (N, T, 3, H, W), about normalised, and where digits are, (N, T, H, W)."""
    scenes = [clip(0, split, index, FRAMES) for index in range(count)]
    images = torch.from_numpy(np.stack([one.image for one in scenes])).permute(0, 1, 4, 2, 3)
    return (images - 64.0) / 50, torch.from_numpy(np.stack([one.mask for one in scenes])).clamp(max=1).long()


@pytest.fixture(scope="module")
def data():
    return clips("train", 40), clips("test", 8)


def logits_of(model, images):
    """(N, T, K, H, W); a network for single pictures takes frame by frame."""
    if isinstance(model, VideoModel):
        return model.run(images)[0]
    return model(images.flatten(0, 1)).unflatten(0, images.shape[:2])


def trained(model, images, target, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(steps):
        batch = torch.arange(2 * step, 2 * step + 2) % len(images)
        logits = logits_of(model, images[batch]).flatten(0, 1)
        F.cross_entropy(logits, target[batch].flatten(0, 1), weight=torch.tensor([1.0, 3.0])).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize("name", BARS)
def test_a_short_training_finds_digits(name, data):
    steps, bar = BARS[name]
    (images, target), (unseen, truth) = data
    model = trained(MODELS[name](2), images, target, steps)
    with torch.no_grad():
        found = logits_of(model, unseen).argmax(2) == 1
    assert (found & (truth == 1)).sum() / (found | (truth == 1)).sum() > bar
